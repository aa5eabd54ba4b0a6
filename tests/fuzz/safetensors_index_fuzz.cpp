// Any bytes as model.safetensors.index.json: refused with an Error, or read into names that stay in the
// folder; what is read survives being written and read again.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/io/json.h"
#include "core/io/safetensors_index.h"

namespace {

using edgetrain::Json;
using edgetrain::SafetensorsIndex;

// By the standard library's reading of a path, not by ours.
void expect_inside(const std::string& name) {
  const auto path = (std::filesystem::path("/folder") / name).lexically_normal();
  if (path.parent_path() != "/folder" || path.filename() != name) std::abort();
}

std::string written(const SafetensorsIndex& index) {
  Json map{Json::Object{}};
  for (const auto& [tensor, file] : index.file_of) map.set(tensor, file);
  Json json;
  if (index.total_size) json.set("metadata", Json().set("total_size", *index.total_size));
  return json.set("weight_map", std::move(map)).text();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto index =
        edgetrain::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz");
    for (const auto& [tensor, file] : index.file_of) expect_inside(file);
    if (index.total_size && !std::isfinite(*index.total_size)) std::abort();
    const auto again = edgetrain::parse_safetensors_index(written(index), "again");
    if (again.file_of != index.file_of || again.total_size != index.total_size) std::abort();
  } catch (const edgetrain::Error& error) {
    if (error.error_class() != edgetrain::ErrorClass::data) std::abort();
  }
  return 0;
}
