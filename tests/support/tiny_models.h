// Models of every family that are small enough for plain loops, with odd sizes where the family allows them.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "core/model/config.h"

namespace edgetrain::testing {

struct TinyModel {
  std::string name;
  ModelConfig config;
};
/// So that a failing parameterised test names the model.
inline void PrintTo(const TinyModel& model, std::ostream* out) { *out << model.name; }

/// gpt2, llama (grouped-query, untied), llama3 (scaled rope, tied, all biases), mistral (window 4), qwen2
/// (q,k,v bias, a window in one layer only), qwen3 (q/k norm, head_dim not hidden / heads).
[[nodiscard]] const std::vector<TinyModel>& tiny_models();
[[nodiscard]] const ModelConfig& tiny_model(const std::string& name);

}  // namespace edgetrain::testing
