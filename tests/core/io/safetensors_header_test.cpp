// Every rule of a safetensors header, each with a file that breaks it alone.
#include "core/io/safetensors_header.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/io/temp_folder.h"

namespace edgetrain {
namespace {

using testing::error_of;

std::string refusal(std::string_view json, std::int64_t buffer_bytes) {
  return error_of([&] { (void)parse_safetensors_header(json, buffer_bytes, "x.safetensors"); });
}

#define EXPECT_REFUSED(json, buffer_bytes, part)                 \
  do {                                                           \
    const std::string message = refusal(json, buffer_bytes);     \
    EXPECT_NE(message.find(part), std::string::npos) << message; \
    EXPECT_EQ(message.find("x.safetensors"), 0U) << message;     \
  } while (false)

TEST(SafetensorsHeader, ReadsEntriesInTheOrderOfTheBuffer) {
  const auto header = parse_safetensors_header(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
      R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}   )",
      30, "x");
  ASSERT_EQ(header.entries.size(), 2U);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[0].rows(), 2);
  EXPECT_EQ(header.entries[0].cols(), 3);
  EXPECT_EQ(header.entries[1].rows(), 1);
  EXPECT_EQ(header.entries[1].dtype, Dtype::bf16);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, ScalarsEmptyTensorsAndForeignTypesAreLegal) {
  const auto header = parse_safetensors_header(
      R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[7,0],)"
      R"("data_offsets":[4,4]},"half":{"dtype":"F4","shape":[4],"data_offsets":[4,6]},)"
      R"("huge":{"dtype":"F32","shape":[9223372036854775807,0,9223372036854775807],"data_offsets":[6,6]}})",
      6, "x");
  EXPECT_EQ(header.entries[0].rows() * header.entries[0].cols(), 1);
  EXPECT_EQ(header.entries.size(), 4U);
  EXPECT_EQ(parse_safetensors_header("{}", 0, "x").entries.size(), 0U);
}

TEST(SafetensorsHeader, LengthField) {
  EXPECT_EQ(safetensors_header_bytes(2, 10, "x"), 2);
  EXPECT_EQ(safetensors_header_bytes(100'000'000, 200'000'000, "x"), 100'000'000);
  const std::uint64_t bad[] = {0, 1, 3, 11, 100'000'001, std::uint64_t{1} << 63, ~std::uint64_t{0}};
  for (const auto length : bad) {
    const std::int64_t file = length > 100 ? 300'000'000 : 10;
    EXPECT_NE(error_of([&] { (void)safetensors_header_bytes(length, file, "x"); }).find("no safetensors"),
              std::string::npos);
  }
}

TEST(SafetensorsHeader, RefusesTextThatIsNoHeader) {
  EXPECT_REFUSED("", 0, "does not begin");
  EXPECT_REFUSED(" {}", 0, "does not begin");
  EXPECT_REFUSED("[]", 0, "does not begin");
  EXPECT_REFUSED("{\"\xff\":1}", 0, "no valid JSON");
  EXPECT_REFUSED(std::string("{}\0", 3), 0, "zero byte");
  EXPECT_REFUSED("{}x", 0, "no valid JSON");
  EXPECT_REFUSED("{\"a\":{\"dtype\":\"F32\",\"shape\":[[[[1]]]]}}", 0, "nested");
}

TEST(SafetensorsHeader, RefusesDuplicates) {
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],)"
                 R"("data_offsets":[1,2]}})",
                 2, "\"a\" stands twice");
  EXPECT_REFUSED(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "stands twice");
}

TEST(SafetensorsHeader, RefusesBadFields) {
  EXPECT_REFUSED(R"({"a":1})", 0, "must be an object");
  EXPECT_REFUSED(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "dtype is missing");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "shape is missing");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1]}})", 1, "data_offsets is missing");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}})", 1,
                 "unknown key \"more\"");
  EXPECT_REFUSED(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,1]}})", 1, "unknown dtype \"F33\"");
  EXPECT_REFUSED(R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1, "dtype must be a string");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "shape must be a list");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "whole numbers >= 0: -1");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "whole numbers >= 0: 1.0");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "two numbers");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "at most 2");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}})", 1,
                 "whole numbers");
  EXPECT_REFUSED(R"({"__metadata__":{"a":1}})", 0, "must be a string");
  EXPECT_REFUSED(R"({"__metadata__":"a"})", 0, "must be an object");
  std::string rank_65 = R"({"a":{"dtype":"U8","shape":[1)";
  for (int i = 1; i < 65; ++i) rank_65 += ",1";
  EXPECT_REFUSED(rank_65 + R"(],"data_offsets":[0,1]}})", 1, "at most 64");
}

TEST(SafetensorsHeader, RefusesBadOffsets) {
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "data_offsets [1, 0]");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1, "in a buffer of 1");
  EXPECT_REFUSED(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "need 8 bytes");
  EXPECT_REFUSED(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2, "need 2 bytes");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                 "overflows");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "a hole");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2,
                 "end at byte 1 of a buffer of 2");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],)"
                 R"("data_offsets":[1,3]}})",
                 3, "overlap");
  EXPECT_REFUSED(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],)"
                 R"("data_offsets":[2,3]}})",
                 3, "a hole");
}

}  // namespace
}  // namespace edgetrain
