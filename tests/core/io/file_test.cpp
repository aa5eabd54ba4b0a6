// Durable writes under injected faults, and reads of things that are no files.
#include "core/io/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/base/error.h"
#include "tests/core/io/faulty_disk.h"
#include "tests/core/io/temp_folder.h"

namespace edgetrain {
namespace {

using testing::error_of;
using testing::FaultyDisk;
using testing::get;
using testing::PowerCut;
using testing::put;
using testing::TempFolder;

std::size_t entries_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(WriteFileAtomically, ReplacesContentAndFollowsTheUmask) {
  const TempFolder folder;
  const mode_t before = ::umask(027);
  write_file_atomically(folder / "a", "one");
  write_file_atomically(folder / "a", "second");
  ::umask(before);
  EXPECT_EQ(get(folder / "a"), "second");
  EXPECT_EQ(entries_in(folder.path()), 1U);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST(WriteFileAtomically, GoesOnAfterShortWrites) {
  const TempFolder folder;
  FaultyDisk disk;
  disk.max_write = 7;
  disk.can_reserve = false;
  const std::string bytes(1027, 'x');
  write_file_atomically(folder / "a", bytes, disk);
  EXPECT_EQ(get(folder / "a"), bytes);
}

TEST(WriteFileAtomically, ErrorAtAnyCallLeavesTheOldContentAndNoTemporaryFile) {
  const TempFolder folder;
  const std::string old_content = "old", new_content(5000, 'n');
  int at = 0;
  for (bool failed = true; failed; ++at) {
    put(folder / "a", old_content);
    FaultyDisk disk(FaultyDisk::Fault::error, at);
    failed = false;
    try {
      write_file_atomically(folder / "a", new_content, disk);
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.error_class(), ErrorClass::resource);
      EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("free space"), std::string::npos) << error.what();
    }
    const std::string content = get(folder / "a");
    EXPECT_TRUE(content == old_content || content == new_content) << "call " << at;
    EXPECT_EQ(entries_in(folder.path()), 1U) << "call " << at;
    ASSERT_LT(at, 50);
  }
  EXPECT_GT(at, 7);  // open, reserve, write, truncate, fsync, close, rename, folder
  EXPECT_EQ(get(folder / "a"), new_content);
}

TEST(WriteFileAtomically, PowerCutAtAnyCallLeavesOneOfTheTwoContents) {
  const TempFolder folder;
  const std::string old_content = "old", new_content(5000, 'n');
  int at = 0;
  for (bool cut = true; cut; ++at) {
    put(folder / "a", old_content);
    FaultyDisk disk(FaultyDisk::Fault::power_cut, at);
    try {
      write_file_atomically(folder / "a", new_content, disk);
    } catch (const PowerCut&) {
    } catch (const Error&) {
    }
    cut = disk.dead();
    const std::string content = get(folder / "a");
    EXPECT_TRUE(content == old_content || content == new_content) << "call " << at << ": " << content.size();
    ASSERT_LT(at, 50);
  }
  EXPECT_EQ(get(folder / "a"), new_content);
}

TEST(WriteFileAtomically, NamesWhatIsInTheWay) {
  const TempFolder folder;
  put(folder / "file", "");
  const auto message = error_of([&] { write_file_atomically(folder / "file/a", "x"); }, "resource");
  EXPECT_NE(message.find("file/a"), std::string::npos) << message;
  EXPECT_NE(message.find("a part of the path is a file"), std::string::npos) << message;
  EXPECT_NE(error_of([&] { make_folders(folder / "file/b"); }, "resource").find("file"), std::string::npos);
}

TEST(FileWriter, RefusesAnExistingFileAndReportsBytesWritten) {
  const TempFolder folder;
  put(folder / "a", "x");
  EXPECT_NE(error_of([&] { FileWriter(folder / "a", system_disk()); }, "resource").find("File exists"),
            std::string::npos);
  FaultyDisk disk(FaultyDisk::Fault::error, 2, EIO);
  FileWriter file(folder / "b", disk);
  file.append(std::as_bytes(std::span("12345", 5)));
  const auto message = error_of([&] { file.append(std::as_bytes(std::span("12345", 5))); }, "resource");
  EXPECT_NE(message.find("after 5 bytes"), std::string::npos) << message;
}

TEST(FileReader, ReadsRangesAndNoticesTheEnd) {
  const TempFolder folder;
  put(folder / "a", "0123456789");
  const FileReader file(folder / "a");
  std::array<std::byte, 4> out{};
  file.read_at(3, out);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(out.data()), 4), "3456");
  EXPECT_NE(error_of([&] { file.read_at(8, out); }).find("cut short"), std::string::npos);
}

TEST(FileReader, RefusesWhatIsNoRegularFile) {
  const TempFolder folder;
  put(folder / "a", "x");
  std::filesystem::create_symlink(folder / "a", folder / "link");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { FileReader(folder / "link", Symlinks::refuse); }).find("symbolic link"),
            std::string::npos);
  EXPECT_EQ(FileReader(folder / "link", Symlinks::follow).size(), 1);
  EXPECT_NE(error_of([&] { FileReader(folder / "fifo"); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { FileReader(folder.path()); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { FileReader(folder / "none"); }).find("does not exist"), std::string::npos);
  EXPECT_NE(error_of([&] { FileReader(folder / "a/b"); }).find("does not exist"), std::string::npos);
}

TEST(ReadWholeFile, ChecksTheSizeFirst) {
  const TempFolder folder;
  put(folder / "a", "12345");
  EXPECT_EQ(read_whole_file(folder / "a", 5), "12345");
  EXPECT_NE(error_of([&] { (void)read_whole_file(folder / "a", 4); }).find("at most 4"), std::string::npos);
}

}  // namespace
}  // namespace edgetrain
