#include "core/data/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "tests/core/data/text_folder.h"

namespace edgetrain {
namespace {

using testing::TextFolder;

std::vector<std::string> names(const TextFolder& folder, const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const auto& file : expand_data_paths(paths))
    names.push_back(file.path.substr(folder.path().size() + 1));
  return names;
}

std::string error_of(const std::vector<std::string>& paths) {
  try {
    (void)expand_data_paths(paths);
  } catch (const JobError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Root may read everything, so unreadable files are tried as somebody else.
class AsNobody {
 public:
  AsNobody() : before_(::geteuid()) {
    if (before_ == 0 && ::seteuid(65534) != 0) throw std::runtime_error("seteuid failed");
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  ~AsNobody() { EXPECT_EQ(::seteuid(before_), 0); }

 private:
  uid_t before_;
};

TEST(Files, FoldersGiveTheirTextFilesInBytewiseOrder) {
  const TextFolder folder;
  for (const auto* name :
       {"b.txt", "a.txt", "B.txt", "a/z.txt", "a/deep/er.txt", "\xc3\xa9.txt", "10.txt", "9.txt"}) {
    folder.write(name, "text");
  }
  EXPECT_EQ(names(folder, {folder.path()}),
            (std::vector<std::string>{"10.txt", "9.txt", "B.txt", "a.txt", "a/deep/er.txt", "a/z.txt",
                                      "b.txt", "\xc3\xa9.txt"}));
}

TEST(Files, HiddenFilesAndOtherExtensionsAreNotText) {
  const TextFolder folder;
  for (const auto* name : {"a.txt", ".hidden.txt", ".git/b.txt", "README.md", "c.txt~", "txt"})
    folder.write(name, "text");
  EXPECT_EQ(names(folder, {folder.path()}), (std::vector<std::string>{"a.txt"}));
}

TEST(Files, AFileThatIsNamedIsTakenWhateverItsName) {
  const TextFolder folder;
  const auto b = folder.write("b.log", "1234567"), a = folder.write(".a", "text");
  EXPECT_EQ(names(folder, {b, a}), (std::vector<std::string>{".a", "b.log"}));
  EXPECT_EQ(expand_data_paths(std::vector{b}).front().bytes, 7);
}

TEST(Files, EveryProblemIsReportedAtOnce) {
  const TextFolder folder;
  folder.write("good.txt", "text");
  folder.write("empty.txt", "");
  folder.write("no_text/README.md", "text");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const auto error = error_of({folder / "good.txt", folder / "missing", folder / "empty.txt", folder / "pipe",
                               "/dev/null", folder / "no_text", folder / "good.txt/inside"});
  EXPECT_TRUE(contains(error, "missing: no such file or folder")) << error;
  EXPECT_TRUE(contains(error, "empty.txt: is empty")) << error;
  EXPECT_TRUE(contains(error, "pipe: is neither a regular file nor a folder")) << error;
  EXPECT_TRUE(contains(error, "/dev/null: is neither a regular file nor a folder")) << error;
  EXPECT_TRUE(contains(error, "no_text: has no *.txt file")) << error;
  EXPECT_TRUE(contains(error, "good.txt/inside: ")) << error;
  EXPECT_FALSE(contains(error, "good.txt: ")) << error;
}

TEST(Files, UnreadableFilesAndFoldersAreNamed) {
  const TextFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(folder.write("secret.txt", "text").c_str(), 0), 0);
  ASSERT_EQ(::mkdir((folder / "closed").c_str(), 0), 0);
  std::string error;
  {
    const AsNobody nobody;
    error = error_of({folder / "secret.txt", folder / "closed"});
  }
  EXPECT_TRUE(contains(error, "secret.txt: Permission denied")) << error;
  EXPECT_TRUE(contains(error, "closed: Permission denied")) << error;
  ASSERT_EQ(::chmod((folder / "closed").c_str(), 0700), 0);
}

TEST(Files, AProblemInsideAFolderIsAnError) {
  const TextFolder folder;
  folder.write("a.txt", "text");
  folder.write("empty.txt", "");
  EXPECT_TRUE(contains(error_of({folder.path()}), "empty.txt: is empty"));
  ASSERT_EQ(::symlink("nowhere", (folder / "dangling.txt").c_str()), 0);
  EXPECT_TRUE(contains(error_of({folder.path()}), "dangling.txt: no such file or folder"));
}

TEST(Files, LinksToFilesAreFollowedLinksToFoldersRefused) {
  const TextFolder folder;
  folder.write("elsewhere/a.txt", "text");
  folder.write("corpus/b.txt", "text");
  ASSERT_EQ(::symlink("../elsewhere/a.txt", (folder / "corpus/a.txt").c_str()), 0);
  EXPECT_EQ(names(folder, {folder / "corpus"}), (std::vector<std::string>{"corpus/a.txt", "corpus/b.txt"}));
  ASSERT_EQ(::symlink("..", (folder / "corpus/loop").c_str()), 0);
  EXPECT_TRUE(contains(error_of({folder / "corpus"}), "loop: is a link to a folder"));
}

TEST(Files, TheSameFileTwiceIsRefused) {
  const TextFolder folder;
  const auto file = folder.write("a.txt", "text");
  EXPECT_TRUE(contains(error_of({file, file}), "a.txt: is named twice"));
  EXPECT_TRUE(contains(error_of({file, folder / "./a.txt"}), "a.txt: is named twice"));
  EXPECT_TRUE(contains(error_of({folder.path(), file}), "a.txt: is named twice"));
}

TEST(Files, NoPathIsAnError) { EXPECT_EQ(error_of({}), "data.path: names no file"); }

}  // namespace
}  // namespace edgetrain
