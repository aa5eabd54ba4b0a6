#include "core/model/rope.h"

#include <cmath>
#include <numbers>

namespace edgetrain {
namespace {

// Long wavelengths are divided by `factor`, short ones stay, those between are blended.
float llama3_scaled(const RopeConfig& rope, float frequency) {
  const auto context = static_cast<double>(rope.original_max_position_embeddings);
  const float wavelength = static_cast<float>(2.0 * std::numbers::pi) / frequency;
  const auto factor = static_cast<float>(rope.factor);
  if (wavelength < static_cast<float>(context / rope.high_freq_factor)) return frequency;
  if (wavelength > static_cast<float>(context / rope.low_freq_factor)) return frequency / factor;
  const float smooth = (static_cast<float>(context) / wavelength - static_cast<float>(rope.low_freq_factor)) /
                       static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

float scaled(const RopeConfig& rope, float frequency) {
  switch (rope.type) {
    case RopeConfig::Type::none:
    case RopeConfig::Type::plain:
      return frequency;
    case RopeConfig::Type::linear:
      return frequency / static_cast<float>(rope.factor);
    case RopeConfig::Type::llama3:
      return llama3_scaled(rope, frequency);
  }
  return frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim) {
  if (rope.type == RopeConfig::Type::none) return {};
  ET_CHECK(head_dim > 0 && head_dim % 2 == 0, "rope rotates pairs, head_dim is {}", head_dim);
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    frequencies.push_back(scaled(rope, 1.0F / std::pow(static_cast<float>(rope.theta), exponent)));
  }
  return frequencies;
}

}  // namespace edgetrain
