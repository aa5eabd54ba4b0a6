// How exact the activations are, on every instruction set of this machine: the functions of math-inl.h, seen
// through their operators.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "core/ops/cpu/cpu_ops.h"
#include "core/tensor/bf16.h"
#include "tests/core/ops/cpu/against_oracle.h"
#include "tests/support/matrix.h"

namespace edgetrain::testing {
namespace {

constexpr Activation kAll[] = {Activation::gelu_tanh, Activation::gelu_erf, Activation::silu,
                               Activation::relu};

struct ValueSlope {
  double value, slope;
};

/// x s(v) with s the logistic sigmoid, v odd in x; x_dv is x dv/dx. No term cancels far from 0.
ValueSlope of_sigmoid(double x, double v, double x_dv) {
  const double s = 1.0 / (1.0 + std::exp(-v)), rest = 1.0 / (1.0 + std::exp(v));
  return {x * s, s + x_dv * s * rest};
}

/// Not the oracle's: that takes 1 + tanh and 1 + erf, which cancel in the tails.
ValueSlope reference(Activation f, double x) {
  const double scale = 2.0 * std::sqrt(2.0 / std::numbers::pi), cubic = 0.044715 * x * x * x;
  const double cdf = 0.5 * std::erfc(-x / std::numbers::sqrt2);
  switch (f) {
    case Activation::gelu_tanh:
      return of_sigmoid(x, scale * (x + cubic), scale * (x + 3.0 * cubic));
    case Activation::gelu_erf:
      return {x * cdf, cdf + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi)};
    case Activation::silu:
      return of_sigmoid(x, x, x);
    case Activation::relu:
      return {x > 0.0 ? x : 0.0, x > 0.0 ? 1.0 : 0.0};
  }
  return {};
}

/// An activation of one row, with a gradient of 1.
class Row {
 public:
  Row(Dtype dtype, const std::vector<double>& inputs)
      : x(dtype, 1, std::ssize(inputs)), one_(x), value_(x), slope_(x) {
    one_.constant(1.0);
    for (std::int64_t i = 0; i < std::ssize(inputs); ++i)
      set_element(x.tensor(), 0, i, inputs[static_cast<std::size_t>(i)]);
  }
  void evaluate(Activation f) {
    Workspace none;
    CpuOps(none, {}).activation_backward(f, x.tensor(), one_.tensor(), slope_.tensor(), value_.tensor());
  }
  [[nodiscard]] ValueSlope at(std::size_t i) {
    const auto column = static_cast<std::int64_t>(i);
    return {element(value_.tensor(), 0, column), element(slope_.tensor(), 0, column)};
  }
  Operand x;

 private:
  Operand one_, value_, slope_;
};

// Where the functions are small, too, which an absolute tolerance would not see.
TEST(ActivationAccuracy, RelativeErrorOfFp32) {
  std::vector<double> inputs;
  for (int i = -12000; i <= 12000; ++i)
    inputs.push_back(static_cast<double>(static_cast<float>(i) / 1000.0F));
  Row row(Dtype::f32, inputs);
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    for (const auto& [f, bound] :
         {std::pair{Activation::gelu_erf, 4e-7},
          {Activation::silu, 4e-7},
          {Activation::gelu_tanh, 1.5e-5}}) {  // u is rounded, and exp(2u) multiplies that by 2u
      row.evaluate(f);
      double worst = 0.0;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const double expected = reference(f, inputs[i]).value;
        if (std::abs(expected) < 1e-37) continue;
        worst = std::max(worst, std::abs(row.at(i).value / expected - 1.0));
      }
      EXPECT_LE(worst, bound) << "activation " << static_cast<int>(f) << ", target " << target;
      EXPECT_GT(worst, 0.0);
      RecordProperty(fmt::format("worst_{}_{}", static_cast<int>(f), target), fmt::format("{:.1e}", worst));
    }
  }
  use_target(0);
}

/// Every bf16 below 88, where the last of the functions (silu) leaves the range of normal numbers.
std::vector<double> all_bf16() {
  std::vector<double> all;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto x = static_cast<double>(float_from_bf16(static_cast<std::uint16_t>(bits)));
    if (std::abs(x) < 88.0) all.push_back(x);
  }
  return all;
}

/// The distance between two bf16 around `value`.
double bf16_ulp(double value) {
  constexpr int kSmallest = -133;
  return value == 0.0 ? std::ldexp(1.0, kSmallest)
                      : std::ldexp(1.0, std::max(std::ilogb(value) - 7, kSmallest));
}

/// Smaller results may be 0: a factor of the result is subnormal there.
constexpr double kUnderflow = 0x1p-119;

double ulps_off(double actual, double expected) {
  const double off = std::abs(actual - expected);
  return off <= kUnderflow ? 0.0 : off / bf16_ulp(expected);
}

/// The slope is the difference of two terms there and crosses 0, so its error is absolute.
bool slope_cancels(double x) { return -3.0 < x && x < 0.0; }

// 0.5 is what rounding alone costs.
TEST(ActivationAccuracy, Bf16IsWithinSixTenthsOfAnUlpForEveryInput) {
  const std::vector<double> inputs = all_bf16();
  ASSERT_GT(inputs.size(), 33000U);
  Row row(Dtype::bf16, inputs);
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    for (const Activation f : kAll) {
      SCOPED_TRACE(fmt::format("activation {}, target {}", static_cast<int>(f), target));
      row.evaluate(f);
      double value = 0.0, slope = 0.0, cancelled = 0.0;  // the worst errors
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const ValueSlope is = row.at(i), expected = reference(f, inputs[i]);
        ASSERT_TRUE(std::isfinite(is.value) && std::isfinite(is.slope)) << inputs[i];
        value = std::max(value, ulps_off(is.value, expected.value));
        const double off = ulps_off(is.slope, expected.slope);
        if (off > 0.6 && slope_cancels(inputs[i])) {
          cancelled = std::max(cancelled, std::abs(is.slope - expected.slope));
        } else {
          slope = std::max(slope, off);
        }
      }
      EXPECT_LE(value, 0.6);
      EXPECT_LE(slope, 0.6);
      EXPECT_LE(cancelled, 5e-5);
      RecordProperty(fmt::format("worst_{}_{}", static_cast<int>(f), target),
                     fmt::format("{:.4f} {:.4f} {:.1e}", value, slope, cancelled));
    }
  }
  use_target(0);
}

class Extremes : public ::testing::TestWithParam<Dtype> {};
INSTANTIATE_TEST_SUITE_P(Dtypes, Extremes, ::testing::Values(Dtype::f32, Dtype::bf16));

TEST_P(Extremes, StayFinite) {
  const std::vector<double> inputs = {-1e10, -1e4, -200.0, 0.0, 200.0, 1e4, 1e10};
  Row row(GetParam(), inputs);
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    for (const Activation f : kAll) {
      SCOPED_TRACE(fmt::format("activation {}, target {}", static_cast<int>(f), target));
      row.evaluate(f);
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i] == 0.0) continue;
        const double x = element(row.x.tensor(), 0, static_cast<std::int64_t>(i));
        EXPECT_NEAR(row.at(i).value, x > 0.0 ? x : 0.0, 1e-30);
        EXPECT_NEAR(row.at(i).slope, x > 0.0 ? 1.0 : 0.0, 1e-30);
      }
      EXPECT_EQ(row.at(3).value, 0.0);
      EXPECT_EQ(row.at(3).slope, f == Activation::relu ? 0.0 : 0.5);
    }
  }
  use_target(0);
}

// -inf is the product of infinity and 0, as in PyTorch.
TEST_P(Extremes, NaNStaysNaNAndInfinityIsItself) {
  const double infinity = std::numeric_limits<double>::infinity();
  Row row(GetParam(), {infinity, -infinity, std::nan("")});
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    for (const Activation f : kAll) {
      SCOPED_TRACE(fmt::format("activation {}, target {}", static_cast<int>(f), target));
      row.evaluate(f);
      EXPECT_EQ(row.at(0).value, infinity);
      EXPECT_TRUE(std::isnan(row.at(2).value));
      const bool relu = f == Activation::relu;  // whose slope is 0 or 1, and which has no product
      EXPECT_EQ(std::isnan(row.at(1).value), !relu);
      EXPECT_EQ(std::isnan(row.at(2).slope), !relu);
    }
  }
  use_target(0);
}

}  // namespace
}  // namespace edgetrain::testing
