// config.json of every family: what transformers 5 wrote, what transformers 4 writes, and what must be
// refused.
#include "core/model/hf_config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/io/json.h"
#include "core/model/presets.h"

namespace edgetrain {
namespace {

constexpr std::string_view kFixtures = "tests/reference/";

std::string text_of(const ModelConfig& config) { return to_config_json(config); }

// All problems and warnings as lines, for messages and searches.
std::string lines(const std::vector<ConfigProblem>& problems) {
  std::string text;
  for (const auto& problem : problems) text += problem.key + ": " + problem.message + "\n";
  return text;
}

ModelConfig good(std::string_view json) {
  const HfConfig config = parse_hf_config(json, "config.json");
  EXPECT_TRUE(config.problems.empty()) << lines(config.problems);
  return config.model;
}

/// A valid config of `family` with `more` members behind it ("key": value, ...).
std::string llama_like(std::string_view family, std::string_view more = "", std::string_view kv_heads = "2") {
  std::string json =
      "{\"model_type\": \"" + std::string(family) +
      "\", \"vocab_size\": 100, \"hidden_size\": 24, \"intermediate_size\": 40, \"num_hidden_layers\": 3, "
      "\"num_attention_heads\": 4, \"num_key_value_heads\": " +
      std::string(kv_heads);
  if (family == "mistral" && more.find("sliding_window") == std::string_view::npos)
    json += ", \"sliding_window\": null";
  if (!more.empty()) json += ", " + std::string(more);
  return json + "}";
}
std::string gpt2(std::string_view more = "") {
  return R"({"model_type": "gpt2", "vocab_size": 97, "n_embd": 36, "n_layer": 2, "n_head": 3)" +
         (more.empty() ? "" : ", " + std::string(more)) + "}";
}

void expect_problem(const std::string& json, std::string_view key, std::string_view part) {
  const HfConfig config = parse_hf_config(json, "config.json");
  const auto found =
      std::find_if(config.problems.begin(), config.problems.end(), [&](const ConfigProblem& problem) {
        return problem.key == key && problem.message.find(part) != std::string::npos;
      });
  EXPECT_NE(found, config.problems.end())
      << json << "\nno problem '" << key << "' with '" << part << "' in:\n"
      << lines(config.problems);
}

void expect_warning(const std::string& json, std::string_view key, std::string_view part) {
  const HfConfig config = parse_hf_config(json, "config.json");
  EXPECT_TRUE(config.problems.empty()) << lines(config.problems);
  const auto found =
      std::find_if(config.warnings.begin(), config.warnings.end(), [&](const ConfigProblem& warning) {
        return warning.key == key && warning.message.find(part) != std::string::npos;
      });
  EXPECT_NE(found, config.warnings.end()) << json << "\n" << lines(config.warnings);
}

ModelConfig fixture(const std::string& name) {
  std::vector<std::string> warnings;
  const ModelConfig config = load_hf_config(std::string(kFixtures) + name, warnings);
  EXPECT_TRUE(warnings.empty()) << warnings.front();
  return config;
}

// ---- files that transformers wrote
// -----------------------------------------------------------------------------

TEST(HfConfigFixtures, Gpt2) {
  const ModelConfig c = fixture("gpt2");
  EXPECT_EQ(c.family, Family::gpt2);
  EXPECT_EQ(c.hidden_size, 36);
  EXPECT_EQ(c.intermediate_size, 144);
  EXPECT_EQ(c.head_dim, 12);
  EXPECT_EQ(c.num_key_value_heads, 3);
  EXPECT_EQ(c.max_position_embeddings, 40);
  EXPECT_EQ(c.hidden_act, Activation::gelu_tanh);
  EXPECT_TRUE(c.tie_word_embeddings && c.qkv_bias && c.attn_out_bias && c.mlp_bias);
  EXPECT_EQ(c.rope.type, RopeConfig::Type::none);
  EXPECT_EQ(c.norm_eps, 1e-5);
}

TEST(HfConfigFixtures, Llama3) {
  const ModelConfig c = fixture("llama3");
  EXPECT_EQ(c.family, Family::llama);
  EXPECT_EQ(c.rope.type, RopeConfig::Type::llama3);
  EXPECT_GT(c.rope.factor, 1.0);
  EXPECT_GT(c.rope.original_max_position_embeddings, 0);
}

TEST(HfConfigFixtures, Mistral) {
  const ModelConfig c = fixture("mistral");
  EXPECT_EQ(c.family, Family::mistral);
  ASSERT_EQ(static_cast<std::int64_t>(c.sliding_window.size()), c.num_hidden_layers);
  EXPECT_GT(c.sliding_window[0], 0);
}

TEST(HfConfigFixtures, Qwen) {
  EXPECT_TRUE(fixture("qwen2").qkv_bias);
  EXPECT_FALSE(fixture("qwen2").attn_out_bias);
  EXPECT_TRUE(fixture("qwen2").sliding_window.empty());
  EXPECT_EQ(fixture("qwen2_window").sliding_window, (std::vector<std::int64_t>{0, 9, 9}));
  EXPECT_TRUE(fixture("qwen3").qk_norm);
  EXPECT_FALSE(fixture("qwen3").qkv_bias);
}

TEST(HfConfig, WritesWhatItReadsBack) {
  for (const char* name : {"gpt2", "llama", "llama3", "mistral", "qwen2", "qwen2_window", "qwen3"}) {
    const ModelConfig config = fixture(name);
    EXPECT_EQ(text_of(good(text_of(config))), text_of(config)) << name;
    EXPECT_EQ(good(text_of(config)).sliding_window, config.sliding_window) << name;
  }
  for (const auto& [name, config] : model_presets()) {
    const ModelConfig again = good(text_of(config));
    EXPECT_EQ(text_of(again), text_of(config)) << name;
    EXPECT_EQ(again.head_dim, config.head_dim) << name;
    EXPECT_EQ(again.qkv_bias, config.qkv_bias) << name;
    EXPECT_EQ(again.attn_out_bias, config.attn_out_bias) << name;
    EXPECT_EQ(again.mlp_bias, config.mlp_bias) << name;
    EXPECT_EQ(again.qk_norm, config.qk_norm) << name;
    EXPECT_EQ(again.rope.type, config.rope.type) << name;
    EXPECT_EQ(again.rope.theta, config.rope.theta) << name;
    EXPECT_EQ(again.norm_eps, config.norm_eps) << name;
    EXPECT_EQ(again.eos_token_id, config.eos_token_id) << name;
    EXPECT_EQ(again.sliding_window, config.sliding_window) << name;
  }
}

// ---- defaults and spellings
// ------------------------------------------------------------------------------------

TEST(HfConfig, DefaultsAreThoseOfTheFamily) {
  EXPECT_EQ(good(llama_like("llama")).head_dim, 6);
  EXPECT_EQ(good(llama_like("llama")).norm_eps, 1e-6);
  EXPECT_EQ(good(llama_like("llama", "", "null")).num_key_value_heads, 4);
  EXPECT_EQ(good(llama_like("llama")).max_position_embeddings, 2048);
  EXPECT_FALSE(good(llama_like("llama")).tie_word_embeddings);
  EXPECT_EQ(good(llama_like("qwen3")).head_dim, 128);
  EXPECT_EQ(good(llama_like("qwen2")).head_dim, 6);
  EXPECT_EQ(good(llama_like("llama", R"("head_dim": 10)")).head_dim, 10);
  EXPECT_EQ(good(gpt2()).max_position_embeddings, 1024);
  EXPECT_EQ(good(gpt2()).intermediate_size, 144);
  EXPECT_EQ(good(gpt2(R"("n_inner": 50)")).intermediate_size, 50);
  EXPECT_EQ(good(R"({"model_type": "gpt2", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "max_position_embeddings": 7})")
                .max_position_embeddings,
            7);
}

TEST(HfConfig, BiasesAreThoseOfTheFamily) {
  EXPECT_TRUE(good(llama_like("llama", R"("attention_bias": true)")).attn_out_bias);
  EXPECT_FALSE(good(llama_like("llama", R"("attention_bias": true)")).mlp_bias);
  EXPECT_TRUE(good(llama_like("llama", R"("mlp_bias": true)")).mlp_bias);
  EXPECT_TRUE(good(llama_like("qwen3", R"("attention_bias": true)")).qkv_bias);
  EXPECT_TRUE(good(llama_like("qwen2")).qkv_bias);
  expect_problem(llama_like("qwen2", R"("attention_bias": false)"), "attention_bias", "always");
  expect_problem(llama_like("mistral", R"("attention_bias": true)"), "attention_bias", "not implemented");
  expect_problem(llama_like("qwen3", R"("mlp_bias": true)"), "mlp_bias", "not implemented");
}

TEST(HfConfig, ReadsBothSpellingsOfRope) {
  EXPECT_EQ(good(llama_like("llama", R"("rope_theta": 500000)")).rope.theta, 500000.0);
  EXPECT_EQ(good(llama_like("llama", R"("rope_parameters": {"rope_theta": 7.5, "rope_type": "default"})"))
                .rope.theta,
            7.5);
  const char* type_keys[] = {"type", "rope_type"};
  for (const std::string key : type_keys) {
    const auto c =
        good(llama_like("llama", R"("rope_scaling": {")" + key + R"(": "linear", "factor": 4.0})"));
    EXPECT_EQ(c.rope.type, RopeConfig::Type::linear);
    EXPECT_EQ(c.rope.factor, 4.0);
  }
  const std::string llama3 =
      R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 8192})";
  EXPECT_EQ(good(llama_like("llama", "\"rope_scaling\": " + llama3)).rope.original_max_position_embeddings,
            8192);
  EXPECT_EQ(good(llama_like("llama", "\"rope_scaling\": " + llama3 + ", \"rope_parameters\": " + llama3))
                .rope.factor,
            8.0);
  EXPECT_EQ(good(llama_like("llama", R"("rope_scaling": null)")).rope.type, RopeConfig::Type::plain);
}

TEST(HfConfig, RefusesOtherOrContradictoryRope) {
  const auto scaling = [](const std::string& object) {
    return llama_like("llama", "\"rope_scaling\": " + object);
  };
  for (const std::string type : {"yarn", "dynamic", "longrope", "su", "mrope"}) {
    expect_problem(scaling(R"({"rope_type": ")" + type + R"(", "factor": 2.0})"), "rope_scaling.rope_type",
                   type);
  }
  expect_problem(scaling(R"({"rope_type": "linear"})"), "rope_scaling.factor", "missing");
  expect_problem(scaling(R"({"rope_type": "linear", "factor": -1})"), "rope_scaling.factor",
                 "must be a number");
  expect_problem(scaling(R"({"rope_type": "linear", "type": "llama3", "factor": 2})"),
                 "rope_scaling.rope_type", "but type");
  expect_problem(scaling(R"({"rope_type": "linear", "factor": 2, "beta_fast": 32})"),
                 "rope_scaling.beta_fast", "not impl");
  expect_problem(scaling(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1,
                             "original_max_position_embeddings": 8})"),
                 "rope_scaling.high_freq_factor", "greater");
  expect_problem(
      scaling(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})"),
      "rope_scaling.original_max_position_embeddings", "needed");
  expect_problem(scaling("[]"), "rope_scaling", "must be an object");
  expect_problem(llama_like("llama", R"("rope_parameters": {"full_attention": {"rope_type": "default"}})"),
                 "rope_parameters.full_attention", "not implemented");
  expect_problem(llama_like("llama", R"("rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6})"),
                 "rope_parameters.rope_theta", "but rope_theta");
  expect_problem(llama_like("llama", R"("rope_scaling": {"type": "linear", "factor": 2},
                                        "rope_parameters": {"rope_type": "linear", "factor": 4})"),
                 "rope_parameters", "contradicts");
}

TEST(HfConfig, SlidingWindows) {
  EXPECT_EQ(good(llama_like("mistral", R"("sliding_window": 8)")).sliding_window,
            (std::vector<std::int64_t>{8, 8, 8}));
  EXPECT_TRUE(good(llama_like("mistral", R"("sliding_window": null)")).sliding_window.empty());
  expect_warning(R"({"model_type": "mistral", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8,
                     "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2})",
                 "sliding_window", "4096");
  EXPECT_TRUE(good(llama_like("qwen2", R"("sliding_window": 8)")).sliding_window.empty());
  EXPECT_EQ(
      good(llama_like("qwen2", R"("sliding_window": 8, "use_sliding_window": true, "max_window_layers": 2)"))
          .sliding_window,
      (std::vector<std::int64_t>{0, 0, 8}));
  EXPECT_TRUE(
      good(llama_like("qwen2", R"("sliding_window": 8, "use_sliding_window": true)")).sliding_window.empty());
  const std::string types = R"("layer_types": ["sliding_attention", "full_attention", "sliding_attention"])";
  EXPECT_EQ(good(llama_like("qwen3", types + R"(, "sliding_window": 8, "use_sliding_window": true)"))
                .sliding_window,
            (std::vector<std::int64_t>{8, 0, 8}));
  expect_problem(llama_like("qwen3", types), "layer_types", "use_sliding_window is not true");
  expect_problem(llama_like("qwen3", R"("layer_types": ["full_attention"])"), "layer_types", "list of 3");
  expect_problem(llama_like("qwen3", R"("layer_types": ["chunked_attention"])"), "layer_types",
                 "not implemented");
  expect_problem(llama_like("llama", R"("sliding_window": 8)"), "sliding_window", "not implemented");
  expect_problem(llama_like("mistral", R"("sliding_window": -1)"), "sliding_window", "whole number");
}

TEST(HfConfig, TokenIds) {
  EXPECT_EQ(good(llama_like("llama", R"("eos_token_id": 7)")).eos_token_id, 7);
  EXPECT_EQ(good(llama_like("llama")).eos_token_id, std::nullopt);
  EXPECT_EQ(good(llama_like("llama", R"("eos_token_id": [7, 8])")).eos_token_id, 7);
  expect_warning(llama_like("llama", R"("eos_token_id": [7, 8])"), "eos_token_id", "first one");
  expect_warning(llama_like("llama", R"("bos_token_id": 100)"), "bos_token_id", "outside the vocabulary");
  expect_problem(llama_like("llama", R"("bos_token_id": "x")"), "bos_token_id", "whole number");
}

// ---- refusals
// --------------------------------------------------------------------------------------------------

TEST(HfConfig, RefusesWhatChangesTheForwardPass) {
  for (const std::string member :
       {R"("quantization_config": {"quant_method": "gptq"})", R"("attn_logit_softcapping": 50.0)",
        R"("final_logit_softcapping": 30.0)", R"("num_local_experts": 8)", R"("partial_rotary_factor": 0.5)",
        R"("embedding_multiplier": 12.0)", R"("clip_qkv": 8.0)", R"("is_encoder_decoder": true)",
        R"("layer_types": ["full_attention"])", R"("dual_chunk_attention_config": {"chunk_size": 1})"}) {
    const std::string key = member.substr(1, member.find('"', 1) - 1);
    expect_problem(llama_like("llama", member), key, "not implemented");
  }
  expect_problem(gpt2(R"("scale_attn_by_inverse_layer_idx": true)"), "scale_attn_by_inverse_layer_idx",
                 "not implemented");
  expect_problem(gpt2(R"("scale_attn_weights": false)"), "scale_attn_weights", "not implemented");
  expect_problem(gpt2(R"("add_cross_attention": true)"), "add_cross_attention", "not implemented");
}

TEST(HfConfig, NeutralValuesAreFine) {
  (void)good(llama_like("llama",
                        R"("quantization_config": null, "partial_rotary_factor": 1.0, "sliding_window": null,
    "attn_logit_softcapping": null, "is_encoder_decoder": false, "pruned_heads": {}, "use_cache": true,
    "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16", "attention_dropout": 0.0)"));
  (void)good(gpt2(R"("scale_attn_weights": true, "n_ctx": 1024)"));
}

TEST(HfConfig, UnknownKeysAndDropoutWarn) {
  expect_warning(llama_like("llama", R"("something_new": 1)"), "something_new", "unknown");
  expect_warning(gpt2(R"("attn_pdrop": 0.1)"), "attn_pdrop", "no dropout");
  EXPECT_TRUE(parse_hf_config(gpt2(R"("attn_pdrop": 0.0)"), "x").warnings.empty());
}

TEST(HfConfig, RefusesMissingHugeNegativeAndMistypedSizes) {
  for (const std::string key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    const std::string json = llama_like("llama");
    const auto at = json.find("\"" + key);
    const auto colon = json.find(": ", at) + 2, comma = json.find(',', colon);
    const auto with = [&](const std::string& value) {
      return json.substr(0, colon) + value + json.substr(comma);
    };
    expect_problem(json.substr(0, at) + json.substr(comma + 2), key, "is missing");
    expect_problem(with("null"), key, "is missing");
    for (const char* value :
         {"0", "-1", "99999999999", "9223372036854775808", "\"24\"", "24.0", "true", "[24]"}) {
      expect_problem(with(value), key, "whole number");
    }
  }
  expect_problem(llama_like("llama", R"("rms_norm_eps": 0)"), "rms_norm_eps", "must be a number");
  expect_problem(llama_like("llama", R"("rope_theta": "x")"), "rope_theta", "must be a number");
  expect_problem(llama_like("llama", R"("tie_word_embeddings": 1)"), "tie_word_embeddings", "true or false");
}

TEST(HfConfig, RefusesSizesThatDoNotFit) {
  expect_problem(llama_like("llama", "", "3"), "num_key_value_heads", "does not divide");
  expect_problem(llama_like("llama", R"("head_dim": 7)"), "head_dim", "even");
  expect_problem(R"({"model_type": "llama", "vocab_size": 9, "hidden_size": 10, "intermediate_size": 8,
                     "num_hidden_layers": 1, "num_attention_heads": 4})",
                 "num_attention_heads", "do not divide");
  expect_problem(R"({"model_type": "gpt2", "vocab_size": 9, "n_embd": 10, "n_layer": 1, "n_head": 4})",
                 "n_head", "divide");
  expect_problem(gpt2(R"("hidden_size": 40)"), "hidden_size", "but 'n_embd'");
}

TEST(HfConfig, RefusesOtherModelsAndHeads) {
  expect_problem(R"({"model_type": "gemma2"})", "model_type", "not implemented");
  expect_problem("{}", "model_type", "is missing");
  expect_problem(R"({"model_type": 1})", "model_type", "must be a string");
  expect_problem(llama_like("llama", R"("architectures": ["LlamaForSequenceClassification"])"),
                 "architectures", "only");
  expect_problem(llama_like("llama", R"("hidden_act": "gelu")"), "hidden_act", "silu");
  expect_problem(gpt2(R"("activation_function": "quick_gelu")"), "activation_function", "gelu_new");
}

TEST(HfConfig, ReportsAllProblemsAtOnceWithTheFile) {
  std::vector<std::string> warnings;
  try {
    (void)model_config_from_inline(
        R"({"model_type": "llama", "vocab_size": -1, "hidden_act": "x", "zzz": 1})", "model.config",
        warnings);
    ADD_FAILURE();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.error_class(), ErrorClass::data);
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 5) << message;
    EXPECT_EQ(message.find("model.config: error: 'hidden_size' is missing"), 0U) << message;
  }
  EXPECT_EQ(warnings, (std::vector<std::string>{"model.config: warning: 'zzz' is unknown and was ignored"}));
}

TEST(HfConfig, TextThatIsNoObjectIsRefused) {
  for (const char* text : {"", "[]", "1", "{", "{\"a\": 1, \"a\": 2}"}) {
    EXPECT_THROW((void)parse_hf_config(text, "x"), Error) << text;
  }
  std::vector<std::string> warnings;
  EXPECT_THROW((void)load_hf_config("tests/reference/none", warnings), Error);
}

}  // namespace
}  // namespace edgetrain
