// Gradients against central differences: forward in fp64 by the oracle, so that the step can be small.
#pragma once

#include <cstdint>
#include <functional>

#include "core/tensor/tensor.h"

namespace edgetrain::testing {

/// Expects gradient (n elements, f32) to be d sum(weight * f(x)) / dx for f32 x, where `loss` evaluates that
/// sum after x has been changed in place. `bound` is relative to the norm of the gradient.
void expect_gradient(Tensor x, Tensor gradient, const std::function<double()>& loss, double bound);

}  // namespace edgetrain::testing
