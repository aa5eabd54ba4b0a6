#include "core/io/safetensors_index.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/io/json.h"

namespace edgetrain {
namespace {

// Names that come out of an index must stay in its folder.
bool is_plain_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name != "." && name != ".." && std::all_of(name.begin(), name.end(), plain);
}

std::optional<double> total_size_of(const Json& index) {
  const Json* metadata = index.find("metadata");
  const Json* claimed = metadata == nullptr ? nullptr : metadata->find("total_size");
  double bytes = 0.0;
  return claimed != nullptr && claimed->number(bytes) ? std::optional(bytes) : std::nullopt;
}

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view text, std::string_view origin) {
  const Json json = Json::parse(text, origin,
                                {.max_bytes = static_cast<std::size_t>(kMaxIndexBytes),
                                 .max_values = std::size_t{4} << 20,
                                 .max_depth = 8});
  const Json* map = json.find("weight_map");
  if (map == nullptr || map->object() == nullptr) {
    throw Error(ErrorClass::data, fmt::format("{}: no object weight_map", origin));
  }
  SafetensorsIndex index;
  for (const JsonMember& member : *map->object()) {
    const auto* name = member.value.string();
    if (name == nullptr || !is_plain_name(*name)) {
      throw Error(ErrorClass::data, fmt::format("{}: weight_map {}: {} is no plain file name of this folder",
                                                origin, json_quoted(member.key), member.value.text()));
    }
    index.file_of[member.key] = *name;
  }
  index.total_size = total_size_of(json);
  return index;
}

}  // namespace edgetrain
