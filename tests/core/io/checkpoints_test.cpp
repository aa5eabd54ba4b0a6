// The folder of checkpoints: names, the newest valid one, pruning, leftovers.
#include "core/io/checkpoints.h"

#include <gtest/gtest.h>

#include <mutex>

#include "core/base/error.h"
#include "core/comm/self_communicator.h"
#include "core/io/checkpoint_writer.h"
#include "tests/core/io/faulty_disk.h"
#include "tests/core/io/temp_folder.h"
#include "tests/core/io/thread_world.h"

namespace edgetrain {
namespace {

using testing::error_of;
using testing::FaultyDisk;
using testing::get;
using testing::PowerCut;
using testing::put;
using testing::TempFolder;
using testing::ThreadWorld;

void save(const std::filesystem::path& folder, std::int64_t step) {
  SelfCommunicator world("self");
  auto value = static_cast<float>(step);
  CheckpointWriter writer(folder, step, world);
  writer.write("w", "param", 1, 1, {0, 0, 1, 0, 1, 0}, vector_of(&value, 1, Dtype::f32));
  writer.commit();
}

std::vector<std::int64_t> steps_in(const std::filesystem::path& folder) {
  std::vector<std::int64_t> steps;
  for (const auto& checkpoint : list_checkpoints(folder)) steps.push_back(checkpoint.step);
  return steps;
}

TEST(Checkpoints, NamesAreExact) {
  EXPECT_EQ(checkpoint_folder_name(100), "step-00000100");
  EXPECT_EQ(step_of_folder("a/b/step-00000100"), 100);
  EXPECT_EQ(step_of_folder("step-123456789"), 123456789);
  for (const char* name : {"step-100", "step-00000100.tmp-1", "step--0000001", "step-", "step-0000010x",
                           "100", "step-99999999999999999999", "step-000000100"}) {
    EXPECT_FALSE(step_of_folder(name)) << name;
  }
}

TEST(Checkpoints, ListIgnoresEverythingElse) {
  const TempFolder folder;
  EXPECT_TRUE(list_checkpoints(folder / "none").empty());
  for (const std::int64_t step : {3, 20, 100}) save(folder.path(), step);
  std::filesystem::create_directory(folder / "step-00000200.tmp-1");
  std::filesystem::create_directory(folder / "500");
  put(folder / "step-00000300", "a file");
  std::filesystem::create_symlink(folder / "nowhere", folder / "latest");
  EXPECT_EQ(steps_in(folder.path()), (std::vector<std::int64_t>{100, 20, 3}));
}

TEST(Checkpoints, NewestValidSkipsDamagedOnesAndSaysWhy) {
  const TempFolder folder;
  for (const std::int64_t step : {1, 2, 3, 4, 5}) save(folder.path(), step);
  std::filesystem::remove(folder / "step-00000005/manifest.json");  // partial
  put(folder / "step-00000004/shard-00000.bin", "abcd");            // flipped bits
  put(folder / "step-00000003/shard-00000.bin", "abc");             // cut short
  for (const int ranks : {1, 3}) {
    std::mutex mutex;
    ThreadWorld(ranks).run([&](Communicator& world) {
      const auto search = newest_valid_checkpoint(folder.path(), world);
      const std::lock_guard lock(mutex);
      ASSERT_TRUE(search.found);
      EXPECT_EQ(search.found->step, 2);
      ASSERT_EQ(search.skipped.size(), 3U);
      EXPECT_NE(search.skipped[0].find("step-00000005/manifest.json does not exist"), std::string::npos);
      EXPECT_NE(search.skipped[1].find("damaged"), std::string::npos) << search.skipped[1];
      EXPECT_NE(search.skipped[2].find("has 3 bytes"), std::string::npos) << search.skipped[2];
    });
  }
}

TEST(Checkpoints, NoneIsAnAnswer) {
  const TempFolder folder;
  SelfCommunicator world("self");
  EXPECT_FALSE(newest_valid_checkpoint(folder / "none", world).found);
  std::filesystem::create_directory(folder / "step-00000001");
  const auto search = newest_valid_checkpoint(folder.path(), world);
  EXPECT_FALSE(search.found);
  EXPECT_EQ(search.skipped.size(), 1U);
}

TEST(Checkpoints, KeepLatestKeepsTheNewOneAndThoseBeforeIt) {
  const TempFolder folder;
  for (const std::int64_t step : {1, 2, 3, 4, 9}) save(folder.path(), step);
  EXPECT_EQ(keep_latest(folder.path(), 4, 2).size(), 2U);
  EXPECT_EQ(steps_in(folder.path()), (std::vector<std::int64_t>{9, 4, 3}));
  EXPECT_TRUE(keep_latest(folder.path(), 4, 2).empty());
}

TEST(Checkpoints, APowerCutWhileRemovingNeverShowsHalfACheckpoint) {
  const TempFolder folder;
  bool cut = true;
  for (int at = 0; cut; ++at) {
    for (const std::int64_t step : {1, 2}) save(folder.path(), step);
    FaultyDisk disk(FaultyDisk::Fault::power_cut, at);
    try {
      (void)keep_latest(folder.path(), 2, 1, disk);
    } catch (const PowerCut&) {
    } catch (const Error&) {
    }
    cut = disk.dead();
    for (const auto& checkpoint : list_checkpoints(folder.path())) {
      EXPECT_NO_THROW((void)get(checkpoint.path / "manifest.json"));
      EXPECT_TRUE(std::filesystem::exists(checkpoint.path / "manifest.json")) << "call " << at;
      EXPECT_TRUE(std::filesystem::exists(checkpoint.path / "shard-00000.bin")) << "call " << at;
    }
    remove_leftovers(folder.path());
    ASSERT_LT(at, 50);
  }
  EXPECT_EQ(steps_in(folder.path()), (std::vector<std::int64_t>{2}));
}

TEST(Checkpoints, LeftoversAreRemovedAndNamed) {
  const TempFolder folder;
  save(folder.path(), 1);
  std::filesystem::create_directory(folder / "step-00000002.tmp-1-2");
  put(folder / "step-00000002.tmp-1-2/shard-00000.bin", "x");
  std::filesystem::create_directory(folder / "notes.tmp-1");
  EXPECT_EQ(remove_leftovers(folder.path()), (std::vector<std::string>{"step-00000002.tmp-1-2"}));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.tmp-1"));
  EXPECT_EQ(steps_in(folder.path()), (std::vector<std::int64_t>{1}));
}

}  // namespace
}  // namespace edgetrain
