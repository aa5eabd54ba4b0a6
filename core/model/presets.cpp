#include "core/model/presets.h"

namespace edgetrain {
namespace {

ModelConfig gpt2(std::int64_t hidden, std::int64_t layers, std::int64_t heads) {
  ModelConfig c;
  c.family = Family::gpt2;
  c.vocab_size = 50257;
  c.hidden_size = hidden;
  c.intermediate_size = 4 * hidden;
  c.num_hidden_layers = layers;
  c.num_attention_heads = c.num_key_value_heads = heads;
  c.head_dim = hidden / heads;
  c.max_position_embeddings = 1024;
  c.hidden_act = Activation::gelu_tanh;
  c.tie_word_embeddings = true;
  c.qkv_bias = c.attn_out_bias = c.mlp_bias = true;
  c.rope.type = RopeConfig::Type::none;
  c.bos_token_id = c.eos_token_id = 50256;
  return c;
}

struct LlamaShape {
  std::int64_t vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, max_positions;
};

ModelConfig llama(Family family, const LlamaShape& shape, double rope_theta, double norm_eps) {
  ModelConfig c;
  c.family = family;
  c.vocab_size = shape.vocab;
  c.hidden_size = shape.hidden;
  c.intermediate_size = shape.intermediate;
  c.num_hidden_layers = shape.layers;
  c.num_attention_heads = shape.heads;
  c.num_key_value_heads = shape.kv_heads;
  c.head_dim = shape.head_dim;
  c.max_position_embeddings = shape.max_positions;
  c.rope.theta = rope_theta;
  c.norm_eps = norm_eps;
  return c;
}

// 256 bytes and one end-of-document id.
ModelConfig llama_over_bytes(LlamaShape shape) {
  shape.vocab = 257;
  ModelConfig c = llama(Family::llama, shape, 10000.0, 1e-5);
  c.tie_word_embeddings = true;
  c.eos_token_id = 256;
  return c;
}

ModelConfig llama3_8b() {
  ModelConfig c = llama(Family::llama, {128256, 4096, 14336, 32, 32, 8, 128, 8192}, 500000.0, 1e-5);
  c.bos_token_id = 128000;
  c.eos_token_id = 128001;
  return c;
}

ModelConfig mistral_7b() {
  ModelConfig c = llama(Family::mistral, {32000, 4096, 14336, 32, 32, 8, 128, 32768}, 10000.0, 1e-5);
  c.sliding_window.assign(32, 4096);
  c.bos_token_id = 1;
  c.eos_token_id = 2;
  return c;
}

ModelConfig qwen2_0_5b() {
  ModelConfig c = llama(Family::qwen2, {151936, 896, 4864, 24, 14, 2, 64, 131072}, 1e6, 1e-6);
  c.qkv_bias = c.tie_word_embeddings = true;
  c.bos_token_id = c.eos_token_id = 151643;
  return c;
}

ModelConfig qwen3_0_6b() {
  ModelConfig c = llama(Family::qwen3, {151936, 1024, 3072, 28, 16, 8, 128, 40960}, 1e6, 1e-6);
  c.qk_norm = c.tie_word_embeddings = true;
  c.bos_token_id = 151643;
  c.eos_token_id = 151645;
  return c;
}

}  // namespace

const std::map<std::string, ModelConfig, std::less<>>& model_presets() {
  static const std::map<std::string, ModelConfig, std::less<>> presets = {
      {"gpt2-124m", gpt2(768, 12, 12)},
      {"gpt2-355m", gpt2(1024, 24, 16)},
      {"llama-tiny", llama_over_bytes({0, 128, 352, 4, 4, 2, 32, 1024})},
      {"llama-small", llama_over_bytes({0, 384, 1024, 6, 6, 2, 64, 2048})},
      {"llama3-8b", llama3_8b()},
      {"mistral-7b", mistral_7b()},
      {"qwen2-0.5b", qwen2_0_5b()},
      {"qwen3-0.6b", qwen3_0_6b()},
  };
  return presets;
}

}  // namespace edgetrain
