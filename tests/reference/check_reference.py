"""Checks the golden files against the float64 oracle, and prints how far float32 itself is from it.

What it would notice: names that do not match the weights, a tied gradient that misses one of its two uses, a window or
a mask that transformers did not apply, targets shifted twice, rotary frequencies out of place, files of two generations
mixed. The table is where the tolerances in README.md come from. Needs torch and safetensors, not transformers.

    python tests/reference/check_reference.py
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import oracle
import recipe

HERE = Path(__file__).resolve().parent
LOGITS_TOLERANCE, GRAD_TOLERANCE, LOSS_TOLERANCE = 2e-5, 2e-5, 2e-5


class Model:
    """One folder of golden files, with its weights as float64 leaves."""

    def __init__(self, folder: Path):
        self.name = folder.name
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {k: v.double().requires_grad_() for k, v in load_file(folder / "model.safetensors").items()}
        self.golden = load_file(folder / "golden.safetensors")
        self.ids, self.targets = self.golden["input_ids"].long(), self.golden["targets"].long()

    def gradients(self, step: int = 0) -> torch.Tensor:
        for weight in self.weights.values():
            weight.grad = None
        loss = oracle.loss(self.config, self.weights, self.ids[step], self.targets[step])
        loss.backward()
        return loss.detach()


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


def farthest(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).abs().max())


def check_names(model: Model) -> None:
    golden = {key.removeprefix("grad.") for key in model.golden if key.startswith("grad.")}
    assert golden == set(model.weights), golden ^ set(model.weights)
    for name, weight in model.weights.items():
        assert model.golden[f"grad.{name}"].shape == weight.shape, name
    assert all(torch.isfinite(tensor.double()).all() for tensor in model.golden.values())


def check_data(model: Model) -> None:
    stream = model.ids.flatten()
    assert torch.equal(stream[1:], model.targets.flatten()[:-1]), "targets are not the next tokens"


def check_logits(model: Model) -> float:
    with torch.no_grad():
        expected = oracle.logits(model.config, model.weights, model.ids[0])
    difference = farthest(model.golden["logits"], expected)
    assert difference <= LOGITS_TOLERANCE, difference
    return difference


def check_window_is_seen(model: Model) -> None:
    """Negative control: windows one key narrower or wider must not pass for the golden ones."""
    if not any(oracle.window_of_layer(model.config, i) for i in range(model.config.get("num_hidden_layers", 0))):
        return
    for slack in (-1, 1):
        with torch.no_grad():
            other = oracle.logits(model.config, model.weights, model.ids[0], window_slack=slack)
        assert farthest(model.golden["logits"], other) > 1e-2, "the window makes no difference"


def check_gradients(model: Model) -> tuple[float, float]:
    """Farthest relative distance of a gradient, and the smallest norm of one."""
    model.gradients()
    distances = {n: relative(model.golden[f"grad.{n}"], w.grad) for n, w in model.weights.items()}
    worst = max(distances, key=distances.get)
    assert distances[worst] <= GRAD_TOLERANCE, (worst, distances[worst])
    return distances[worst], min(float(w.grad.norm()) for w in model.weights.values())


def check_tied_gradient(model: Model) -> None:
    """The gradient of a tied table is the sum of its use as embedding and its use as head, neither of them zero."""
    table = "transformer.wte.weight" if model.config["model_type"] == "gpt2" else "model.embed_tokens.weight"
    if not model.config["tie_word_embeddings"]:
        assert "lm_head.weight" in model.weights
        return
    assert "lm_head.weight" not in model.weights
    weights = {k: v.detach().clone().requires_grad_() for k, v in model.weights.items()}
    weights["lm_head.weight"] = weights[table].detach().clone().requires_grad_()
    oracle.loss(model.config, weights, model.ids[0], model.targets[0]).backward()
    uses = weights[table].grad, weights["lm_head.weight"].grad
    assert relative(model.golden[f"grad.{table}"], uses[0] + uses[1]) <= GRAD_TOLERANCE
    assert all(relative(model.golden[f"grad.{table}"], use) > 0.1 for use in uses)


def check_training(model: Model, make_optimizer, key: str, max_grad_norm: float) -> tuple[float, float]:
    """Farthest distance of a loss, and of a gradient norm, from the same 20 steps in float64."""
    parameters = [w.detach().clone().requires_grad_() for w in model.weights.values()]
    copy = Model.__new__(Model)
    copy.__dict__ = model.__dict__ | {"weights": dict(zip(model.weights, parameters))}
    losses, norms = recipe.train(parameters, make_optimizer(parameters), copy.gradients, max_grad_norm)
    distance = farthest(model.golden[f"losses_{key}"], losses)
    assert distance <= LOSS_TOLERANCE, distance
    return distance, farthest(model.golden[f"grad_norms_{key}"] / norms, torch.ones_like(norms))


def row(model: Model) -> str:
    check_names(model)
    check_data(model)
    logits = check_logits(model)
    check_window_is_seen(model)
    gradient, smallest = check_gradients(model)
    check_tied_gradient(model)
    loss, norm = check_training(model, recipe.adamw, "fp32", recipe.MAX_GRAD_NORM)
    if "losses_sgd" in model.golden:
        check_training(model, lambda p: recipe.sgd(p, False), "sgd", recipe.SGD_MAX_GRAD_NORM)
        check_training(model, lambda p: recipe.sgd(p, True), "sgd_nesterov", recipe.SGD_MAX_GRAD_NORM)
    golden = model.golden
    size = sum(w.numel() for w in model.weights.values())
    spread = f"{golden['losses_fp32'][0]:.4f} -> {golden['losses_fp32'][-1]:.4f}"
    return (
        f"| {model.name} | {size} | {golden['logits'].std():.2f} | {logits:.1e} | {gradient:.1e} | {smallest:.1e} "
        f"| {spread} | {loss:.1e} | {norm:.1e} |"
    )


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print("| model | parameters | std of logits | logits, max abs | gradients, max rel | smallest gradient norm "
          "| loss, steps 1 and 20 | losses, max abs | gradient norms, max rel |")
    print("|---" * 9 + "|")
    for folder in sorted(path.parent for path in HERE.glob("*/golden.safetensors")):
        if not names or folder.name in names:
            print(row(Model(folder)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
