// The errors of softmax's e^x and of the activations' 2^x, over all floats that matter, on every instruction
// set of this machine.
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
float exp2_one(float x) {
  const hn::ScalableTag<float> d;
  return hn::GetLane(exp2_of_negative<32>(d, hn::Set(d, x)));
}
float exp2_rough3_one(float x) {
  const hn::ScalableTag<float> d;
  return hn::GetLane(exp2_rough<3>(d, hn::Set(d, x)));
}
float exp2_rough4_one(float x) {
  const hn::ScalableTag<float> d;
  return hn::GetLane(exp2_rough<4>(d, hn::Set(d, x)));
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
HWY_EXPORT(exp2_one);
HWY_EXPORT(exp2_rough3_one);
HWY_EXPORT(exp2_rough4_one);
float dispatched_exp(float x) { return HWY_DYNAMIC_DISPATCH(exp_one)(x); }
float dispatched_exp2(float x) { return HWY_DYNAMIC_DISPATCH(exp2_one)(x); }
float dispatched_exp2_rough3(float x) { return HWY_DYNAMIC_DISPATCH(exp2_rough3_one)(x); }
float dispatched_exp2_rough4(float x) { return HWY_DYNAMIC_DISPATCH(exp2_rough4_one)(x); }
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

// Down to -127.5: the factor 2^32 keeps what is below the smallest normal number.
TEST(Exp2OfNegative, IsWithinTwoInTenMillionOnEveryTarget) {
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    double worst = 0.0;
    for (float x = -127.49F; x <= 0.0F; x += 7.3e-4F) {
      const double expected = std::exp2(static_cast<double>(x) + 32.0);
      worst = std::max(worst, std::abs(static_cast<double>(cpu::dispatched_exp2(x)) / expected - 1.0));
    }
    EXPECT_LE(worst, 2e-7);
    EXPECT_GT(worst, 0.0);
    EXPECT_EQ(cpu::dispatched_exp2(0.0F), 0x1p32F);
    EXPECT_EQ(cpu::dispatched_exp2(-127.51F), 0.0F);
    EXPECT_EQ(cpu::dispatched_exp2(-INFINITY), 0.0F);
    EXPECT_EQ(cpu::dispatched_exp2(std::numeric_limits<float>::quiet_NaN()), 0.0F);
  }
  use_target(0);
}

// `bound` is what the minimax fit comes to: no less, no more.
void expect_rough(float (*exp2)(float), double bound) {
  double worst = 0.0;
  for (float x = -126.0F; x < 127.99F; x += 1.3e-3F) {
    const double expected = std::exp2(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(exp2(x)) / expected - 1.0));
  }
  EXPECT_LE(worst, bound);
  EXPECT_GT(worst, 0.9 * bound);
  EXPECT_EQ(exp2(0.0F), 1.0F);
  // The largest float below 128 is where a result could overflow into a NaN.
  EXPECT_GE(exp2(std::nextafter(128.0F, 0.0F)), 0x1.fffp127F);
  for (const float x : {128.0F, 1e30F, INFINITY}) EXPECT_EQ(exp2(x), INFINITY);
  for (const float x : {-127.0F, -1e30F, -INFINITY}) EXPECT_EQ(exp2(x), 0.0F);
  EXPECT_TRUE(std::isnan(exp2(std::numeric_limits<float>::quiet_NaN())));
  for (const float x : {-126.01F, -126.5F, -126.99F}) {
    EXPECT_GE(exp2(x), 0.0F);
    EXPECT_LE(exp2(x), 0x1p-126F);
  }
}

TEST(Exp2Rough, KeepsItsBoundsOnEveryTarget) {
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    expect_rough(cpu::dispatched_exp2_rough3, 8.7e-5);
    expect_rough(cpu::dispatched_exp2_rough4, 3.1e-6);
  }
  use_target(0);
}

}  // namespace
}  // namespace edgetrain::testing
#endif  // HWY_ONCE
