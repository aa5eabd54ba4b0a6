#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/ops/cpu/cpu_ops.h"
#include "tests/core/ops/cpu/against_oracle.h"
#include "tests/core/ops/cpu/finite_difference.h"
#include "tests/support/matrix.h"
#include "tests/support/oracle_ops.h"

namespace edgetrain::testing {
namespace {

constexpr std::uint64_t kSeed = 20240603;
constexpr Tolerance kElementwise{1e-7, 2e-6};

struct Shape {
  std::int64_t rows, cols, gap;
  Dtype dtype;
};
const Shape kShapes[] = {{1, 1, 0, Dtype::f32},     {1, 3, 0, Dtype::bf16},    {5, 17, 3, Dtype::f32},
                         {5, 17, 3, Dtype::bf16},   {12, 1027, 0, Dtype::f32}, {19, 1027, 2, Dtype::bf16},
                         {23, 1027, 2, Dtype::f32}, {1, 12345, 0, Dtype::bf16}};

class Elementwise : public ::testing::TestWithParam<Shape> {
 protected:
  std::mt19937_64 random_{kSeed};
  Operand matrix() { return empty().uniform(random_, -9.0, 9.0); }
  Operand empty() { return Operand(GetParam().dtype, GetParam().rows, GetParam().cols, GetParam().gap); }
};
INSTANTIATE_TEST_SUITE_P(Shapes, Elementwise, ::testing::ValuesIn(kShapes));

TEST_P(Elementwise, Swiglu) {
  expect_agrees({{matrix(), matrix(), empty()},
                 {2},
                 [](Ops& ops, auto t) { ops.swiglu(t[0], t[1], t[2]); },
                 kElementwise});
}

TEST_P(Elementwise, SwigluBackward) {
  expect_agrees({{matrix(), matrix(), matrix(), empty(), empty()},
                 {3, 4},
                 [](Ops& ops, auto t) { ops.swiglu_backward(t[0], t[1], t[2], t[3], t[4]); },
                 {1e-5, 2e-6}});
}

TEST_P(Elementwise, SwigluBackwardInPlace) {
  expect_agrees({{matrix(), matrix(), matrix()},
                 {0, 1},
                 [](Ops& ops, auto t) { ops.swiglu_backward(t[0], t[1], t[2], t[0], t[1]); },
                 {1e-5, 2e-6}});
}

// gate and up are halves of one tensor, as a fused product leaves them.
TEST_P(Elementwise, SwigluOfColumnRanges) {
  const Shape s = GetParam();
  Operand both(s.dtype, s.rows, 2 * s.cols, s.gap);
  both.uniform(random_, -3.0, 3.0);
  expect_agrees({{both, empty()},
                 {1},
                 [cols = s.cols](Ops& ops, auto t) {
                   ops.swiglu(t[0].col_range(0, cols), t[0].col_range(cols, cols), t[1]);
                 },
                 kElementwise});
}

constexpr Activation kAll[] = {Activation::gelu_tanh, Activation::gelu_erf, Activation::silu,
                               Activation::relu};

TEST_P(Elementwise, Activation) {
  for (const Activation f : kAll) {
    SCOPED_TRACE(static_cast<int>(f));
    expect_agrees(
        {{matrix(), empty()}, {1}, [f](Ops& ops, auto t) { ops.activation(f, t[0], t[1]); }, kElementwise});
    expect_agrees({{matrix()}, {0}, [f](Ops& ops, auto t) { ops.activation(f, t[0], t[0]); }, kElementwise});
  }
}

TEST_P(Elementwise, ActivationBackward) {
  for (const Activation f : kAll) {
    SCOPED_TRACE(static_cast<int>(f));
    expect_agrees({{matrix(), matrix(), empty()},
                   {2},
                   [f](Ops& ops, auto t) { ops.activation_backward(f, t[0], t[1], t[2]); },
                   {5e-6, 2e-6}});
    expect_agrees({{matrix(), matrix()},
                   {1},
                   [f](Ops& ops, auto t) { ops.activation_backward(f, t[0], t[1], t[1]); },
                   {5e-6, 2e-6}});
  }
}

TEST(ActivationGradient, MatchesFiniteDifferences) {
  std::mt19937_64 random(kSeed);
  Workspace workspace;
  CpuOps ops(workspace, {});
  OracleOps oracle;
  Operand x(Dtype::f32, 3, 13), dy(Dtype::f32, 3, 13), y(Dtype::f32, 3, 13), dx(Dtype::f32, 3, 13);
  x.uniform(random, 0.1, 3.0);  // away from relu's kink
  dy.uniform(random, 0.5, 1.0);
  for (const Activation f : kAll) {
    const auto loss = [&] {
      oracle.activation(f, x.tensor(), y.tensor());
      const Matrix out = read(y.tensor()), weight = read(dy.tensor());
      double sum = 0.0;
      for (std::size_t i = 0; i < out.values.size(); ++i) sum += out.values[i] * weight.values[i];
      return sum;
    };
    ops.activation_backward(f, x.tensor(), dy.tensor(), dx.tensor());
    expect_gradient(x.tensor(), dx.tensor(), loss, 1e-3);
  }
}

TEST(ActivationGradient, SwigluMatchesFiniteDifferences) {
  std::mt19937_64 random(kSeed);
  Workspace workspace;
  CpuOps ops(workspace, {});
  OracleOps oracle;
  Operand gate(Dtype::f32, 2, 9), up(Dtype::f32, 2, 9), dy(Dtype::f32, 2, 9), y(Dtype::f32, 2, 9);
  Operand dgate(Dtype::f32, 2, 9), dup(Dtype::f32, 2, 9);
  for (Operand* operand : {&gate, &up, &dy}) operand->uniform(random, -2.0, 2.0);
  const auto loss = [&] {
    oracle.swiglu(gate.tensor(), up.tensor(), y.tensor());
    const Matrix out = read(y.tensor()), weight = read(dy.tensor());
    double sum = 0.0;
    for (std::size_t i = 0; i < out.values.size(); ++i) sum += out.values[i] * weight.values[i];
    return sum;
  };
  ops.swiglu_backward(gate.tensor(), up.tensor(), dy.tensor(), dgate.tensor(), dup.tensor());
  expect_gradient(gate.tensor(), dgate.tensor(), loss, 1e-3);
  expect_gradient(up.tensor(), dup.tensor(), loss, 1e-3);
}

// Relative accuracy where the functions are small, which an absolute tolerance would not see.
TEST(ActivationAccuracy, RelativeErrorInTheTails) {
  constexpr std::int64_t kPoints = 24001;
  const auto reference = [](Activation f, double x) {
    const double u = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    switch (f) {
      case Activation::gelu_tanh:
        return x / (1.0 + std::exp(-2.0 * u));
      case Activation::gelu_erf:
        return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
      case Activation::silu:
        return x / (1.0 + std::exp(-x));
      case Activation::relu:
        return x > 0.0 ? x : 0.0;
    }
    return 0.0;
  };
  Workspace workspace;
  CpuOps ops(workspace, {});
  Operand x(Dtype::f32, 1, kPoints), y(Dtype::f32, 1, kPoints);
  for (std::int64_t i = 0; i < kPoints; ++i)
    set_element(x.tensor(), 0, i, static_cast<double>(i - 12000) / 1000.0);
  for (const std::int64_t target : machine_targets()) {
    use_target(target);
    for (const auto& [f, bound] :
         {std::pair{Activation::gelu_erf, 4e-7},
          {Activation::silu, 4e-7},
          {Activation::gelu_tanh, 1.5e-5}}) {  // u is rounded, and exp(2u) multiplies that by 2u
      ops.activation(f, x.tensor(), y.tensor());
      double worst = 0.0;
      for (std::int64_t i = 0; i < kPoints; ++i) {
        const double expected = reference(f, element(x.tensor(), 0, i));
        if (std::abs(expected) < 1e-37) continue;
        worst = std::max(worst, std::abs(element(y.tensor(), 0, i) / expected - 1.0));
      }
      EXPECT_LE(worst, bound) << "activation " << static_cast<int>(f) << ", target " << target;
      RecordProperty("worst_" + std::to_string(static_cast<int>(f)), std::to_string(worst));
    }
  }
  use_target(0);
}

TEST(ActivationAccuracy, ExtremesStayFiniteAndNaNStaysNaN) {
  Workspace workspace;
  CpuOps ops(workspace, {});
  Operand x(Dtype::f32, 1, 6), y(Dtype::f32, 1, 6);
  const double values[] = {-1e4, -200.0, 0.0, 200.0, 1e4, std::nan("")};
  for (std::int64_t i = 0; i < 6; ++i) set_element(x.tensor(), 0, i, values[i]);
  for (const Activation f : kAll) {
    ops.activation(f, x.tensor(), y.tensor());
    const auto out = y.tensor().flat<float>();
    EXPECT_NEAR(out[0], 0.0F, 1e-30F);
    EXPECT_NEAR(out[1], 0.0F, 1e-30F);
    EXPECT_EQ(out[2], 0.0F);
    EXPECT_EQ(out[3], 200.0F);
    EXPECT_EQ(out[4], 10000.0F);
    EXPECT_TRUE(std::isnan(out[5])) << static_cast<int>(f);
  }
}

}  // namespace
}  // namespace edgetrain::testing
