// What only a block can be asked: its memory, and what it refuses. Its derivatives are in gradient_test.cpp.
#include "core/model/gpt2/block.h"

#include <gtest/gtest.h>

#include "tests/support/tiny_models.h"
#include "tests/support/unit_bench.h"

namespace edgetrain::testing {
namespace {

constexpr std::int64_t kRows = 7;

std::int64_t f32_bytes(std::int64_t cols) { return aligned(kRows * cols * 4); }

TEST(Gpt2Block, SavesTheInputOfTheActivationAndNotItsOutput) {
  BlockBench bench(tiny_model("gpt2"), kRows);
  std::vector<std::string> names;
  for (const auto& field : bench.unit().saved()) names.push_back(field.name);
  EXPECT_EQ(names, std::vector<std::string>({"qkv", "heads", "lse", "x_mid", "fc"}));
}

// Without fields the activation runs in place; a kept field must stay what it was.
TEST(Gpt2Block, KeepingFieldsDoesNotChangeTheResult) {
  BlockBench bench(tiny_model("gpt2"), kRows);
  EXPECT_EQ(bench.forward(true).values, bench.forward(false).values);
}

TEST(Gpt2Block, ScratchOfAWideMlp) {
  auto config = tiny_model("gpt2");
  config.intermediate_size = 333;
  BlockBench bench(config, kRows);
  bench.forward(true);
  EXPECT_EQ(bench.peak(), f32_bytes(333));
  bench.backward();
  EXPECT_EQ(bench.peak(), 2 * f32_bytes(333));  // the activation's output and the gradient of its input
  bench.forward(false);
  EXPECT_EQ(bench.peak(), f32_bytes(config.hidden_size) + f32_bytes(333) + 2 * f32_bytes(1));
}

TEST(Gpt2Block, RefusesASeparateWeightPass) {
  BlockBench bench(tiny_model("gpt2"), kRows);
  bench.forward(true);
  EXPECT_THROW(bench.backward(Pass::weight), Error);
}

}  // namespace
}  // namespace edgetrain::testing
