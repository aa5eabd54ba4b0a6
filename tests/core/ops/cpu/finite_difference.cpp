#include "tests/core/ops/cpu/finite_difference.h"

#include <vector>

#include "tests/support/compare.h"
#include "tests/support/matrix.h"

namespace edgetrain::testing {

void expect_gradient(Tensor x, Tensor gradient, const std::function<double()>& loss, double bound) {
  // Large enough that the rounding of f32 results does not matter; the quotient divides by what was really
  // added.
  constexpr double kStep = 0x1p-7;
  std::vector<double> expected;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t c = 0; c < x.cols; ++c) {
      const double old = element(x, r, c);
      set_element(x, r, c, old + kStep);
      const double above = element(x, r, c), loss_above = loss();
      set_element(x, r, c, old - kStep);
      const double below = element(x, r, c), loss_below = loss();
      set_element(x, r, c, old);
      expected.push_back((loss_above - loss_below) / (above - below));
    }
  }
  const std::vector<double> actual = read(gradient).values;
  EXPECT_TRUE((close_in_norm<double, double>(actual, expected, bound)));
}

}  // namespace edgetrain::testing
