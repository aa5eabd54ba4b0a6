#include "core/model/hf_known_keys.h"

#include <algorithm>
#include <iterator>

namespace edgetrain {
namespace {

// null, false, an empty list or object and 0 are neutral for all of them, unless a number stands here.
struct ForwardKey {
  std::string_view key;
  double neutral = 0.0;
  bool neutral_flag = false;
};

// What has been seen in published models of any family and would give other logits.
constexpr ForwardKey kForwardKeys[] = {
    {"quantization_config"},
    {"compression_config"},
    {"attn_logit_softcapping"},
    {"final_logit_softcapping"},
    {"query_pre_attn_scalar"},
    {"num_local_experts"},
    {"num_experts"},
    {"num_experts_per_tok"},
    {"n_routed_experts"},
    {"n_shared_experts"},
    {"moe_intermediate_size"},
    {"shared_expert_intermediate_size"},
    {"kv_lora_rank"},
    {"q_lora_rank"},
    {"num_nextn_predict_layers"},
    {"first_k_dense_replace"},
    {"embedding_multiplier", 1.0},
    {"residual_multiplier", 1.0},
    {"attention_multiplier"},
    {"logits_scaling", 1.0},
    {"logit_scale", 1.0},
    {"scale_emb", 1.0},
    {"scale_embedding"},
    {"partial_rotary_factor", 1.0},
    {"rotary_pct", 1.0},
    {"rope_interleave"},
    {"rope_interleaved"},
    {"rope_local_base_freq"},
    {"use_mrope"},
    {"no_rope_layers"},
    {"no_rope_layer_interval"},
    {"position_embedding_type"},
    {"alibi"},
    {"use_parallel_residual"},
    {"parallel_attn"},
    {"use_qk_norm"},
    {"qk_layernorm"},
    {"sandwich_norm"},
    {"clip_qkv"},
    {"attention_chunk_size"},
    {"attn_temperature_tuning"},
    {"attention_sink"},
    {"dual_chunk_attention_config"},
    {"cross_attention_layers"},
    {"cross_attention_hidden_size"},
    {"add_cross_attention"},
    {"is_encoder_decoder"},
    {"num_kv_shared_layers"},
    {"kv_sharing_config"},
    {"pruned_heads"},
    {"scale_attn_weights", 0.0, true},
    {"scale_attn_by_inverse_layer_idx"},
    {"sliding_window"},
    {"sliding_window_pattern"},
    {"use_sliding_window"},
    {"layer_types"},
    {"attention_bias"},
    {"mlp_bias"},
    {"qkv_bias"},
    {"use_bias"},
    {"vision_config"},
    {"audio_config"},
    {"text_config"},
    {"use_bidirectional_attention"},
};

constexpr std::string_view kHarmlessKeys[] = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "is_decoder",
    "keep_attn",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "n_ctx",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "max_window_layers",
    "unsloth_fixed",
    "unsloth_version",
};

constexpr std::string_view kDropoutKeys[] = {"attention_dropout", "attn_pdrop",         "embd_pdrop",
                                             "resid_pdrop",       "hidden_dropout",     "embedding_dropout",
                                             "residual_dropout",  "hidden_dropout_prob"};

template <typename List>
bool contains(const List& list, std::string_view key) {
  return std::find(std::begin(list), std::end(list), key) != std::end(list);
}

bool is_neutral(const Json& value, const ForwardKey& entry) {
  double number = 0.0;
  if (value.boolean() != nullptr) return *value.boolean() == entry.neutral_flag;
  if (value.number(number)) return number == entry.neutral;
  if (value.array() != nullptr) return value.array()->empty();
  if (value.object() != nullptr) return value.object()->empty();
  return value.is_null();
}

bool is_on(const Json& value) {
  double number = 0.0;
  return value.number(number) && number != 0.0;
}

void check_key(const JsonMember& member, HfFields& fields) {
  const auto entry = std::find_if(std::begin(kForwardKeys), std::end(kForwardKeys),
                                  [&](const ForwardKey& e) { return e.key == member.key; });
  if (entry != std::end(kForwardKeys)) {
    if (!is_neutral(member.value, *entry)) {
      fields.problem(member.key, "changes what this model computes and is not implemented here");
    }
  } else if (contains(kDropoutKeys, member.key)) {
    if (is_on(member.value)) fields.warn(member.key, "there is no dropout here: training goes on without");
  } else if (member.key == "auto_map") {
    fields.warn(member.key, "names Python code that may compute something else; it is not run");
  } else if (!contains(kHarmlessKeys, member.key)) {
    fields.warn(member.key, "is unknown and was ignored");
    fields.result().unknown.push_back(member.key);
  }
}

}  // namespace

void check_other_keys(HfFields& fields) {
  for (const JsonMember& member : *fields.object().object()) {
    if (!fields.known().contains(member.key)) check_key(member, fields);
  }
  fields.result().read.assign(fields.known().begin(), fields.known().end());
}

}  // namespace edgetrain
