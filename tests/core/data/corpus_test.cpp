// The token stream against the files joined in memory, over every range and over the seams between files.
#include "core/data/corpus.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "tests/core/data/text_folder.h"

namespace edgetrain {
namespace {

using testing::TextFolder;
constexpr std::int32_t kEnd = 256;

struct Text {
  TextFolder folder;
  std::vector<std::string> parts = {"one\xff", "2", std::string("th\0ree", 6), "four"};
  std::vector<DataFile> files() const {
    std::vector<DataFile> files;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto path = folder.write(std::to_string(i) + ".txt", parts[i]);
      files.push_back({path, static_cast<std::int64_t>(parts[i].size())});
    }
    return files;
  }
  std::vector<std::int32_t> stream(std::optional<std::int32_t> end) const {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i > 0 && end) ids.push_back(*end);
      for (const auto id : encode_bytes(parts[i])) ids.push_back(id);
    }
    return ids;
  }
};

std::vector<std::int32_t> read(const Corpus& corpus, std::int64_t begin, std::int64_t count) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count), -7);
  corpus.tokens(begin, ids);
  return ids;
}

void expect_every_range(std::optional<std::int32_t> end) {
  const Text text;
  const Corpus corpus(text.files(), end);
  const auto expected = text.stream(end);
  const auto n = static_cast<std::int64_t>(expected.size());
  ASSERT_EQ(corpus.num_tokens(), n);
  for (std::int64_t begin = 0; begin <= n; ++begin) {
    for (std::int64_t count = 0; begin + count <= n; ++count) {
      const std::vector<std::int32_t> part(expected.begin() + begin, expected.begin() + begin + count);
      ASSERT_EQ(read(corpus, begin, count), part) << begin << " + " << count;
    }
  }
}

TEST(Corpus, OneEndOfDocumentBetweenFiles) { expect_every_range(kEnd); }

TEST(Corpus, WithoutRoomForItFilesAreSimplyJoined) { expect_every_range(std::nullopt); }

TEST(Corpus, KnowsWhereDocumentsBegin) {
  const Text text;
  const Corpus corpus(text.files(), kEnd);  // lengths 4, 1, 6, 4: documents begin at 0, 5, 7, 14
  EXPECT_EQ(corpus.document_starts(0, corpus.num_tokens()), (std::vector<std::int64_t>{0, 5, 7, 14}));
  EXPECT_EQ(corpus.document_starts(5, 2), (std::vector<std::int64_t>{5}));
  EXPECT_EQ(corpus.document_starts(6, 8), (std::vector<std::int64_t>{7}));
  EXPECT_TRUE(corpus.document_starts(1, 4).empty());
  EXPECT_TRUE(corpus.document_starts(5, 0).empty());
}

TEST(Corpus, MoreFilesThanAreKeptOpen) {
  const TextFolder folder;
  std::vector<DataFile> files;
  for (int i = 0; i < 200; ++i)
    files.push_back({folder.write(std::to_string(i), std::to_string(1000 + i)), 4});
  const Corpus corpus(files, kEnd);
  for (const int i : {0, 199, 64, 0, 128, 1, 65, 199}) {
    EXPECT_EQ(decode_bytes(read(corpus, 5 * i, 4)), std::to_string(1000 + i));
  }
}

TEST(Corpus, RefusesRangesBeyondTheEnd) {
  const Text text;
  const Corpus corpus(text.files(), kEnd);
  EXPECT_THROW((void)read(corpus, 0, corpus.num_tokens() + 1), Error);
  EXPECT_THROW((void)read(corpus, -1, 1), Error);
}

// With mmap this would be SIGBUS.
TEST(Corpus, ATruncatedFileIsNamed) {
  const Text text;
  const auto files = text.files();
  const Corpus corpus(files, kEnd);
  (void)read(corpus, 7, 6);  // the file is open now
  std::filesystem::resize_file(files[2].path, 3);
  EXPECT_EQ(read(corpus, 7, 3), encode_bytes("th" + std::string(1, '\0')));
  try {
    (void)read(corpus, 7, 6);
    FAIL() << "read beyond the end of a truncated file";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::data);
    EXPECT_NE(std::string(error.what()).find("2.txt"), std::string::npos) << error.what();
  }
}

TEST(Corpus, AFileThatIsGoneIsNamed) {
  const Text text;
  const auto files = text.files();
  const Corpus corpus(files, kEnd);
  std::filesystem::remove(files[1].path);
  EXPECT_THROW((void)read(corpus, 5, 1), Error);
}

}  // namespace
}  // namespace edgetrain
