// Any bytes as config.json: refused, or read into a config that is written and read back unchanged.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/base/error.h"
#include "core/model/hf_config.h"

namespace {

void expect_round_trip(const edgetrain::ModelConfig& config) {
  const auto again = edgetrain::parse_hf_config(edgetrain::to_config_json(config), "again");
  if (!again.problems.empty()) std::abort();
  if (edgetrain::to_config_json(again.model) != edgetrain::to_config_json(config)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto config = edgetrain::parse_hf_config({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (config.problems.empty()) expect_round_trip(config.model);
  } catch (const edgetrain::Error& error) {
    if (error.error_class() != edgetrain::ErrorClass::data) std::abort();
  }
  return 0;
}
