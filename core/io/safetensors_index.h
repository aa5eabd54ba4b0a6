// model.safetensors.index.json: which tensor lies in which file of the folder.
//
// Why apart from the reader: this text comes from strangers and names files to open, so it is read, bounded
// and fuzzed by itself, before anything is opened.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace edgetrain {

/// No index is read beyond this.
inline constexpr std::int64_t kMaxIndexBytes = std::int64_t{64} << 20;

struct SafetensorsIndex {
  std::map<std::string, std::string> file_of;  // tensor -> file; plain names, of this folder
  std::optional<double> total_size;            // metadata.total_size, where it is a number
};

/// Error(data), opened by `origin`, unless `text` is a JSON object with an object `weight_map` whose values
/// are names of [A-Za-z0-9._-]+, neither "." nor "..". Other members are passed over.
[[nodiscard]] SafetensorsIndex parse_safetensors_index(std::string_view text, std::string_view origin);

}  // namespace edgetrain
