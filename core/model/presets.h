// Architectures that a job can name without a config.json. Sizes are those of the published models.
#pragma once

#include <map>
#include <string>

#include "core/model/config.h"

namespace edgetrain {

/// By name: gpt2-124m, gpt2-355m, llama-tiny, llama-small (both over bytes), llama3-8b, mistral-7b,
/// qwen2-0.5b, qwen3-0.6b.
[[nodiscard]] const std::map<std::string, ModelConfig, std::less<>>& model_presets();

}  // namespace edgetrain
