// The check value of CRC-32C and the framing of records, read back the way TensorBoard does.
#include "launch/runs/tensorboard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

namespace edgetrain {
namespace {

std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t length = 0;
    std::uint32_t crc = 0;
    std::memcpy(&length, bytes.data() + at, 8);
    std::memcpy(&crc, bytes.data() + at + 8, 4);
    EXPECT_EQ(crc, masked_crc32c(bytes.substr(at, 8)));
    out.push_back(bytes.substr(at + 12, length));
    std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
    EXPECT_EQ(crc, masked_crc32c(out.back()));
    at += 16 + length;
  }
  return out;
}

TEST(TensorBoard, Crc32cHasItsCheckValue) { EXPECT_EQ(crc32c("123456789"), 0xe3069283U); }

TEST(TensorBoard, RecordsReadBack) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("edgetrain-tensorboard-" + std::to_string(::getpid()));
  {
    TensorBoardFile file(folder);
    const std::vector<TensorBoardFile::Scalar> scalars = {{"loss", 2.5}};
    file.append(300, scalars);
  }
  std::stringstream bytes;
  bytes << std::ifstream(std::filesystem::directory_iterator(folder)->path(), std::ios::binary).rdbuf();
  const auto found = records(bytes.str());
  ASSERT_EQ(found.size(), 2U);
  EXPECT_NE(found[0].find("brain.Event:2"), std::string::npos);
  // step: field 2 varint 300; summary: field 5 { value: field 1 { tag, simple_value 2.5F } }
  const std::string step("\x10\xac\x02", 3);
  const std::string value =
      std::string("\x2a\x0d\x0a\x0b\x0a\x04", 6) + "loss" + std::string("\x15\x00\x00\x20\x40", 5);
  EXPECT_EQ(found[1].substr(9), step + value);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace edgetrain
