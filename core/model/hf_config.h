// Hugging Face's config.json, read into a ModelConfig and written back.
//
// Why so strict: a key that changes the forward pass and is passed over gives a model that runs and is wrong.
// Known keys of that sort are refused by name unless they hold their neutral value; keys that nobody here has
// heard of give a warning, since new Hugging Face releases add harmless ones all the time. Reads the
// spellings of transformers 4 (rope_theta, rope_scaling, torch_dtype) and 5 (rope_parameters, dtype).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/config.h"

namespace edgetrain {

/// `key` is the path inside config.json, e.g. "rope_scaling.factor".
struct ConfigProblem {
  std::string key;
  std::string message;  // what is wrong and what would be right; does not repeat the key
};

struct HfConfig {
  ModelConfig model;                    // complete only if there are no problems
  std::vector<ConfigProblem> problems;  // all of them
  std::vector<ConfigProblem> warnings;
  std::vector<std::string> unknown;  // keys that nobody has heard of; each has a warning too
  std::vector<std::string> read;     // keys that this family reads, in ascending order
};

/// Reads the text of a config.json, or of a job's inline `model.config`. Error(data) for text that is no JSON
/// object; everything else is a problem. `origin` (a path, or "model.config") opens that message.
[[nodiscard]] HfConfig parse_hf_config(std::string_view json, std::string_view origin);

/// The same, but throws Error(data) with every problem on a line of its own. Appends warnings as lines to
/// `warnings`.
[[nodiscard]] ModelConfig model_config_from_inline(std::string_view json, std::string_view origin,
                                                   std::vector<std::string>& warnings);

/// From a config.json, or the folder that holds one.
[[nodiscard]] ModelConfig load_hf_config(const std::filesystem::path& path,
                                         std::vector<std::string>& warnings);

/// A config.json that parse_hf_config reads back to the same ModelConfig and transformers 4 and 5 read as
/// well. Equal configs give equal text.
[[nodiscard]] std::string to_config_json(const ModelConfig& config);

}  // namespace edgetrain
