"""A decoder-only transformer in float64, written from the formulas and not from transformers.

Why: transformers computes norms and the softmax in float32 whatever the model's dtype, so a float64 run of it is no
measure of rounding errors. This one is float64 throughout, reads nothing but config.json and the named tensors, and
states masks and rotary frequencies explicitly. It is therefore also a second opinion on what the configuration means.

    T = tokens of one sample, H = query heads, G = key/value heads, D = head_dim
"""

import math

import torch
import torch.nn.functional as F


def logits(config: dict, weights: dict, ids: torch.Tensor, window_slack: int = 0) -> torch.Tensor:
    """(B, T, V) from ids (B, T). `weights` maps Hugging Face names to float64 tensors.

    window_slack widens every sliding window by so many keys: a negative control for checks.
    """
    if config["model_type"] == "gpt2":
        return _gpt2(config, weights, ids)
    return _llama_like(config, weights, ids, window_slack)


def loss(config: dict, weights: dict, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over all targets; targets[b, t] is the token that follows ids[b, t]."""
    return F.cross_entropy(logits(config, weights, ids).flatten(0, 1), targets.flatten())


def window_of_layer(config: dict, layer: int) -> int | None:
    """Keys that a query sees, itself included; None is all before it."""
    window = config.get("sliding_window")
    if window is None or (config["model_type"].startswith("qwen") and not config["use_sliding_window"]):
        return None
    if "layer_types" in config:
        return window if config["layer_types"][layer] == "sliding_attention" else None
    return window


def _visible(tokens: int, window: int | None) -> torch.Tensor:
    """(T, T) bool: query i sees key j iff 0 <= i - j <= window - 1."""
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    return (distance >= 0) & (distance <= (window - 1 if window is not None else tokens))


def _attend(q, k, v, visible):
    """q (B, H, T, D), k and v (B, G, T, D) -> (B, T, H*D). Query head h uses key head h // (H // G)."""
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~visible, -math.inf)
    return (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(2)


def _heads(x, head_dim):
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


# ---- GPT-2: pre-norm LayerNorm, learned positions, Conv1D weights stored (in, out), head tied to wte ----------------


def _gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _layer_norm(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) * weight + bias


def _gpt2(config, w, ids):
    eps, width = config["layer_norm_epsilon"], config["n_embd"]

    def norm(x, name):
        return _layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    tokens = ids.shape[1]
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][:tokens]
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        qkv = linear(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn").split(width, -1)
        q, k, v = (_heads(part, width // config["n_head"]) for part in qkv)
        x = x + linear(_attend(q, k, v, _visible(tokens, None)), f"{block}.attn.c_proj")
        inner = _gelu_tanh(linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
        x = x + linear(inner, f"{block}.mlp.c_proj")
    return norm(x, "transformer.ln_f") @ w.get("lm_head.weight", w["transformer.wte.weight"]).T


# ---- Llama, Mistral, Qwen2, Qwen3: RMSNorm, rotary positions, grouped-query heads, SwiGLU ---------------------------


def inverse_frequencies(config: dict, head_dim: int) -> torch.Tensor:
    """(D/2,) radians per token."""
    rope = config["rope_parameters"]
    plain = rope["rope_theta"] ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    if rope["rope_type"] == "default":
        return plain
    assert rope["rope_type"] == "llama3", rope
    # Llama 3.1: long waves are slowed by `factor`, short ones kept, those between blended.
    original, low, high = rope["original_max_position_embeddings"], rope["low_freq_factor"], rope["high_freq_factor"]
    turns = original * plain / (2 * math.pi)  # whole turns within the original context
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * (keep + (1 - keep) / rope["factor"])


def _rotate(x, frequencies):
    """Pairs (i, i + D/2) of each head turn by position * frequency[i]."""
    angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * frequencies
    first, second = x.chunk(2, -1)
    return torch.cat(
        (first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()), -1
    )


def _llama_like(config, w, ids, window_slack):
    eps, tokens = config["rms_norm_eps"], ids.shape[1]
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = inverse_frequencies(config, head_dim)

    def norm(x, name):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * w[f"{name}.weight"]

    def linear(x, name):
        bias = w.get(f"{name}.bias")
        return x @ w[f"{name}.weight"].T + (bias if bias is not None else 0.0)

    def positioned(x, attn, part):
        heads = _heads(linear(x, f"{attn}.{part}_proj"), head_dim)
        if f"{attn}.{part}_norm.weight" in w:  # Qwen3: each head on its own, before the rotation
            heads = norm(heads, f"{attn}.{part}_norm")
        return _rotate(heads, frequencies)

    x = w["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        block, attn = f"model.layers.{layer}", f"model.layers.{layer}.self_attn"
        window = window_of_layer(config, layer)
        visible = _visible(tokens, window + window_slack if window is not None else None)
        y = norm(x, f"{block}.input_layernorm")
        values = _heads(linear(y, f"{attn}.v_proj"), head_dim)
        mixed = _attend(positioned(y, attn, "q"), positioned(y, attn, "k"), values, visible)
        x = x + linear(mixed, f"{attn}.o_proj")
        y = norm(x, f"{block}.post_attention_layernorm")
        gated = F.silu(linear(y, f"{block}.mlp.gate_proj")) * linear(y, f"{block}.mlp.up_proj")
        x = x + linear(gated, f"{block}.mlp.down_proj")
    return norm(x, "model.norm") @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
