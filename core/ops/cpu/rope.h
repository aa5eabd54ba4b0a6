// Rotary position embedding of the cpu backend (Ops::rope).
//
// Angles, sines and cosines are worked out in fp64, once per row and pair, shared by the heads of the row: a
// float product of a position near 100,000 and a frequency would already be off by some milliradians. The
// error of sine and cosine is below 1e-7 for positions up to 2^31. Nothing is cached between calls. Arguments
// are those of Ops, already checked. No scratch.
#pragma once

#include "core/ops/cpu/env.h"
#include "core/tensor/tensor.h"

namespace edgetrain::cpu {

void rope(const CpuEnv& env, Tensor x, Tensor position, Tensor inv_freq, std::int64_t head_dim, float scale,
          bool inverse);

}  // namespace edgetrain::cpu
