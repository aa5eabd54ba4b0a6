// The header of a safetensors file: parsed with every rule of the format, because the file is untrusted.
//
// Format: 8 bytes little-endian length of the JSON that follows, then one buffer of tensor bytes. The JSON
// maps each name to dtype, shape and data_offsets (relative to the buffer), and __metadata__ to strings.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/dtype.h"

namespace edgetrain {

struct SafetensorsEntry {
  std::string name;
  std::string dtype_name;           // as in the file: "F32", "F8_E4M3", ...
  std::optional<Dtype> dtype;       // absent: known to the format, but not read by us
  std::vector<std::int64_t> shape;  // rank 0 is a scalar; sizes may be 0
  std::int64_t begin = 0, end = 0;  // bytes in the buffer

  /// As a matrix: a scalar is (1, 1), a vector (1, n); from rank 2 on all dimensions but the last are rows.
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] std::int64_t cols() const;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;        // by position in the buffer
  std::map<std::string, std::string> metadata;  // __metadata__
};

inline constexpr std::int64_t kSafetensorsMaxHeader = 100'000'000;

/// The length field. Error(data) unless 2 <= length <= min(100,000,000, file_bytes - 8).
[[nodiscard]] std::int64_t safetensors_header_bytes(std::uint64_t length_field, std::int64_t file_bytes,
                                                    std::string_view origin);

/// Parses the JSON of a header for a buffer of `buffer_bytes`. Error(data), opened by `origin`, unless: it
/// begins with
/// '{', is UTF-8, has no duplicate keys, knows every dtype, no size is negative or overflows, each tensor's
/// bytes are exactly its elements, and the tensors tile the buffer without hole or overlap, to its last byte.
[[nodiscard]] SafetensorsHeader parse_safetensors_header(std::string_view json, std::int64_t buffer_bytes,
                                                         std::string_view origin);

/// The format's name of a dtype that we write (f32, bf16, f16, f64, i32, i64, u8).
[[nodiscard]] std::string_view safetensors_name(Dtype dtype);

/// Length field and JSON for tensors that lie one behind the other in this order, padded with spaces to a
/// multiple of 8 bytes. Sets begin and end. Names must be unique.
[[nodiscard]] std::string safetensors_header_text(std::vector<SafetensorsEntry>& entries,
                                                  const std::map<std::string, std::string>& metadata);

}  // namespace edgetrain
