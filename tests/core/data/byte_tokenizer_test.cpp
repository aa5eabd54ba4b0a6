#include "core/data/byte_tokenizer.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace edgetrain {
namespace {

TEST(ByteTokenizer, EveryByteRoundTrips) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  const auto ids = encode_bytes(text);
  ASSERT_EQ(ids.size(), 256U);
  EXPECT_EQ(ids.front(), 0);
  EXPECT_EQ(ids.back(), 255);
  EXPECT_EQ(decode_bytes(ids), text);
}

TEST(ByteTokenizer, IdsThatAreNoByteGiveNothing) {
  const std::int32_t ids[] = {256, 'a', 300, -1, 'b'};
  EXPECT_EQ(decode_bytes(ids), "ab");
}

TEST(ByteTokenizer, EndOfDocumentNeedsRoom) {
  EXPECT_EQ(byte_end_of_document(257), 256);
  EXPECT_EQ(byte_end_of_document(50257), 256);
  EXPECT_EQ(byte_end_of_document(256), std::nullopt);
  EXPECT_THROW((void)byte_end_of_document(255), JobError);
}

}  // namespace
}  // namespace edgetrain
