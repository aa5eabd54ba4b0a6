// Weights come out the same however many threads fill them, and a value that is not finite is named.
#include "launch/runs/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "launch/runs/rank_plan.h"
#include "tests/support/tiny_models.h"

namespace edgetrain {
namespace {

constexpr std::uint64_t kSeed = 20240611;

// Rows longer than a piece (wide), many rows to a piece (the rest), and more than one piece of each.
RankPlan plan_of(Dtype dtype) {
  RankSpec spec;
  spec.config = testing::tiny_model("llama");
  spec.config.vocab_size = 1031;
  spec.config.hidden_size = 40;
  spec.config.intermediate_size = 4099;
  spec.dtype = dtype;
  spec.seq_len = 5;
  return {spec, make_adamw({}), [](const CommCall&, int, int) { return CommCost{}; }};
}

std::vector<std::byte> filled(const RankPlan& plan, int threads) {
  std::vector<std::byte> arena(static_cast<std::size_t>(plan.arena_bytes()), std::byte{0x5a});
  const auto& train = plan.train();
  fill_weights(train.layout, train.program, arena.data(), plan.replication(), random_weights(kSeed), threads);
  return arena;
}

TEST(FillWeights, NoBitDependsOnTheNumberOfThreads) {
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const RankPlan plan = plan_of(dtype);
    const auto one = filled(plan, 1);
    for (const int threads : {2, 3, 7}) EXPECT_TRUE(filled(plan, threads) == one) << threads << " threads";
  }
}

// Against the random numbers themselves, parameter by parameter.
TEST(FillWeights, EveryElementIsTheOneOfItsNameAndIndex) {
  const RankPlan plan = plan_of(Dtype::f32);
  auto arena = filled(plan, 3);
  const auto& layout = plan.train().layout;
  const TileSource source = random_weights(kSeed);
  for (int unit = 0; unit < layout.num_units(); ++unit) {
    for (const auto& place : layout.places_of(unit)) {
      const auto& spec = layout.table().specs[static_cast<std::size_t>(place.param)];
      std::vector<float> expected(static_cast<std::size_t>(spec.numel()));
      source(spec, {place.param, 0, spec.rows, 0, spec.cols, 0}, expected);
      const auto memory =
          bucket_memory(layout, plan.train().program, arena.data(), plan.replication(), place.bucket);
      const auto* found = memory.weights.as<float>() + place.at;
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), found)) << spec.name;
    }
  }
}

// A source that is finite but for some elements of some parameters.
struct Bad {
  std::string name;
  std::int64_t row = 0, col = 0;
  float value = 0.0F;
};
TileSource with(std::vector<Bad> bad) {
  return [bad = std::move(bad)](const ParamSpec& spec, const Tile& tile, std::span<float> values) {
    std::fill(values.begin(), values.end(), 1.5F);
    for (const Bad& b : bad) {
      const bool inside = b.name == spec.name && b.row >= tile.row && b.row < tile.row + tile.rows &&
                          b.col >= tile.col && b.col < tile.col + tile.cols;
      if (inside)
        values[static_cast<std::size_t>((b.row - tile.row) * tile.cols + b.col - tile.col)] = b.value;
    }
  };
}

std::string refusal(std::vector<Bad> bad, int threads) {
  const RankPlan plan = plan_of(Dtype::f32);
  try {
    require_finite(with(std::move(bad)), plan.train().layout, "folder", threads);
  } catch (const Error& error) {
    EXPECT_EQ(error.error_class(), ErrorClass::data);
    return error.what();
  }
  return "";
}

TEST(RequireFinite, TakesTheLargestFiniteValue) {
  EXPECT_EQ(refusal({{"model.norm.weight", 0, 3, std::numeric_limits<float>::max()}}, 2), "");
}

TEST(RequireFinite, NamesTheFirstBadValueOfEachTensor) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const std::vector<Bad> bad = {{"model.norm.weight", 0, 39, -kInf},
                                {"model.embed_tokens.weight", 1030, 39, kNan},
                                {"model.embed_tokens.weight", 700, 11, kInf},
                                {"model.layers.0.mlp.down_proj.weight", 3, 4098, kNan},
                                {"model.layers.0.mlp.down_proj.weight", 17, 2, kInf}};
  for (const int threads : {1, 2, 5}) {
    const std::string text = refusal(bad, threads);
    for (const char* named : {"folder: the weights are not finite", "\n  model.norm.weight: -inf at [39]",
                              "\n  model.embed_tokens.weight: inf at [700, 11]",
                              "\n  model.layers.0.mlp.down_proj.weight: nan at [3, 4098]"}) {
      EXPECT_NE(text.find(named), std::string::npos) << named << " in\n" << text;
    }
    EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;
  }
}

}  // namespace
}  // namespace edgetrain
