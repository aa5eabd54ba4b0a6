// What is wrong with an inline model is told at the place in the job that says it.
#include "launch/runs/model_choice.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/launch/job/job_fixture.h"

namespace edgetrain {
namespace {

using testing::parse;

constexpr const char* kJob = R"(data: {path: [data/austen]}
model:
  config:
    model_type: llama
    vocab_size: 257
    hidden_size: 48
    intermediate_size: 88
    num_hidden_layers: 2
    num_attention_heads: 4
    num_key_value_heads: 3
    rope_scaling:
      rope_type: linear
      factor: -1
)";

std::string told(const ParsedJob& parsed) {
  EXPECT_TRUE(parsed.problems.empty()) << format(parsed.problems);
  return format(check_inline_model(parsed));
}

std::string without(std::string text, const std::string& line) {
  const auto at = text.find(line);
  EXPECT_NE(at, std::string::npos) << line;
  return text.erase(at, line.size());
}

TEST(InlineModel, ProblemsStandAtTheFieldsThatHaveThem) {
  const std::string text = told(parse(kJob));
  EXPECT_CONTAINS(text, "job.yaml:10:26: error: 'model.config.num_key_value_heads' 3 does not divide");
  EXPECT_CONTAINS(text, "    num_key_value_heads: 3\n");
  EXPECT_CONTAINS(text, "job.yaml:13:15: error: 'model.config.rope_scaling.factor' must be");
  EXPECT_CONTAINS(text, "2 errors; nothing was started");
}

TEST(InlineModel, AMissingFieldIsToldAtWhatShouldHoldIt) {
  std::string text = without(kJob, "    hidden_size: 48\n");
  text = without(text, "      factor: -1\n");
  text = told(parse(without(text, "    num_key_value_heads: 3\n")));
  EXPECT_CONTAINS(text, "job.yaml:3:3: error: 'model.config.hidden_size' is missing");
  EXPECT_CONTAINS(text, "job.yaml:9:5: error: 'model.config.rope_scaling.factor' is missing");
}

TEST(InlineModel, AnUnknownKeyIsAnErrorWithTheNearestName) {
  const std::string right = without(kJob, "    num_key_value_heads: 3\n");
  const std::string text = told(parse(without(right, "      factor: -1\n") + "      factor: 2\n" +
                                      "    num_atention_heads: 4\n    frobs: 3\n"));
  EXPECT_CONTAINS(text, "error: unknown key 'num_atention_heads' in 'model.config'");
  EXPECT_CONTAINS(text, "did you mean 'num_attention_heads'?");
  EXPECT_CONTAINS(text, "error: unknown key 'frobs' in 'model.config'");
  EXPECT_CONTAINS(text, "2 errors; nothing was started");
}

TEST(InlineModel, AnOverrideIsBlamedOnTheCommandLine) {
  const std::string text = told(
      parse(kJob, {"seed=1", "model.config.num_key_value_heads=2", "model.config.rope_scaling.factor=0"}));
  EXPECT_CONTAINS(text, "command line, argument 4");
  EXPECT_CONTAINS(text, "1 error; nothing was started");
}

TEST(InlineModel, ARightOneAndNoneHaveNoProblems) {
  std::string text = without(kJob, "    num_key_value_heads: 3\n");
  const ParsedJob right =
      parse(without(text, "    rope_scaling:\n      rope_type: linear\n      factor: -1\n"));
  EXPECT_EQ(told(right), "");
  std::vector<std::string> warnings;
  EXPECT_EQ(chosen_model(right.job.model, warnings).hidden_size, 48);
  EXPECT_EQ(told(parse(testing::kMinimal)), "");
}

}  // namespace
}  // namespace edgetrain
