#include "optim/clip.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace edgetrain {
namespace {

constexpr double kNormFloor = 1e-6;  // PyTorch's; keeps a zero gradient at coefficient 1

}  // namespace

std::optional<double> clip_coefficient(double norm, double max_norm) {
  ET_CHECK(max_norm >= 0.0, "max_norm {}", max_norm);
  ET_CHECK(!(norm < 0.0), "norm {}", norm);
  if (!std::isfinite(norm)) return std::nullopt;
  if (max_norm == 0.0) return 1.0;
  return std::min(1.0, max_norm / (norm + kNormFloor));
}

}  // namespace edgetrain
