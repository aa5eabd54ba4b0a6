// Every hand-written backward against central differences of its forward, for every family.
//
// All tensors are f64, so a derivative is right to far more digits than any mistake in a formula could hide
// in. The seed is fixed; a direction covers all elements of a tensor at once, single elements find wrong
// layouts.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "tests/support/compare.h"
#include "tests/support/model_harness.h"
#include "tests/support/oracle_ops.h"
#include "tests/support/tiny_models.h"

namespace edgetrain::testing {
namespace {

constexpr std::uint64_t kSeed = 20240607;
constexpr double kLossScale = 0.125;  // exact in f32
constexpr double kStep = 1e-4;        // truncation about 1e-8, rounding about 1e-12
constexpr double kTolerance = 1e-6;   // of the gradient's norm
constexpr std::int64_t kSamples = 2, kSeqLen = 7;

double norm(const Matrix& m) {
  return std::sqrt(std::inner_product(m.values.begin(), m.values.end(), m.values.begin(), 0.0));
}
double dot(const Matrix& a, const Matrix& b) {
  return std::inner_product(a.values.begin(), a.values.end(), b.values.begin(), 0.0);
}

using Values = std::vector<double>;
::testing::AssertionResult close(const Values& actual, const Values& expected, Tolerance tolerance) {
  return all_close(std::span<const double>(actual), std::span<const double>(expected), tolerance);
}
::testing::AssertionResult near(const Values& actual, const Values& expected, double bound) {
  return close_in_norm(std::span<const double>(actual), std::span<const double>(expected), bound);
}

class Bench {
 public:
  explicit Bench(const ModelConfig& config, std::int64_t chunk_rows = 5)
      : harness(config, {Dtype::f64, chunk_rows}, ops_, arena_.workspace()) {
    harness.randomise(kSeed);
  }

 private:
  ScratchArena arena_{1 << 22};
  OracleOps ops_;

 public:
  ModelHarness harness;
};

TokenBatch make_batch(const ModelConfig& config) {
  TokenBatch batch = TokenBatch::random(kSamples, kSeqLen, config.vocab_size, kSeed);
  batch.targets[3] = -100;            // ignored
  batch.document_starts = {3, 7, 9};  // inside the first sample, at a sample's start, inside the second
  return batch;
}

double loss(ModelHarness& harness, const TokenBatch& batch) {
  const auto losses = harness.forward_losses(batch);
  return kLossScale * std::accumulate(losses.begin(), losses.end(), 0.0);
}

// (L(p + step d) - L(p - step d)) / (2 step), where set(p) writes the tensor.
template <typename Set>
double central_difference(ModelHarness& harness, const TokenBatch& batch, const Matrix& at,
                          const Matrix& direction, Set&& set) {
  const auto loss_at = [&](double step) {
    Matrix moved = at;
    for (std::size_t i = 0; i < moved.values.size(); ++i) moved.values[i] += step * direction.values[i];
    set(moved);
    return loss(harness, batch);
  };
  const double difference = (loss_at(kStep) - loss_at(-kStep)) / (2.0 * kStep);
  set(at);
  return difference;
}

// A random direction of length 1, and single elements.
std::vector<Matrix> directions(const Matrix& like, std::mt19937_64& random) {
  std::vector<Matrix> result(4, Matrix(like.rows, like.cols));
  std::normal_distribution<double> normal;
  for (double& value : result[0].values) value = normal(random);
  const double length = norm(result[0]);
  for (double& value : result[0].values) value /= length;
  std::uniform_int_distribution<std::size_t> element(0, like.values.size() - 1);
  for (std::size_t i = 1; i < result.size(); ++i) result[i].values[element(random)] = 1.0;
  return result;
}

// The largest error of `gradient` along a few directions, as a part of its norm.
template <typename Set>
double worst_error(ModelHarness& harness, const TokenBatch& batch, const Matrix& at, const Matrix& gradient,
                   std::mt19937_64& random, Set&& set) {
  double worst = 0.0;
  for (const Matrix& direction : directions(at, random)) {
    const double expected = central_difference(harness, batch, at, direction, set);
    const double error = std::abs(dot(gradient, direction) - expected) / norm(gradient);
    if (!(error <= worst)) worst = error;  // keeps NaN
  }
  return worst;
}

double worst_param_error(ModelHarness& harness, const TokenBatch& batch, const std::string& name,
                         std::mt19937_64& random) {
  const Tensor param = harness.param(name);
  return worst_error(harness, batch, read(param), harness.grad(name), random,
                     [&](const Matrix& values) { write(values, param); });
}

class Gradients : public ::testing::TestWithParam<TinyModel> {};

TEST_P(Gradients, OfEveryParameterEqualFiniteDifferences) {
  Bench bench(GetParam().config);
  const TokenBatch batch = make_batch(GetParam().config);
  bench.harness.step(batch, kLossScale);
  std::mt19937_64 random(kSeed);
  for (const auto& name : bench.harness.names()) {
    EXPECT_GT(norm(bench.harness.grad(name)), 1e-4) << name;
    EXPECT_LT(worst_param_error(bench.harness, batch, name, random), kTolerance)
        << name << ", seed " << kSeed;
  }
}

TEST_P(Gradients, OfTheEmbeddingOutputEqualFiniteDifferences) {
  Bench bench(GetParam().config);
  const TokenBatch batch = make_batch(GetParam().config);
  bench.harness.step(batch, kLossScale);
  std::mt19937_64 random(kSeed);
  const Matrix gradient = bench.harness.embedding_output_grad();
  const Matrix origin(gradient.rows, gradient.cols);
  EXPECT_LT(worst_error(bench.harness, batch, origin, gradient, random,
                        [&](const Matrix& offset) { bench.harness.embedding_offset = offset; }),
            kTolerance);
}

// Negative control: a block whose output lacks the residual has another derivative, and the check above sees
// it.
void forward_without_residual(const Unit& unit, Context& ctx, const Batch& batch, Tensor x, Tensor y,
                              Saved keep) {
  unit.forward(ctx, batch, x, y, keep);
  if (unit.name() != "blocks.1") return;
  for (std::int64_t r = 0; r < y.rows; ++r) {
    for (std::int64_t c = 0; c < y.cols; ++c) set_element(y, r, c, element(y, r, c) - element(x, r, c));
  }
}

TEST_P(Gradients, AMissingResidualIsNoticed) {
  Bench bench(GetParam().config);
  const TokenBatch batch = make_batch(GetParam().config);
  bench.harness.forward_override = forward_without_residual;
  bench.harness.step(batch, kLossScale);
  std::mt19937_64 random(kSeed);
  EXPECT_GT(worst_param_error(bench.harness, batch, bench.harness.names().front(), random), 1e3 * kTolerance);
}

TEST_P(Gradients, DoNotDependOnWhetherDxIsDy) {
  Bench in_place(GetParam().config), apart(GetParam().config);
  apart.harness.gradients_in_place = false;
  const TokenBatch batch = make_batch(GetParam().config);
  in_place.harness.step(batch, kLossScale);
  apart.harness.step(batch, kLossScale);
  for (const auto& name : in_place.harness.names()) {
    EXPECT_EQ(in_place.harness.grad(name).values, apart.harness.grad(name).values) << name;
  }
}

TEST_P(Gradients, AccumulateOverMicroBatches) {
  Bench whole(GetParam().config), parts(GetParam().config);
  const TokenBatch batch = TokenBatch::random(kSamples, kSeqLen, GetParam().config.vocab_size, kSeed);
  const auto losses = whole.harness.step(batch, kLossScale);
  std::vector<double> part_losses;
  for (std::int64_t sample = 0; sample < kSamples; ++sample) {
    const auto more = parts.harness.step(batch.samples(sample, 1), kLossScale);
    part_losses.insert(part_losses.end(), more.begin(), more.end());
  }
  EXPECT_TRUE(close(part_losses, losses, {1e-12, 1e-12}));
  for (const auto& name : whole.harness.names()) {
    EXPECT_TRUE(near(parts.harness.grad(name).values, whole.harness.grad(name).values, 1e-12)) << name;
  }
}

TEST_P(Gradients, ZeroGradsForgetsEarlierSteps) {
  Bench bench(GetParam().config);
  const TokenBatch batch = make_batch(GetParam().config);
  bench.harness.step(batch, kLossScale);
  const auto name = bench.harness.names().back();
  const auto once = bench.harness.grad(name).values;
  bench.harness.zero_grads();
  bench.harness.step(batch, kLossScale);
  EXPECT_EQ(bench.harness.grad(name).values, once);
}

// bf16 rounds every activation and gradient to 8 bits; a wrong path would be off by its whole size.
TEST_P(Gradients, InBf16AreNearThoseInF64) {
  ScratchArena arena(1 << 22);
  OracleOps ops;
  ModelHarness narrow(GetParam().config, {Dtype::bf16, 5}, ops, arena.workspace());
  narrow.randomise(kSeed, 0.1);
  Bench wide(GetParam().config);
  for (const auto& name : narrow.names()) write(read(narrow.param(name)), wide.harness.param(name));
  const TokenBatch batch = make_batch(GetParam().config);
  EXPECT_TRUE(close(narrow.step(batch, kLossScale), wide.harness.step(batch, kLossScale), {0.02, 0.02}));
  for (const auto& name : narrow.names()) {
    EXPECT_TRUE(near(narrow.grad(name).values, wide.harness.grad(name).values, 0.05)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Gradients, ::testing::ValuesIn(tiny_models()),
                         [](const auto& family) { return family.param.name; });

}  // namespace
}  // namespace edgetrain::testing
