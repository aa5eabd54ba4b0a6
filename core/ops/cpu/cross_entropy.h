// Softmax cross-entropy of the cpu backend (Ops::cross_entropy): rows in parallel, each in two sweeps.
//
// The first sweep reads the logits, sums exponentials chunk by chunk and keeps them; the second only scales
// what was kept into the gradient. Exponentials are most of the work, so computing them again in the second
// sweep was rejected. They are kept in a row of scratch per thread, which stays in its second cache: written
// over the logits they would have to go back to memory. A gradient of f32 is itself the place. One thread
// does one row.
#pragma once

#include <cstdint>

#include "core/ops/cpu/env.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

/// Ops::cross_entropy. Error(data), before anything is written, names the first target that is neither -100
/// nor in [0, V).
void cross_entropy(const CpuEnv& env, Tensor logits, Tensor targets, Tensor loss, Tensor dlogits,
                   float scale);

/// Bytes, a multiple of kAlignment, that cross_entropy() takes from env.workspace in one piece; 0 for loss
/// alone.
[[nodiscard]] std::int64_t cross_entropy_scratch_bytes(const CpuEnv& env, const Tensor& logits,
                                                       const Tensor& dlogits);

}  // namespace edgetrain::cpu
