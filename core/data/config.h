// Which tokens a job trains on, and in which order. Keys and their meaning: docs/job.md, section `data`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/names.h"

namespace edgetrain {

enum class DataOrder : std::uint8_t { shuffled, sequential };
constexpr std::array<std::string_view, 2> names_of(DataOrder) { return {"shuffled", "sequential"}; }

/// Section `data`. An empty optional is `auto`.
struct DataConfig {
  std::vector<std::string> path;                   // files or folders; relative to the working directory
  std::optional<std::string> tokenizer = "bytes";  // "bytes" or a file; auto: the tokenizer of model.path
  std::int64_t seq_len = 256;                      // tokens
  DataOrder order = DataOrder::shuffled;
  double val_fraction = 0.05;  // tail of the token stream, in [0, 1)
};

}  // namespace edgetrain
