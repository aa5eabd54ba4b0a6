// Softmax cross-entropy of the cpu backend (Ops::cross_entropy): rows in parallel, each in two sweeps.
//
// The first sweep keeps a running maximum and sum per lane (one read of the logits), the second writes the
// gradient, which may overwrite the logits: an element is read before it is written. One thread does one row.
#pragma once

#include "core/ops/cpu/env.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

/// Ops::cross_entropy. Takes no scratch. Error(data), before anything is written, names the first target that
/// is neither -100 nor in [0, V).
void cross_entropy(const CpuEnv& env, Tensor logits, Tensor targets, Tensor loss, Tensor dlogits,
                   float scale);

}  // namespace edgetrain::cpu
