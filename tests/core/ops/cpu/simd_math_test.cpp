// The error of softmax's e^x, over all floats that matter, on every instruction set of this machine.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/core/ops/cpu/simd_math_test.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first.
#include "core/ops/cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace edgetrain::cpu {
namespace HWY_NAMESPACE {

float exp_one(float x) {
  const hn::ScalableTag<float> d;
  return hn::GetLane(exp_of_difference(d, hn::Set(d, x)));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace edgetrain::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/core/ops/cpu/against_oracle.h"

namespace edgetrain::cpu {
HWY_EXPORT(exp_one);
float dispatched_exp(float x) { return HWY_DYNAMIC_DISPATCH(exp_one)(x); }
}  // namespace edgetrain::cpu

namespace edgetrain::testing {
namespace {

double ulps(float actual, double expected) {
  const auto nearest = static_cast<float>(expected);
  const double ulp = static_cast<double>(std::nextafter(nearest, INFINITY)) - static_cast<double>(nearest);
  return std::abs(static_cast<double>(actual) - expected) / ulp;
}

double worst(float low, float high, float step) {
  double error = 0.0;
  for (float x = low; x < high; x += step) {
    const float actual = cpu::dispatched_exp(x);
    error = std::max(error, ulps(actual, std::exp(static_cast<double>(x))));
  }
  return error;
}

TEST(ExpOfDifference, IsWithinTwoUlpsOnEveryTarget) {
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    const double error = std::max(worst(-87.3F, 88.0F, 1.7e-3F), worst(-2.0F, 1.0F, 3.1e-5F));
    RecordProperty("worst_ulps", std::to_string(error));
    EXPECT_LE(error, 2.0);
    EXPECT_GT(error, 0.0);  // a comparison with itself would find none
  }
  use_target(0);
}

TEST(ExpOfDifference, EdgesAreExact) {
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    const auto exp = [](float x) { return cpu::dispatched_exp(x); };
    EXPECT_EQ(exp(0.0F), 1.0F);
    EXPECT_EQ(exp(-0.0F), 1.0F);
    EXPECT_EQ(exp(-INFINITY), 0.0F);
    EXPECT_EQ(exp(-1e30F), 0.0F);
    EXPECT_EQ(exp(-87.31F), 0.0F);
    EXPECT_TRUE(std::isnan(exp(std::numeric_limits<float>::quiet_NaN())));
  }
  use_target(0);
}

}  // namespace
}  // namespace edgetrain::testing
#endif  // HWY_ONCE
