// Gradient clipping by global norm (Pascanu et al. 2013), reduced to one number.
//
// Why only a coefficient: gradients are never rewritten. The coefficient goes into UpdateScalars::grad_scale
// and the update multiplies as it reads, which saves one pass over all gradients.
#pragma once

#include <optional>

namespace edgetrain {

/// min(1, max_norm / (norm + 1e-6)), as PyTorch's clip_grad_norm_ computes it; 1 when max_norm is 0 (off).
/// norm: of the whole gradient, already unscaled. Empty when the norm is NaN or infinite, clipping on or off:
/// there is no coefficient that makes such a step right, so the caller stops the run or skips the step, and
/// says so.
[[nodiscard]] std::optional<double> clip_coefficient(double norm, double max_norm);

}  // namespace edgetrain
