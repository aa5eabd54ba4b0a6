#include "core/data/data_set.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/data/text_folder.h"

namespace edgetrain {
namespace {

TEST(DataSet, DescribesWhatItFound) {
  const testing::TextFolder folder;
  folder.write("a.txt", std::string(1000, 'a'));
  folder.write("b.txt", std::string(33, 'b'));
  const auto data = open_byte_data_set(std::vector{folder.path()}, 257, 64, 0.1);
  const auto text = describe(data);
  EXPECT_NE(text.find("2 files, 1034 tokens, end of document 256"), std::string::npos) << text;
  EXPECT_NE(text.find("931 tokens           14 samples of 64 (34 tokens left over)"), std::string::npos)
      << text;
  EXPECT_NE(text.find("103 tokens            1 samples of 64 (38 tokens left over)"), std::string::npos)
      << text;
}

TEST(DataSet, SaysWhenThereIsNoValidation) {
  const testing::TextFolder folder;
  const auto file = folder.write("a.txt", std::string(100, 'a'));
  const auto text = describe(open_byte_data_set(std::vector{file}, 256, 64, 0.0));
  EXPECT_NE(text.find("no validation part"), std::string::npos) << text;
  EXPECT_NE(text.find("no end-of-document id"), std::string::npos) << text;
}

TEST(DataSet, PassesOnWhatIsWrong) {
  const testing::TextFolder folder;
  const auto file = folder.write("a.txt", "short");
  EXPECT_THROW((void)open_byte_data_set(std::vector{file}, 257, 64, 0.0), JobError);
  EXPECT_THROW((void)open_byte_data_set(std::vector{file}, 100, 2, 0.0), JobError);
}

}  // namespace
}  // namespace edgetrain
