// Softmax cross-entropy of the cpu backend (Ops::cross_entropy): rows in parallel, each in two sweeps.
//
// The first sweep keeps a running maximum and sum (one read of the logits), the second writes the gradient, which may
// overwrite the logits: a row is read before it is written, element by element. One thread does one row.
#pragma once

#include "core/ops/cpu/env.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

/// Ops::cross_entropy. Takes no scratch. Error(data) names the first bad row and its id; then nothing but `loss` and
/// `dlogits` rows before it is defined.
void cross_entropy(const CpuEnv& env, Tensor logits, Tensor targets, Tensor loss, Tensor dlogits, float scale);

}  // namespace edgetrain::cpu
