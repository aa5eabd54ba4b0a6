// One value of a job, free of its C++ type and of YAML: what the schema table reads from and writes into a
// Job, and what files, messages and documents print.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launch/job/sections.h"

namespace edgetrain {

struct AutoValue {
  bool operator==(const AutoValue&) const = default;
};
struct NullValue {
  bool operator==(const NullValue&) const = default;
};

/// One of a key's own words (an enumerator): printed without quotes.
struct Word {
  std::string text;
  bool operator==(const Word&) const = default;
};

struct Value;
using ValueList = std::vector<Value>;

struct Value : std::variant<NullValue, AutoValue, bool, std::int64_t, double, Bytes, Word, std::string,
                            InlineMapping, ValueList> {
  using variant::variant;
};

/// The value as YAML on one line, such that reading it again gives the same value.
[[nodiscard]] std::string to_yaml(const Value& value);

/// The text as a YAML scalar: plain where that is safe, else in double quotes.
[[nodiscard]] std::string quoted_if_needed(std::string_view text);

/// A count of bytes in the largest unit that divides it: "2GiB", "1536MiB", "1000".
[[nodiscard]] std::string to_text(Bytes bytes);

}  // namespace edgetrain
