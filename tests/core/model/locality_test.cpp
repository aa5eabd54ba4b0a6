// Who may influence whom: a token changes the loss of its own row and of the rows that see it, and of no
// other.
#include <gtest/gtest.h>

#include "tests/support/model_harness.h"
#include "tests/support/oracle_ops.h"
#include "tests/support/tiny_models.h"

namespace edgetrain::testing {
namespace {

constexpr std::uint64_t kSeed = 77;

/// Per row: does its loss change, to the last bit, when the token of `row` is replaced?
std::vector<bool> influenced(const ModelConfig& config, TokenBatch batch, std::size_t row) {
  ScratchArena arena(1 << 20);
  OracleOps ops;
  ModelHarness harness(config, {Dtype::f64, 4}, ops, arena.workspace());
  harness.randomise(kSeed);
  const auto before = harness.forward_losses(batch);
  batch.ids[row] = (batch.ids[row] + 1) % static_cast<std::int32_t>(config.vocab_size);
  const auto after = harness.forward_losses(batch);
  std::vector<bool> changed;
  for (std::size_t i = 0; i < before.size(); ++i) changed.push_back(before[i] != after[i]);
  return changed;
}

// True for rows in [begin, end).
std::vector<bool> rows(std::size_t total, std::size_t begin, std::size_t end) {
  std::vector<bool> result(total, false);
  for (std::size_t i = begin; i < end; ++i) result[i] = true;
  return result;
}

class Locality : public ::testing::TestWithParam<TinyModel> {};

TEST_P(Locality, ATokenInfluencesNothingBeforeItNorOtherSamples) {
  ModelConfig config = GetParam().config;
  config.sliding_window.clear();
  const auto batch = TokenBatch::random(3, 7, config.vocab_size, kSeed);
  EXPECT_EQ(influenced(config, batch, 10), rows(21, 10, 14));
}

TEST_P(Locality, ATokenInfluencesOnlyItsDocument) {
  ModelConfig config = GetParam().config;
  config.sliding_window.clear();
  auto batch = TokenBatch::random(1, 9, config.vocab_size, kSeed);
  batch.document_starts = {2, 6};
  EXPECT_EQ(influenced(config, batch, 3), rows(9, 3, 6));
}

TEST_P(Locality, AWindowLimitsOneLayer) {
  ModelConfig config = GetParam().config;
  config.num_hidden_layers = 1;
  config.sliding_window = {4};
  const auto batch = TokenBatch::random(1, 9, config.vocab_size, kSeed);
  EXPECT_EQ(influenced(config, batch, 2), rows(9, 2, 6));
}

TEST_P(Locality, AWindowReachesFartherThroughMoreLayers) {
  ModelConfig config = GetParam().config;
  config.num_hidden_layers = 2;
  config.sliding_window = {3, 2};  // two rows on in the first layer, one more in the second
  const auto batch = TokenBatch::random(1, 9, config.vocab_size, kSeed);
  EXPECT_EQ(influenced(config, batch, 1), rows(9, 1, 5));
}

INSTANTIATE_TEST_SUITE_P(Families, Locality, ::testing::ValuesIn(tiny_models()),
                         [](const auto& family) { return family.param.name; });

}  // namespace
}  // namespace edgetrain::testing
