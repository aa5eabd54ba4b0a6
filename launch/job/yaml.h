// YAML text -> a small tree of located nodes. The only place that knows yaml-cpp.
//
// Why not YAML::Node: it keeps only the first of two equal keys, guesses types (010 is 8, `on` is true),
// reads `<<` as a plain key, cannot tell "auto" from auto without a trick, and turns a page of aliases into
// 9^11 nodes. So we listen to the parser's events, keep every scalar as the text that was written, and stop
// at limits. What a scalar means is decided by scalar.h against the schema.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/job/problem.h"

namespace edgetrain {

/// Limits that no job comes near; beyond them a text is refused instead of read.
inline constexpr std::size_t kMaxJobBytes = 1U << 20U;
inline constexpr std::size_t kMaxJobNodes = 100'000;
inline constexpr std::size_t kMaxJobDepth = 32;

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Location at;
  std::string text;     // scalar: the written characters, escapes resolved
  bool quoted = false;  // scalar: quoted or a block, hence never a number, a bool or `auto`
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;

  /// The value of `key` in a map, or null.
  [[nodiscard]] YamlNode* find(std::string_view key);
  [[nodiscard]] const YamlNode* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  Location key_at;
  YamlNode value;
};

/// "a list", "a section", "'text'": what a node is, for messages.
[[nodiscard]] std::string describe(const YamlNode& node);

/// Reads the one document in `source` from byte `begin` on. Problems are appended; nothing is returned when
/// the text is empty or no YAML at all. Byte order marks must have been removed (see read_job_file()).
[[nodiscard]] std::optional<YamlNode> load_yaml(const std::shared_ptr<const Source>& source,
                                                std::vector<Problem>& problems, std::size_t begin = 0);

}  // namespace edgetrain
