// TensorBoard event files, written by hand: the format is a few protobuf fields in CRC-framed records.
//
// Why by hand: the alternative is a dependency on protobuf and TensorFlow's schema for five fields.
// Format: record = u64 length, masked crc32c(length), payload, masked crc32c(payload), little-endian; payload
// = tensorflow.Event (1 wall_time double, 2 step int64, 3 file_version string, 5 summary { 1 value { 1 tag
// string, 2 simple_value float } }).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace edgetrain {

/// CRC-32C (Castagnoli, reflected 0x82f63b78), and TensorBoard's masking of it.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);
[[nodiscard]] std::uint32_t masked_crc32c(std::string_view bytes);

/// Appends scalars to one `events.out.tfevents.*` file; each run that resumes begins a new one, as
/// TensorBoard expects.
class TensorBoardFile {
 public:
  /// Errors: Error(resource).
  explicit TensorBoardFile(const std::filesystem::path& folder);
  TensorBoardFile(const TensorBoardFile&) = delete;
  TensorBoardFile& operator=(const TensorBoardFile&) = delete;
  ~TensorBoardFile();

  using Scalar = std::pair<std::string_view, double>;
  void append(std::int64_t step, std::span<const Scalar> scalars);

 private:
  void write_record(std::string_view payload);
  int file_ = -1;
  std::filesystem::path path_;
};

}  // namespace edgetrain
