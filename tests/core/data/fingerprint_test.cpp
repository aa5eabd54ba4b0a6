// What changes the fingerprint of a data set, and what must not.
#include "core/data/fingerprint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/core/data/text_folder.h"

namespace edgetrain {
namespace {

using testing::TextFolder;

constexpr std::int64_t kBlock = 64 << 10;
constexpr std::int32_t kEnd = 256;

// Odd sizes: nothing ends on a block.
std::string text_of(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

DataFingerprint of(const std::vector<std::string>& parts, std::optional<std::int32_t> end = kEnd,
                   std::int64_t read_bytes = kFingerprintBytes) {
  const TextFolder folder;
  std::vector<DataFile> files;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto path = folder.write(std::to_string(i) + ".txt", parts[i]);
    files.push_back({path, static_cast<std::int64_t>(parts[i].size())});
  }
  return fingerprint_of(Corpus(std::move(files), end), read_bytes);
}

TEST(DataFingerprint, TheSameTextInAnotherFolderIsTheSameData) {
  const std::vector<std::string> parts = {text_of(70'001), "two"};
  EXPECT_EQ(of(parts), of(parts));
  EXPECT_EQ(of(parts).tokens, 70'005);
}

TEST(DataFingerprint, EveryByteCountsInASmallSet) {
  std::string text = text_of(3 * kBlock + 5);
  const auto before = of({"one", text});
  for (const std::size_t at : {std::size_t{0}, text.size() / 2, text.size() - 1}) {
    std::string changed = text;
    changed[at] ^= 1;
    const auto after = of({"one", changed});
    EXPECT_EQ(after.tokens, before.tokens);
    EXPECT_NE(after, before) << "byte " << at;
  }
}

TEST(DataFingerprint, OrderCutsAndTokenizerCount) {
  const auto before = of({"first", "second"});
  EXPECT_NE(of({"second", "first"}), before);
  EXPECT_NE(of({"firsts", "econd"}), before) << "the same bytes, cut elsewhere";
  EXPECT_NE(of({"first", "second"}, std::nullopt), before) << "without an end of document";
  EXPECT_NE(of({"first", "second", "third"}), before);
}

// Pinned: a checkpoint of one version must be known by the next, on any machine.
TEST(DataFingerprint, IsTheSameForEver) {
  EXPECT_EQ(describe(of({"It is a truth", " universally acknowledged"})),
            "39 tokens, xxh3_128 de2f3cf875a8f131b696176d494a831b");
}

// Beyond the limit: sizes, the ends of every file, and samples between them.
TEST(DataFingerprint, ALargeSetIsSampled) {
  const std::string text = text_of(20 * kBlock + 11);
  const std::int64_t limit = 5 * kBlock;
  const auto before = of({text, "end"}, kEnd, limit);
  EXPECT_NE(before, of({text, "end"})) << "the limit was not used";
  const auto with = [&](std::size_t at) {
    std::string changed = text;
    changed[at] ^= 1;
    return of({changed, "end"}, kEnd, limit);
  };
  const auto block = [](std::int64_t i) { return static_cast<std::size_t>(i * kBlock); };
  EXPECT_NE(with(0), before);
  EXPECT_NE(with(text.size() - 1), before) << "the last byte";
  EXPECT_NE(with(block(5) + 3), before) << "a block that is sampled";
  EXPECT_EQ(with(block(6) + 3), before) << "a block between two samples: what is not covered";
  EXPECT_NE(of({text + "x", "end"}, kEnd, limit), before) << "its size";
}

TEST(DataFingerprint, AFileThatShrankIsNamed) {
  const TextFolder folder;
  const std::string path = folder.write("text.txt", "0123456789");
  const Corpus corpus({{path, 10}}, kEnd);
  std::filesystem::resize_file(path, 7);
  try {
    (void)fingerprint_of(corpus);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace edgetrain
