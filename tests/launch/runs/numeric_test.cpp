// A loss or gradient norm that is not finite stops the run with the place where it began, or skips the step
// and says so.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/run_folder.h"

namespace edgetrain::testing {
namespace {

// Plain gradient descent with steps of a million and no clipping leaves the finite numbers within a few
// steps.
std::vector<std::string> absurd(const std::string& on_nonfinite) {
  return {"optimizer.name=sgd",
          "optimizer.momentum=0.0",
          "optimizer.lr=1.0e6",
          "optimizer.max_grad_norm=0",
          "lr_scheduler.name=constant",
          "lr_scheduler.warmup_steps=0",
          "train.on_nonfinite=" + on_nonfinite};
}

class NonFinite : public ::testing::TestWithParam<int> {};

TEST_P(NonFinite, StopsAndNamesStepUnitAndRank) {
  const RunFolder folder;
  const Ended ended = folder.run({GetParam(), absurd("stop")});
  EXPECT_EQ(ended.code, 1) << ended.output;
  const auto lines = folder.metrics();
  ASSERT_LT(lines.size(), 19U);
  EXPECT_TRUE(ended.says("step " + std::to_string(lines.size() + 1) + ": loss")) << ended.output;
  EXPECT_TRUE(ended.says("rank 0: ")) << ended.output;
  EXPECT_TRUE(ended.says("sample")) << ended.output;
  EXPECT_TRUE(ended.says("embed") || ended.says("block") || ended.says("layers") || ended.says("head"))
      << ended.output;
  EXPECT_TRUE(ended.says("HINT: lower optimizer.lr")) << ended.output;
  EXPECT_EQ(folder.state(), "failed");
  const Json status = folder.status();
  const Json* error_class = status.find("class");
  ASSERT_NE(error_class, nullptr);
  EXPECT_EQ(*error_class->string(), "numeric");
  for (const auto& line : lines)
    EXPECT_TRUE(std::isfinite(line.loss) && std::isfinite(line.grad_norm)) << line.step;
}

TEST_P(NonFinite, SkipsAndSaysSo) {
  const RunFolder folder;
  const Ended ended = folder.run({GetParam(), absurd("skip")});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_EQ(folder.state(), "done");
  const auto lines = folder.metrics();
  ASSERT_EQ(lines.size(), 20U);
  const auto skipped = std::ranges::count_if(lines, [](const auto& line) { return line.skipped; });
  EXPECT_GT(skipped, 0);
  EXPECT_EQ(ended.count("SKIPPED"), skipped) << ended.output;
  for (const auto& line : lines)
    EXPECT_EQ(line.skipped, !(std::isfinite(line.loss) && std::isfinite(line.grad_norm))) << line.step;
}

INSTANTIATE_TEST_SUITE_P(Ranks, NonFinite, ::testing::Values(1, 2), ::testing::PrintToStringParamName());

// A step that was skipped changed no weight: the sane job says "skipped" nowhere, and its metrics have no
// such member.
TEST(NonFiniteControl, ASaneRunSkipsNothing) {
  const RunFolder folder;
  const Ended ended = folder.run({1, {"train.on_nonfinite=skip"}});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_FALSE(ended.says("SKIPPED"));
  for (const auto& line : folder.metrics()) EXPECT_FALSE(line.skipped);
}

}  // namespace
}  // namespace edgetrain::testing
