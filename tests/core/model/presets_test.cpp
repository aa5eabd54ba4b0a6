// Parameter counts are those that the publishers' checkpoints hold: a wrong size, bias or tie shows here.
#include "core/model/presets.h"

#include <gtest/gtest.h>

#include "core/model/model.h"

namespace edgetrain {
namespace {

TEST(Presets, HaveTheParameterCountsOfThePublishedModels) {
  const std::map<std::string, std::int64_t> published = {
      {"gpt2-124m", 124439808},   {"gpt2-355m", 354823168},  {"llama3-8b", 8030261248},
      {"mistral-7b", 7241732096}, {"qwen2-0.5b", 494032768}, {"qwen3-0.6b", 596049920},
  };
  for (const auto& [name, count] : published)
    EXPECT_EQ(num_parameters(model_presets().at(name)), count) << name;
}

TEST(Presets, OfBytesHaveRoomForEndOfDocument) {
  for (const auto* name : {"llama-tiny", "llama-small"}) {
    const auto& config = model_presets().at(name);
    EXPECT_EQ(config.vocab_size, 257) << name;
    EXPECT_EQ(config.eos_token_id, 256) << name;
  }
}

TEST(Presets, AllBuild) {
  for (const auto& [name, config] : model_presets()) {
    EXPECT_EQ(static_cast<std::int64_t>(build_model(config, {}).units.size()), config.num_hidden_layers + 2)
        << name;
  }
}

}  // namespace
}  // namespace edgetrain
