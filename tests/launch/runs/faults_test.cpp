// Faults: a rank that dies or hangs ends the job soon and is named; a kill at any moment costs no more than
// the steps since the last checkpoint; a full disk is told and leaves the older checkpoint whole.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "core/io/checkpoint_reader.h"
#include "core/io/checkpoints.h"
#include "tests/support/run_folder.h"

namespace edgetrain::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kSeed = 20240611;

// Long enough that nothing ends by itself.
const std::vector<std::string> kLong = {"train.steps=100000", "logging.interval=1000",
                                        "parallel.deadline_s=5"};

/// A run of `ranks` ranks that has done a few steps.
class Running {
 public:
  Running(const RunFolder& folder, const RunSpec& spec)
      : process(folder.command(spec), folder.environment(spec)) {
    started = eventually(seconds(30),
                         [&] { return folder.metrics(spec.name).size() >= 3 || !process.running(); }) &&
              process.running() && process.rank_pids().size() == static_cast<std::size_t>(spec.ranks);
  }
  Process process;
  bool started = false;
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void expect_named(const RunFolder& folder, const Ended& ended, int rank) {
  const std::string name = "rank " + std::to_string(rank);
  EXPECT_TRUE(ended.says(name)) << ended.output;
  EXPECT_EQ(folder.state(), "failed");
  const Json status = folder.status();
  const Json* culprit = status.find("rank");
  ASSERT_NE(culprit, nullptr) << status.pretty();
  ASSERT_NE(culprit->integer(), nullptr) << status.pretty();
  EXPECT_EQ(*culprit->integer(), rank) << status.pretty();
  const Json* reason = status.find("reason");
  ASSERT_NE(reason, nullptr) << status.pretty();
  EXPECT_NE(reason->string()->find(name), std::string::npos) << status.pretty();
}

class OneOfThree : public ::testing::TestWithParam<int> {};

TEST_P(OneOfThree, ThatIsKilledEndsTheJobWithinTenSecondsAndIsNamed) {
  const RunFolder folder;
  Running run(folder, {3, kLong});
  ASSERT_TRUE(run.started) << run.process.output();
  const auto begin = Clock::now();
  ::kill(run.process.rank_pids().at(static_cast<std::size_t>(GetParam())), SIGKILL);
  const Ended ended = run.process.wait(seconds(20));
  EXPECT_LT(seconds_since(begin), 10.0);
  EXPECT_GT(ended.code, 0) << ended.output;
  expect_named(folder, ended, GetParam());
}

TEST_P(OneOfThree, ThatIsStoppedIsNamedWhenTheDeadlinePasses) {
  const RunFolder folder;
  Running run(folder, {3, kLong});
  ASSERT_TRUE(run.started) << run.process.output();
  const auto begin = Clock::now();
  ::kill(run.process.rank_pids().at(static_cast<std::size_t>(GetParam())), SIGSTOP);
  const Ended ended = run.process.wait(seconds(30));
  EXPECT_GT(seconds_since(begin), 3.0) << "named before its deadline";
  EXPECT_LT(seconds_since(begin), 15.0);
  EXPECT_GT(ended.code, 0) << ended.output;
  expect_named(folder, ended, GetParam());
  EXPECT_TRUE(ended.says("stopped")) << ended.output;
  EXPECT_TRUE(ended.says("step ")) << "what it was doing is not told:\n" << ended.output;
}

INSTANTIATE_TEST_SUITE_P(Ranks, OneOfThree, ::testing::Values(0, 1, 2), ::testing::PrintToStringParamName());

// The newest checkpoint whose every byte verifies; 0 if there is none.
std::int64_t newest_valid_step(const RunFolder& folder) {
  for (const auto& found : list_checkpoints(folder.output() / "checkpoints")) {
    try {
      CheckpointReader::open(found.path).verify_all();
      return found.step;
    } catch (const Error&) {
      continue;
    }
  }
  return 0;
}

// A checkpoint after every step, so that nearly every kill falls into one.
TEST(KilledWhileSaving, ResumesFromTheOneBefore) {
  const RunFolder folder;
  const RunSpec spec{
      2,
      {"train.steps=100000", "checkpoint.interval=1", "logging.interval=1000", "train.global_batch_size=4"}};
  std::mt19937 random(kSeed);
  std::int64_t before = 0;
  for (int round = 0; round < 10; ++round) {
    Process process(folder.command(spec), folder.environment(spec));
    ASSERT_TRUE(eventually(seconds(30), [&] {
      const auto lines = folder.metrics();
      return !process.running() || (!lines.empty() && lines.back().step >= before + 2);
    }));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    ASSERT_TRUE(process.running()) << process.output();
    for (const int pid : process.family()) ::kill(pid, SIGKILL);
    (void)process.wait(seconds(10));
    if (before > 0) {
      EXPECT_TRUE(process.output().find(fmt::format("(step {})", before)) != std::string::npos)
          << process.output();
    }
    const std::int64_t newest = newest_valid_step(folder);
    const auto lines = folder.metrics();
    ASSERT_FALSE(lines.empty());
    EXPECT_GT(newest, before) << "seed " << kSeed << ", round " << round;
    EXPECT_GE(newest, lines.back().step - 1) << "more was lost than the step since the last checkpoint";
    for (std::size_t i = 0; i < lines.size(); ++i)
      ASSERT_EQ(lines[i].step, static_cast<std::int64_t>(i + 1)) << "round " << round;
    before = newest;
  }
}

// RLIMIT_FSIZE stands for a full disk: with SIGXFSZ ignored, a write beyond it fails with EFBIG. A file
// system of a few KiB would be closer to it, but cannot be mounted everywhere. The limit is for Open MPI's
// shared files too, hence the variables.
std::vector<std::string> limited(const std::vector<std::string>& command, int kib) {
  std::vector<std::string> words = {
      "bash", "-c", "trap '' XFSZ; ulimit -f " + std::to_string(kib) + "; exec \"$@\"", "limited"};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

TEST(FullDisk, IsToldAndTheOlderCheckpointStaysWhole) {
  const RunFolder folder;
  const std::vector<std::string> job = {"checkpoint.interval=10"};
  ASSERT_EQ(folder.run({1, job}).code, 0);
  const auto whole = folder.tensors(20);
  const RunSpec longer{1,
                       {"checkpoint.interval=10", "train.steps=40", "lr_scheduler.name=constant"},
                       "out",
                       {"PMIX_MCA_gds=hash", "OMPI_MCA_btl=self"}};
  const Ended ended =
      Process(limited(folder.command(longer), 300), folder.environment(longer)).wait(seconds(60));
  EXPECT_EQ(ended.code, 1) << ended.output;
  EXPECT_TRUE(ended.says("step-00000030")) << ended.output;
  EXPECT_TRUE(ended.says("File too large")) << ended.output;
  EXPECT_EQ(folder.state(), "failed");
  EXPECT_TRUE(folder.tensors(20) == whole);

  const Ended rest = folder.run(longer);  // with room again
  EXPECT_EQ(rest.code, 0) << rest.output;
  EXPECT_TRUE(rest.says("(step 20)")) << rest.output;
  for (const auto& entry : std::filesystem::directory_iterator(folder.output() / "checkpoints")) {
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path() << " was left behind";
  }
}

}  // namespace
}  // namespace edgetrain::testing
