"""The roof of a step: how long its matrix products alone take at the rate of PyTorch's own libraries.

torch.mm is MKL in fp32 and oneDNN in bf16; products are stored as autograd stores them. A step cannot be faster than
this without a better library, so a ratio to it says how much of a system's time is not matrix products. Attention's
products count half, as a causal mask needs no more, at the rate of the batched product of the full square.

With --ranks 2 two processes measure at the same time, as they share memory bandwidth and power when they train.
Prints one JSON line per shape and one for the step.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass

if __name__ == "__main__" and "--threads" in sys.argv:
    os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--threads") + 1]

import torch  # noqa: E402

from gpt2_torch import SHAPES, GPT2Shape  # noqa: E402


@dataclass(frozen=True)
class Product:
    """times x (count,) products of (rows, inner) by (inner, cols); `causal`: only half of it is needed."""

    name: str
    rows: int
    inner: int
    cols: int
    times: int
    trans_a: bool = False
    trans_b: bool = False
    count: int = 1
    causal: bool = False

    @property
    def flops(self) -> float:
        """Of one execution of the whole product, whether or not all of it is needed."""
        return 2.0 * self.count * self.rows * self.inner * self.cols


def linear(name: str, tokens: int, inputs: int, outputs: int, times: int) -> list[Product]:
    """A linear layer with its weight stored (outputs, inputs): forward, gradient of the input, of the weight."""
    return [
        Product(f"{name}.forward", tokens, inputs, outputs, times, trans_b=True),
        Product(f"{name}.dx", tokens, outputs, inputs, times),
        Product(f"{name}.dw", outputs, tokens, inputs, times, trans_a=True),
    ]


def attention(shape: GPT2Shape, samples: int, seq_len: int) -> list[Product]:
    """Scores and values forward; in backward the scores again (they are not stored), and four gradients."""
    head_dim, layers = shape.hidden // shape.heads, shape.layers
    square = {"count": samples * shape.heads, "causal": True}
    return [
        Product("attention.scores", seq_len, head_dim, seq_len, 3 * layers, trans_b=True, **square),
        Product("attention.values", seq_len, seq_len, head_dim, 2 * layers, **square),
        Product("attention.dk_dv", seq_len, seq_len, head_dim, 2 * layers, trans_a=True, **square),
    ]


def products_of(shape: GPT2Shape, samples: int, seq_len: int) -> list[Product]:
    tokens, width = samples * seq_len, shape.hidden
    return [
        *linear("qkv", tokens, width, 3 * width, shape.layers),
        *linear("proj", tokens, width, width, shape.layers),
        *linear("fc", tokens, width, 4 * width, shape.layers),
        *linear("fc_proj", tokens, 4 * width, width, shape.layers),
        *linear("head", tokens, width, shape.vocab, 1),
        *attention(shape, samples, seq_len),
    ]


def operand(count: int, rows: int, cols: int, transposed: bool, dtype: torch.dtype) -> torch.Tensor:
    stored = (cols, rows) if transposed else (rows, cols)
    tensor = torch.randn((count, *stored) if count > 1 else stored, dtype=torch.float32).to(dtype)
    return tensor.transpose(-1, -2) if transposed else tensor


def seconds_of(product: Product, dtype: torch.dtype, repeats: int) -> float:
    """Median of one execution, after one that is not counted; the result is written over, as a step reuses memory."""
    a = operand(product.count, product.rows, product.inner, product.trans_a, dtype)
    b = operand(product.count, product.inner, product.cols, product.trans_b, dtype)
    multiply = torch.bmm if product.count > 1 else torch.mm
    out = multiply(a, b)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        multiply(a, b, out=out)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(rank: int, args: argparse.Namespace, barrier, results) -> None:
    torch.set_num_threads(args.threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    for product in products_of(SHAPES[args.model], args.micro_batch, args.seq_len):
        barrier.wait()
        results[product.name, rank] = seconds_of(product, dtype, args.repeats)


def report(args: argparse.Namespace, results) -> None:
    """A rank that shares the machine is as slow as the slowest."""
    linear_s = attention_s = 0.0
    for product in products_of(SHAPES[args.model], args.micro_batch, args.seq_len):
        seconds = max(results[product.name, rank] for rank in range(args.ranks))
        line = {"product": product.name, "m": product.rows, "k": product.inner, "n": product.cols}
        line["count"] = product.count
        rate = product.flops / seconds / 1e9
        print(json.dumps(line | {"times": product.times, "ms": round(1e3 * seconds, 3), "gflop_per_s": round(rate, 1)}))
        if product.causal:
            attention_s += product.times * seconds / 2
        else:
            linear_s += product.times * seconds
    tokens = args.ranks * args.micro_batch * args.seq_len
    summary = {
        "roof": args.model, "dtype": args.dtype, "ranks": args.ranks, "threads": args.threads,
        "linear_ms": round(1e3 * linear_s, 1), "attention_ms": round(1e3 * attention_s, 1),
        "tokens_per_s": round(tokens / (linear_s + attention_s), 2),
    }
    print(json.dumps(summary), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gpt2-124m", choices=list(SHAPES))
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    context = torch.multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results, barrier = manager.dict(), manager.Barrier(args.ranks)
        torch.multiprocessing.spawn(measure, (args, barrier, results), nprocs=args.ranks)
        report(args, dict(results))


if __name__ == "__main__":
    main()
