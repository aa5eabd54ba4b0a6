#include "core/model/head.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/model_harness.h"
#include "tests/support/oracle_ops.h"
#include "tests/support/tiny_models.h"

namespace edgetrain::testing {
namespace {

constexpr std::uint64_t kSeed = 4242;
constexpr std::int64_t kRows = 14;

::testing::AssertionResult near(const std::vector<double>& actual, const std::vector<double>& expected) {
  return close_in_norm(std::span<const double>(actual), std::span<const double>(expected), 1e-12);
}

struct Bench {
  Bench(const ModelConfig& config, Dtype dtype, std::int64_t chunk_rows)
      : harness(config, {dtype, chunk_rows}, ops, arena.workspace()),
        batch(TokenBatch::random(2, kRows / 2, config.vocab_size, kSeed)) {
    harness.randomise(kSeed);
  }
  ScratchArena arena{1 << 22};
  OracleOps ops;
  ModelHarness harness;
  TokenBatch batch;
};

TEST(Head, ChunksDoNotChangeLossOrGradients) {
  for (const auto* name : {"gpt2", "llama"}) {
    Bench whole(tiny_model(name), Dtype::f64, kRows), chunked(tiny_model(name), Dtype::f64, 3);
    EXPECT_TRUE(near(chunked.harness.step(chunked.batch, 0.25), whole.harness.step(whole.batch, 0.25)));
    for (const auto& param : whole.harness.names()) {
      EXPECT_TRUE(near(chunked.harness.grad(param).values, whole.harness.grad(param).values)) << param;
    }
  }
}

TEST(Head, EvaluationAndTrainingSeeTheSameLoss) {
  for (const auto& model : tiny_models()) {
    Bench bench(model.config, Dtype::f32, 4);
    EXPECT_EQ(bench.harness.forward_losses(bench.batch), bench.harness.step(bench.batch, 0.25)) << model.name;
  }
}

TEST(Head, LossIsTheCrossEntropyOfItsLogits) {
  Bench bench(tiny_model("qwen3"), Dtype::f64, 3);
  bench.batch.targets[5] = -100;
  const auto losses = bench.harness.forward_losses(bench.batch);
  std::vector<std::int32_t> rows(kRows);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
  const Matrix logits = bench.harness.logits(bench.batch, rows);
  for (std::int64_t r = 0; r < kRows; ++r) {
    const auto target = bench.batch.targets[static_cast<std::size_t>(r)];
    double sum = 0.0;
    for (std::int64_t c = 0; c < logits.cols; ++c) sum += std::exp(logits[r][c]);
    const double expected = target == -100 ? 0.0 : std::log(sum) - logits[r][target];
    EXPECT_NEAR(losses[static_cast<std::size_t>(r)], expected, 1e-12) << "row " << r;
  }
}

TEST(Head, LogitsAreThoseOfTheRowsAskedFor) {
  Bench bench(tiny_model("llama"), Dtype::f64, 3);
  const Matrix some = bench.harness.logits(bench.batch, {11, 2});
  const Matrix row2 = bench.harness.logits(bench.batch, {2}), row11 = bench.harness.logits(bench.batch, {11});
  for (std::int64_t c = 0; c < some.cols; ++c) {
    EXPECT_EQ(some[0][c], row11[0][c]);
    EXPECT_EQ(some[1][c], row2[0][c]);
  }
}

TEST(Head, AnIgnoredTargetGivesNoGradient) {
  Bench bench(tiny_model("llama"), Dtype::f64, 3);
  std::fill(bench.batch.targets.begin(), bench.batch.targets.end(), -100);
  EXPECT_EQ(bench.harness.step(bench.batch, 1.0), std::vector<double>(kRows, 0.0));
  for (const auto& name : bench.harness.names()) {
    for (const double value : bench.harness.grad(name).values) ASSERT_EQ(value, 0.0) << name;
  }
}

TEST(Head, ATargetOutsideTheVocabularyIsADataError) {
  Bench bench(tiny_model("llama"), Dtype::f32, 3);
  bench.batch.targets[6] = 19;
  EXPECT_THROW(bench.harness.step(bench.batch, 1.0), Error);
}

TEST(Head, AskedForNothingItRefuses) {
  const auto& config = tiny_model("llama");
  const Head head(config, Dtype::f32, 3);
  OracleOps ops;
  Workspace workspace;
  const HostStream stream;
  Context ctx(ops, workspace, stream);
  EXPECT_THROW(head.forward(ctx, Batch{}, {}, {}, {}), Error);
  EXPECT_THROW(Head(config, Dtype::f32, 0), Error);
}

// Logits of one chunk, its normed rows and their statistics; in bf16 also the narrow gradient of the logits.
TEST(Head, ScratchIsThatOfOneChunk) {
  auto config = tiny_model("llama");
  config.vocab_size = 1009;  // so that the head needs more than the blocks
  constexpr std::int64_t kChunk = 3;
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    Bench bench(config, dtype, kChunk);
    bench.harness.step(bench.batch, 0.25);
    const std::int64_t narrow = dtype == Dtype::bf16 ? aligned(kChunk * config.vocab_size * 2) : 0;
    EXPECT_EQ(bench.arena.workspace().peak(), aligned(kChunk * config.vocab_size * 4) + narrow +
                                                  aligned(kChunk * config.hidden_size * size_of(dtype)) +
                                                  aligned(kChunk * 4));
  }
}

}  // namespace
}  // namespace edgetrain::testing
