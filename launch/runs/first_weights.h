// Where the values of all parameters come from before the first step: the model's own from a seed or a
// folder, those of an adapter from a seed, from a folder of PEFT's, or from the model's own (svd).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "core/io/hash.h"
#include "core/model/adapter_spec.h"
#include "core/model/config.h"
#include "launch/job/job.h"
#include "launch/runs/svd_weights.h"
#include "launch/runs/weights.h"

namespace edgetrain {

struct WeightsOrigin {
  std::string path;          // a Hugging Face folder; empty: from the seed
  std::uint64_t seed = 0;    // of all that no file gives
  std::string adapter_path;  // a folder of PEFT's; empty: a new adapter
};
[[nodiscard]] WeightsOrigin origin_of(const Job& job);
/// The folders, for messages; empty when all comes from the seed.
[[nodiscard]] std::string describe(const WeightsOrigin& origin);

/// The model's own parameters; not those of adapters.
[[nodiscard]] TileSource base_weights(const WeightsOrigin& origin, const ModelLayout& layout);

/// Tensors of adapter_model.safetensors. Error(data) unless every parameter of an adapter of `layout` is
/// there with its shape, and nothing else.
[[nodiscard]] TileSource peft_weights(const std::filesystem::path& folder, const ModelLayout& layout,
                                      Family family);

/// All parameters that a file or a seed gives: what can be wrong about a start. Those that svd makes are
/// random here.
[[nodiscard]] TileSource weights_as_written(const WeightsOrigin& origin, const ModelLayout& layout,
                                            Family family);

/// All parameters. Computes the singular vectors of an svd adapter here, in `room`, with `beat` as a sign of
/// life behind each weight.
[[nodiscard]] TileSource first_weights(const WeightsOrigin& origin, const ModelLayout& layout, Family family,
                                       const AdapterSpec& adapter, const StartRoom& room,
                                       const std::function<void()>& beat);

/// A hash of a few rows of each of the model's own parameters: tells one base of an adapter from another
/// without reading all of it.
[[nodiscard]] Hash128 mark_of(const TileSource& base, const ModelLayout& layout);

}  // namespace edgetrain
