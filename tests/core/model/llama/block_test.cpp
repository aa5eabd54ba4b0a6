// What only a block can be asked: its memory, and what it refuses. Its derivatives are in gradient_test.cpp.
#include "core/model/llama/block.h"

#include <gtest/gtest.h>

#include "tests/support/tiny_models.h"
#include "tests/support/unit_bench.h"

namespace edgetrain::testing {
namespace {

constexpr std::int64_t kRows = 7;

std::int64_t f32_bytes(std::int64_t cols) { return aligned(kRows * cols * 4); }

std::vector<std::string> saved_names(const Unit& unit) {
  std::vector<std::string> names;
  for (const auto& field : unit.saved()) names.push_back(field.name);
  return names;
}

TEST(LlamaBlock, SavesNeitherNormedInputsNorTheProductOfGateAndUp) {
  BlockBench plain(tiny_model("llama"), kRows), normed(tiny_model("qwen3"), kRows);
  EXPECT_EQ(saved_names(plain.unit()), std::vector<std::string>({"qkv", "heads", "lse", "x_mid", "gate_up"}));
  EXPECT_EQ(saved_names(normed.unit()), std::vector<std::string>({"qkv", "qk_normed", "q_rstd", "k_rstd",
                                                                  "heads", "lse", "x_mid", "gate_up"}));
}

TEST(LlamaBlock, KeepingFieldsDoesNotChangeTheResult) {
  for (const auto* name : {"llama", "llama3", "mistral", "qwen2", "qwen3"}) {
    BlockBench bench(tiny_model(name), kRows);
    EXPECT_EQ(bench.forward(true).values, bench.forward(false).values) << name;
  }
}

TEST(LlamaBlock, ScratchOfAWideMlp) {
  auto config = tiny_model("llama");
  config.intermediate_size = 333;
  BlockBench bench(config, kRows);
  bench.forward(true);
  EXPECT_EQ(bench.peak(), f32_bytes(333));
  bench.backward();
  EXPECT_EQ(bench.peak(), f32_bytes(2 * 333) + f32_bytes(333));
  bench.forward(false);
  EXPECT_EQ(bench.peak(), f32_bytes(config.hidden_size) + f32_bytes(2 * 333) + f32_bytes(333));
}

TEST(LlamaBlock, ScratchOfManyHeads) {
  auto config = tiny_model("llama");
  config.intermediate_size = 3;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  BlockBench bench(config, kRows);
  bench.forward(true);
  bench.backward();
  const std::int64_t q_cols = 8 * config.head_dim;
  EXPECT_EQ(bench.peak(), f32_bytes(2 * q_cols) + f32_bytes(q_cols));
}

TEST(LlamaBlock, RefusesASeparateWeightPass) {
  BlockBench bench(tiny_model("llama"), kRows);
  bench.forward(true);
  EXPECT_THROW(bench.backward(Pass::weight), Error);
  EXPECT_THROW(bench.backward(Pass::input), Error);
}

TEST(LlamaBlock, NamesAFieldThatWasNotStored) {
  BlockBench bench(tiny_model("llama"), kRows);
  const auto y = bench.forward(true).values;
  bench.drop_field("gate_up");
  EXPECT_EQ(bench.forward(true).values, y);  // forward does without
  try {
    bench.backward();
    FAIL() << "backward ran without gate_up";
  } catch (const Error& error) {
    EXPECT_NE(std::string_view(error.what()).find("'gate_up'"), std::string_view::npos) << error.what();
  }
}

}  // namespace
}  // namespace edgetrain::testing
