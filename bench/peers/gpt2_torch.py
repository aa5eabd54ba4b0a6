"""GPT-2 as a careful PyTorch user writes it: the peer that edgetrain is timed against.

Why not only transformers' GPT-2: its Conv1D and its generic module tree cost calls that a plain model does not make,
and a comparison should be with PyTorch, not with a library on it. train_torch.py runs that one too (--config).

    B = samples, S = tokens of one, C = hidden, H = heads
"""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class GPT2Shape:
    layers: int = 12
    heads: int = 12
    hidden: int = 768
    vocab: int = 50257
    positions: int = 1024


SHAPES = {
    "gpt2-124m": GPT2Shape(),
    "gpt2-tiny": GPT2Shape(layers=2, heads=3, hidden=96, vocab=301, positions=128),
}


class Block(nn.Module):
    def __init__(self, shape: GPT2Shape):
        super().__init__()
        width = shape.hidden
        self.heads = shape.heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.fc_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        return self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.ln_1(x))
        return x + self.fc_proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    """hidden(ids) is (B, S, C) after the last norm; `head` is the weight (V, C) that makes logits of it."""

    def __init__(self, shape: GPT2Shape):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(shape.vocab, shape.hidden), nn.Embedding(shape.positions, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.hidden)
        self._initialise()

    def _initialise(self) -> None:
        """As in the paper: matrices that write to the residual stream are narrower the more of them there are."""
        narrow = {id(part) for block in self.blocks for part in (block.proj, block.fc_proj)}
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02 / (2 * len(self.blocks)) ** (0.5 * (id(module) in narrow)))
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    @property
    def head(self) -> torch.Tensor:
        return self.wte.weight

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)
