// ModelConfig -> config.json: every field stated, RoPE in both spellings, so that no reader's default
// matters.
#include <algorithm>

#include "core/base/error.h"
#include "core/io/json.h"
#include "core/model/hf_config.h"

namespace edgetrain {
namespace {

std::string activation_name(Activation activation) {
  switch (activation) {
    case Activation::gelu_tanh:
      return "gelu_new";
    case Activation::gelu_erf:
      return "gelu";
    case Activation::silu:
      return "silu";
    case Activation::relu:
      return "relu";
  }
  return "";
}

std::string architecture(Family family) {
  switch (family) {
    case Family::gpt2:
      return "GPT2LMHeadModel";
    case Family::llama:
      return "LlamaForCausalLM";
    case Family::mistral:
      return "MistralForCausalLM";
    case Family::qwen2:
      return "Qwen2ForCausalLM";
    case Family::qwen3:
      return "Qwen3ForCausalLM";
  }
  return "";
}

Json optional_id(const std::optional<std::int64_t>& id) { return id ? Json(*id) : Json(); }

void write_gpt2(const ModelConfig& c, Json& json) {
  json.set("activation_function", activation_name(c.hidden_act)).set("layer_norm_epsilon", c.norm_eps);
  json.set("n_embd", c.hidden_size).set("n_head", c.num_attention_heads).set("n_inner", c.intermediate_size);
  json.set("n_layer", c.num_hidden_layers).set("n_positions", c.max_position_embeddings);
  json.set("attn_pdrop", 0.0).set("embd_pdrop", 0.0).set("resid_pdrop", 0.0);
}

// The scaling alone; empty for plain rotary embeddings.
Json rope_scaling(const RopeConfig& rope) {
  Json json;
  if (rope.type == RopeConfig::Type::linear) json.set("rope_type", "linear").set("factor", rope.factor);
  if (rope.type == RopeConfig::Type::llama3) {
    json.set("rope_type", "llama3").set("factor", rope.factor);
    json.set("low_freq_factor", rope.low_freq_factor).set("high_freq_factor", rope.high_freq_factor);
    json.set("original_max_position_embeddings", rope.original_max_position_embeddings);
  }
  return json;
}

void write_rope(const RopeConfig& rope, Json& json) {
  const Json scaling = rope_scaling(rope);
  Json parameters = scaling.is_null() ? Json().set("rope_type", "default") : scaling;
  parameters.set("rope_theta", rope.theta);
  json.set("rope_theta", rope.theta)
      .set("rope_scaling", scaling)
      .set("rope_parameters", std::move(parameters));
}

std::int64_t the_window(const ModelConfig& c) {
  std::int64_t window = 0;
  for (const std::int64_t w : c.sliding_window) {
    ET_CHECK(w == 0 || window == 0 || w == window, "config.json has one sliding window, not {} and {}",
             window, w);
    window = std::max(window, w);
  }
  return window;
}

void write_window(const ModelConfig& c, Json& json) {
  const std::int64_t window = the_window(c);
  const auto slides = [&](std::size_t layer) {
    return !c.sliding_window.empty() && c.sliding_window[layer] > 0;
  };
  if (c.family == Family::mistral) {
    const auto none = std::count(c.sliding_window.begin(), c.sliding_window.end(), 0);
    ET_CHECK(window == 0 || none == 0, "mistral has a sliding window in all layers or none");
    json.set("sliding_window", window > 0 ? Json(window) : Json());
  } else if (c.family == Family::qwen2 || c.family == Family::qwen3) {
    Json types{Json::Array{}};
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(c.num_hidden_layers); ++layer) {
      types.push(slides(layer) ? "sliding_attention" : "full_attention");
    }
    json.set("use_sliding_window", window > 0).set("sliding_window", window > 0 ? Json(window) : Json());
    json.set("layer_types", std::move(types));
  } else {
    ET_CHECK(window == 0, "{} has no sliding window", name_of(c.family));
  }
}

void write_llama_like(const ModelConfig& c, Json& json) {
  if (c.family == Family::llama || c.family == Family::qwen3) {
    ET_CHECK(c.qkv_bias == c.attn_out_bias, "attention_bias is for q, k, v and o alike");
    json.set("attention_bias", c.qkv_bias);
  }
  if (c.family == Family::llama) json.set("mlp_bias", c.mlp_bias);
  json.set("head_dim", c.head_dim)
      .set("hidden_act", activation_name(c.hidden_act))
      .set("hidden_size", c.hidden_size);
  json.set("intermediate_size", c.intermediate_size)
      .set("max_position_embeddings", c.max_position_embeddings);
  json.set("num_attention_heads", c.num_attention_heads).set("num_hidden_layers", c.num_hidden_layers);
  json.set("num_key_value_heads", c.num_key_value_heads).set("rms_norm_eps", c.norm_eps);
  write_rope(c.rope, json);
  write_window(c, json);
}

}  // namespace

std::string to_config_json(const ModelConfig& config) {
  Json json;
  json.set("architectures", Json::Array{architecture(config.family)});
  json.set("model_type", std::string(name_of(config.family))).set("vocab_size", config.vocab_size);
  json.set("bos_token_id", optional_id(config.bos_token_id))
      .set("eos_token_id", optional_id(config.eos_token_id));
  json.set("initializer_range", config.initializer_range);
  json.set("tie_word_embeddings", config.tie_word_embeddings);
  if (config.family == Family::gpt2) {
    write_gpt2(config, json);
  } else {
    write_llama_like(config, json);
  }
  return json.pretty() + "\n";
}

}  // namespace edgetrain
