// What `auto` comes to may differ from rank to rank, as their memory does: they train as ranks that are
// alike.
#include <gtest/gtest.h>

#include "tests/support/run_folder.h"

namespace edgetrain::testing {
namespace {

CheckpointBytes trained(const RunFolder& folder, const RunSpec& spec) {
  const Ended ended = folder.run(spec);
  EXPECT_EQ(ended.code, 0) << ended.output;
  return folder.tensors(20, spec.name);
}

TEST(UnlikeRanks, OneThatComputesAgainChangesNothing) {
  const RunFolder folder;
  for (const std::string zero : {"0", "3"}) {
    const std::vector<std::string> job = {"parallel.zero=" + zero, "train.recompute=none"};
    const auto alike = trained(folder, {3, job, "alike" + zero});
    const auto unlike = trained(folder, {3, job, "unlike" + zero, {}, {}, {"train.recompute=full"}});
    EXPECT_TRUE(alike == unlike) << "zero " << zero;
  }
}

TEST(UnlikeRanks, NobodySavesBesideTheStepsWhereOneHasNoRoomForCopies) {
  const RunFolder folder;
  const std::vector<std::string> job = {"parallel.zero=3", "checkpoint.interval=5", "checkpoint.async=true"};
  const auto alike = trained(folder, {3, job, "alike"});
  const RunSpec one_without{3, job, "unlike", {}, {}, {"checkpoint.async=false"}};
  const Ended ended = folder.run(one_without);
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_TRUE(ended.says("checkpoint.async: false after all: rank 2 has no room for the copies"))
      << ended.output;
  EXPECT_TRUE(alike == folder.tensors(20, "unlike"));
}

}  // namespace
}  // namespace edgetrain::testing
