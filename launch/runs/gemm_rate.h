// The rate at which this rank multiplies matrices, measured: the denominator of MFU on a CPU and the rate of
// simulations.
#pragma once

#include "core/program/abstract_run.h"
#include "core/tensor/dtype.h"

namespace edgetrain {

/// Takes about 0.2 s: square products of 768 in `dtype` on `threads` threads, the best of several, and then a
/// copy of 8 MiB. The link rates are those of a copy through shared memory: half of the copy's bandwidth.
[[nodiscard]] Rates measure_rates(Dtype dtype, int threads);

}  // namespace edgetrain
