// What the characters of a scalar mean. Decided here and not by the YAML library, whose guesses differ
// between libraries and versions: 010 is 8, `on` is true, 1e3 is no integer, .nan is a learning rate.
//
// Numbers are decimal. Integers may carry a point or an exponent if the value is integral (1e3, 2.0).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "launch/job/sections.h"

namespace edgetrain {

/// A parsed scalar, or why the text is none.
template <typename T>
struct Parsed {
  std::optional<T> value;
  std::string why;  // "is hexadecimal; numbers are decimal here"
};

[[nodiscard]] Parsed<std::int64_t> parse_integer(std::string_view text);
[[nodiscard]] Parsed<double> parse_number(std::string_view text);  // finite
[[nodiscard]] Parsed<bool> parse_boolean(std::string_view text);

/// Bytes: an integer, or a number with KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (powers of
/// 1000).
[[nodiscard]] Parsed<Bytes> parse_bytes(std::string_view text);

}  // namespace edgetrain
