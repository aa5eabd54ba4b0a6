// Where did a value stop being finite? Replays the step of this rank and looks at what every instruction
// wrote.
//
// Why a replay: checking every tensor of every step would cost a pass over memory for an event that ends the
// run anyway. The weights have not been updated yet, so the replay computes the very bits that went wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "launch/runs/rank_engine.h"

namespace edgetrain {

/// The first value of this rank that is not finite, for a person: unit, pass, sample and what kind of value;
/// empty: none here. `sample_of(micro_batch, slot)`: index of a sample in the training set.
[[nodiscard]] std::string find_nonfinite(
    RankEngine& engine, float loss_scale,
    const std::function<std::int64_t(int micro_batch, std::int64_t slot)>& sample_of);

}  // namespace edgetrain
