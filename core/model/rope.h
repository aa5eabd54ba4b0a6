// Frequencies of rotary position embeddings (Su et al. 2021), with Llama 3.1's scaling.
#pragma once

#include <vector>

#include "core/model/config.h"

namespace edgetrain {

/// The head_dim / 2 inverse frequencies, in the float32 arithmetic and order of Hugging Face transformers
/// (modeling_rope_utils.py), so that both rotate by the same angles. Empty for RopeConfig::Type::none.
[[nodiscard]] std::vector<float> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim);

}  // namespace edgetrain
