#include "tests/support/tiny_models.h"

#include "core/base/error.h"

namespace edgetrain::testing {
namespace {

ModelConfig tiny_gpt2() {
  ModelConfig c;
  c.family = Family::gpt2;
  c.vocab_size = 23;
  c.hidden_size = 15;
  c.intermediate_size = 29;
  c.num_hidden_layers = 2;
  c.num_attention_heads = c.num_key_value_heads = 3;
  c.head_dim = 5;
  c.max_position_embeddings = 11;
  c.hidden_act = Activation::gelu_tanh;
  c.tie_word_embeddings = c.qkv_bias = c.attn_out_bias = c.mlp_bias = true;
  c.rope.type = RopeConfig::Type::none;
  return c;
}

ModelConfig tiny_llama(Family family) {
  ModelConfig c;
  c.family = family;
  c.vocab_size = 19;
  c.hidden_size = 24;
  c.intermediate_size = 13;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 6;
  c.max_position_embeddings = 64;
  return c;
}

ModelConfig tiny_llama3() {
  ModelConfig c = tiny_llama(Family::llama);
  c.tie_word_embeddings = c.qkv_bias = c.attn_out_bias = c.mlp_bias = true;
  c.num_key_value_heads = 1;
  c.rope = {RopeConfig::Type::llama3, 10.0, 8.0, 1.0, 4.0, 16};
  return c;
}

ModelConfig tiny_mistral() {
  ModelConfig c = tiny_llama(Family::mistral);
  c.sliding_window = {4, 4};
  return c;
}

ModelConfig tiny_qwen2() {
  ModelConfig c = tiny_llama(Family::qwen2);
  c.qkv_bias = c.tie_word_embeddings = true;
  c.sliding_window = {0, 3};
  return c;
}

ModelConfig tiny_qwen3() {
  ModelConfig c = tiny_llama(Family::qwen3);
  c.qk_norm = true;
  c.hidden_size = 17;
  c.head_dim = 8;
  return c;
}

}  // namespace

const std::vector<TinyModel>& tiny_models() {
  static const std::vector<TinyModel> models = {
      {"gpt2", tiny_gpt2()},     {"llama", tiny_llama(Family::llama)},
      {"llama3", tiny_llama3()}, {"mistral", tiny_mistral()},
      {"qwen2", tiny_qwen2()},   {"qwen3", tiny_qwen3()},
  };
  return models;
}

const ModelConfig& tiny_model(const std::string& name) {
  for (const auto& model : tiny_models()) {
    if (model.name == name) return model.config;
  }
  throw Error(ErrorClass::internal, "no tiny model " + name);
}

}  // namespace edgetrain::testing
