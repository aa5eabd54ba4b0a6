// The architecture of a model, in the words of Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/ops/ops.h"

namespace edgetrain {

enum class Family : std::uint8_t { gpt2, llama, mistral, qwen2, qwen3 };
[[nodiscard]] std::string_view name_of(Family family);

/// Rotary position embedding. Su et al. 2021; llama3 scaling as in Llama 3.1.
struct RopeConfig {
  enum class Type : std::uint8_t { none, plain, linear, llama3 } type = Type::plain;
  double theta = 10000.0;
  double factor = 1.0, low_freq_factor = 1.0, high_freq_factor = 4.0;
  std::int64_t original_max_position_embeddings = 0;
};

/// One decoder-only transformer. Fields keep their Hugging Face names; everything here is implemented, and
/// whatever config.json asks for that is not is refused when it is read.
struct ModelConfig {
  Family family = Family::llama;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  double norm_eps = 1e-5;  // rms_norm_eps or layer_norm_epsilon
  Activation hidden_act = Activation::silu;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;       // Qwen2, GPT-2, attention_bias
  bool attn_out_bias = false;  // GPT-2, attention_bias of Llama
  bool mlp_bias = false;
  bool qk_norm = false;                      // Qwen3
  std::vector<std::int64_t> sliding_window;  // per layer; 0: none
  RopeConfig rope;
  double initializer_range = 0.02;
  std::optional<std::int64_t> bos_token_id, eos_token_id;
};

}  // namespace edgetrain
