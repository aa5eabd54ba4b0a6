"""The tiny models: one per family, each with the features that tell a wrong implementation from a right one.

Sizes are odd where the architecture allows it, and unlike each other, so that a swapped dimension cannot go unseen.
"""

import transformers as hf

_COMMON = {"bos_token_id": None, "eos_token_id": None, "use_cache": False}


def _rope(theta: float, **scaling) -> dict:
    return {"rope_type": "default", "rope_theta": theta, **scaling}


CONFIGS = {
    # LayerNorm, learned positions, Conv1D weights (in, out), tied head.
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=97, n_positions=40, n_embd=36, n_layer=2, n_head=3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **_COMMON,
    ),
    # Three query heads share a key head; untied.
    "llama": lambda: hf.LlamaConfig(
        vocab_size=113, hidden_size=48, intermediate_size=77, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=_rope(10000.0), **_COMMON,
    ),
    # With 8 frequencies of wavelengths 6 to 353 tokens, all three branches of the scaling are taken.
    "llama3": lambda: hf.LlamaConfig(
        vocab_size=101, hidden_size=32, intermediate_size=71, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters=_rope(100.0) | {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }, **_COMMON,
    ),
    # The window (7 keys, the token itself included) is shorter than the sequence; heads * head_dim != hidden.
    "mistral": lambda: hf.MistralConfig(
        vocab_size=103, hidden_size=36, intermediate_size=59, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, sliding_window=7, max_position_embeddings=64, rms_norm_eps=1e-5,
        tie_word_embeddings=False, rope_parameters=_rope(10000.0), **_COMMON,
    ),
    # Biases on q, k, v; tied.
    "qwen2": lambda: hf.Qwen2Config(
        vocab_size=131, hidden_size=40, intermediate_size=67, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters=_rope(1000000.0), **_COMMON,
    ),
    # The same family with a window on the upper layers only.
    "qwen2_window": lambda: hf.Qwen2Config(
        vocab_size=109, hidden_size=32, intermediate_size=51, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=False,
        use_sliding_window=True, sliding_window=9, max_window_layers=1, rope_parameters=_rope(10000.0), **_COMMON,
    ),
    # Norms on q and k, head by head; head_dim 14 where hidden / heads is 10.
    "qwen3": lambda: hf.Qwen3Config(
        vocab_size=127, hidden_size=40, intermediate_size=69, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=14, max_position_embeddings=64, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters=_rope(1000000.0), **_COMMON,
    ),
}
