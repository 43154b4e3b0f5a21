"""Makes pytorch_values.json: the weights that PyTorch trains, for every optimiser, schedule and option.

    pip install torch==2.13.0 && python tests/engine/pytorch_values.py

Its optimisers in double precision, full batches, from the start and on the data below. The file is committed, so the
tests need no PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")

FEATURES = [[0.5, -1.0], [1.5, 2.0], [-0.7, 0.3], [0.1, -0.4]]
TARGETS = [[1.0], [-0.5], [0.25], [2.0]]
START = [0.3, -0.2, 0.8, 0.5, 0.1, -0.1, 0.6, -0.9, 0.2]  # of a 2-2-1 network: weights, biases, weights, bias
STEPS = 50

# our names: optimizer, schedule, hyperparameters
CASES: list[tuple[str, str, dict[str, float]]] = [
    ("sgd", "constant", {"learning_rate": 0.1}),
    ("sgd", "constant", {"learning_rate": 0.1, "weight_decay": 0.05}),
    ("sgd", "constant", {"learning_rate": 0.5, "clip_norm": 0.3}),
    ("sgd", "constant", {"learning_rate": 0.5, "clip_value": 0.1}),
    ("sgd", "constant", {"learning_rate": 0.5, "clip_value": 0.2, "clip_norm": 0.3, "weight_decay": 0.01}),
    ("momentum", "constant", {"learning_rate": 0.05, "momentum": 0.8}),
    ("momentum", "constant", {"learning_rate": 0.05, "momentum": 0.8, "weight_decay": 0.1}),
    ("nesterov", "constant", {"learning_rate": 0.05, "momentum": 0.8}),
    ("rmsprop", "constant", {"learning_rate": 0.01, "alpha": 0.9, "epsilon": 1e-6, "momentum": 0.0}),
    ("rmsprop", "constant", {"learning_rate": 0.01, "alpha": 0.9, "epsilon": 1e-6, "momentum": 0.7}),
    (
        "rmsprop",
        "constant",
        {"learning_rate": 0.01, "alpha": 0.9, "epsilon": 1e-6, "momentum": 0.7, "weight_decay": 0.1},
    ),
    (
        "adagrad",
        "constant",
        {"learning_rate": 0.1, "learning_rate_decay": 0.02, "initial_accumulator_value": 0.3, "epsilon": 1e-8},
    ),
    ("adam", "constant", {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6}),
    ("adam", "constant", {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.1}),
    ("adamw", "constant", {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6, "weight_decay": 0.1}),
    ("sgd", "step", {"learning_rate": 0.2, "step_size": 7.0, "gamma": 0.5}),
    ("sgd", "exponential", {"learning_rate": 0.2, "gamma": 0.93}),
    ("sgd", "cosine", {"learning_rate": 0.2, "eta_min": 0.01}),
    ("sgd", "warmup", {"learning_rate": 0.2, "warmup_steps": 12.0}),
    ("adam", "cosine", {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "eta_min": 0.0}),
    ("momentum", "exponential", {"learning_rate": 0.1, "momentum": 0.5, "gamma": 0.97, "warmup_steps": 8.0}),
]


def _optimizer(name: str, parameters: Any, h: dict[str, float]) -> Any:
    import torch

    rate, decay = h["learning_rate"], h.get("weight_decay", 0.0)
    if name in ("sgd", "momentum", "nesterov"):
        return torch.optim.SGD(
            parameters, lr=rate, momentum=h.get("momentum", 0.0), weight_decay=decay, nesterov=name == "nesterov"
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=rate, alpha=h["alpha"], eps=h["epsilon"], momentum=h["momentum"], weight_decay=decay
        )
    if name == "adagrad":
        return torch.optim.Adagrad(
            parameters,
            lr=rate,
            lr_decay=h["learning_rate_decay"],
            initial_accumulator_value=h["initial_accumulator_value"],
            eps=h["epsilon"],
            weight_decay=decay,
        )
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, betas=(h["beta1"], h["beta2"]), eps=h["epsilon"], weight_decay=decay)


def _schedulers(name: str, optimizer: Any, h: dict[str, float]) -> list[Any]:
    from torch.optim import lr_scheduler as schedulers

    found: list[Any] = []
    if name == "step":
        found.append(schedulers.StepLR(optimizer, step_size=int(h["step_size"]), gamma=h["gamma"]))
    if name == "exponential":
        found.append(schedulers.ExponentialLR(optimizer, gamma=h["gamma"]))
    if name == "cosine":
        found.append(schedulers.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=h["eta_min"]))
    if "warmup_steps" in h:
        steps = int(h["warmup_steps"])
        found.append(schedulers.LinearLR(optimizer, start_factor=1.0 / steps, total_iters=steps - 1))
    return found


def _train(name: str, schedule: str, h: dict[str, float]) -> list[float]:
    import torch

    torch.set_default_dtype(torch.float64)
    flat = torch.tensor(START)
    shapes = [(2, 2), (2,), (1, 2), (1,)]
    sizes = [4, 2, 2, 1]
    w1, b1, w2, b2 = (
        part.reshape(shape).clone().requires_grad_() for part, shape in zip(flat.split(sizes), shapes, strict=True)
    )
    parameters = [w1, b1, w2, b2]
    optimizer = _optimizer(name, parameters, h)
    schedulers = _schedulers(schedule, optimizer, h)
    features, targets = torch.tensor(FEATURES), torch.tensor(TARGETS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        outputs = torch.tanh(features @ w1.T + b1) @ w2.T + b2
        torch.nn.functional.mse_loss(outputs, targets).backward()
        if "clip_value" in h:
            torch.nn.utils.clip_grad_value_(parameters, h["clip_value"])
        if "clip_norm" in h:
            torch.nn.utils.clip_grad_norm_(parameters, h["clip_norm"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return [float(x) for p in parameters for x in p.detach().ravel()]


def main() -> None:
    import torch

    rows = [
        {"optimizer": name, "schedule": schedule, "hyperparameters": h, "weights": _train(name, schedule, h)}
        for name, schedule, h in CASES
    ]
    FILE.write_text(json.dumps({"pytorch": torch.__version__, "cases": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
