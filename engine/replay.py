"""Replay: compute any step of a trial again, with every number in it.

>>> from engine import LOSSES, MLP, OPTIMIZERS, initial_weights
>>> points = np.linspace(-1.0, 1.0, 8)[:, None]
>>> trial = Trial(
...     model=MLP([1, 2, 1]),
...     loss=LOSSES["mean_squared_error"],
...     rule=OPTIMIZERS["sgd"],
...     hyperparameters={"learning_rate": 0.5},
...     initial=initial_weights([1, 2, 1], "he_normal", seed=0),
...     samples=Samples(points, points**2),
...     steps=20,
... )
>>> before, after = replay(trial, step=3), replay(trial, step=4)
>>> np.allclose(after.weights, before.weights - 0.5 * before.gradient)
True
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from engine.arrays import Floats, Indexes
from engine.batches import Batches
from engine.kernels import resolve_kernel
from engine.kernels.scalar import KernelScalar, scalar_factory
from engine.losses import Loss
from engine.operations import Scalar
from engine.optimizers import Optimizer
from engine.parameter import Parameter, topological_order
from engine.program import Program
from engine.samples import Samples
from engine.step import UpdateRule, trace_step
from engine.tensors import element_names
from engine.tracing import Model, constants_of
from engine.train import TrainConfig, TrainSettings, make_config, train


@dataclass(frozen=True, init=False)
class Trial:
    """Everything that determines one trial.

    model, loss, rule: as in `trace_step`.
    hyperparameters: name -> the trial's value, for every column of the program.
    initial: (weights,), the initial weights.
    samples: the training data.
    config: steps, batch size, dtype, kernel. Its fields can be given as keyword arguments instead, as in `train`.
    seed: decides the order of samples in minibatches.
    """

    model: Model
    loss: Loss
    rule: Optimizer | UpdateRule
    hyperparameters: Mapping[str, float]
    initial: Floats
    samples: Samples
    config: TrainConfig
    seed: int

    def __init__(
        self,
        model: Model,
        loss: Loss,
        rule: Optimizer | UpdateRule,
        hyperparameters: Mapping[str, float],
        initial: Floats,
        samples: Samples,
        config: TrainConfig | int | None = None,
        seed: int = 0,
        **settings: Unpack[TrainSettings],
    ) -> None:
        if isinstance(config, int):
            warnings.warn("steps is not the seventh argument any more: write steps=", DeprecationWarning, stacklevel=2)
            settings["steps"], config = config, None
        fields = {
            "model": model,
            "loss": loss,
            "rule": rule,
            "hyperparameters": hyperparameters,
            "initial": initial,
            "samples": samples,
            "config": make_config(config, settings),
            "seed": seed,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Replay:
    """A step of a trial, before its update.

    trial, step: the trial and the number of updates before this step.
    kernel: name of the kernel whose arithmetic was used.
    weights: (weights,), before the update.
    samples: (samples,), positions of the step's samples in the data, in their order.
    loss: mean loss of these samples.
    gradient: (weights,), gradient of this mean.
    """

    trial: Trial
    step: int
    kernel: str
    weights: Floats
    samples: Indexes
    loss: float
    gradient: Floats

    def graph(self, sample: int) -> Parameter:
        """Return the loss of one sample as a graph. Every node has its value and its gradient.

        sample: position of the sample in the data.

        Weights are named after their tensors, features are x0, x1, ... and targets t0, t1, ...
        """
        number = scalar_factory(self.kernel, self.trial.config.dtype)
        error, _ = _loss_graph(self.trial, self.weights, sample, number)
        for node in topological_order(error):
            node.value, node.grad = float(_plain(node.value)), float(_plain(node.grad))
        return error


def replay(trial: Trial, step: int) -> Replay:
    """Return a step of a trial: its weights, loss and gradient.

    step: number of updates before it, from 0 to the trial's number of steps.

    Every number is equal to the last bit to the compiled kernel's on any machine, or to the reference kernel's with the
    same NumPy on the same processor. Raises ValueError if the step is out of range or comes after the trial diverged.
    """
    steps, dtype = trial.config.steps, trial.config.dtype
    if not 0 <= step <= steps:
        raise ValueError(f"the trial has steps 0 to {steps}, not {step}")
    features, targets = trial.samples.features.shape[1], trial.samples.targets.shape[1]
    program = trace_step(trial.model, trial.loss, trial.rule, features=features, targets=targets)
    kernel = resolve_kernel(trial.config.kernel)
    weights = _weights_at(trial, program, step) if step else trial.initial.astype(dtype).astype(float)
    number = scalar_factory(kernel, dtype)
    samples = _samples_of(trial, step)
    graphs = [_loss_graph(trial, weights, int(sample), number) for sample in samples]
    rows = zip(*([error.value, *(p.grad for p in parameters)] for error, parameters in graphs), strict=True)
    loss, *gradient = (
        _mean(list(row), kernel, number) if is_mean else _plain(row[0])
        for row, is_mean in zip(rows, [*program.are_means("loss"), *program.are_means("gradient")], strict=True)
    )
    return Replay(trial, step, kernel, weights, samples, float(loss), np.array(gradient, dtype=float))


def _weights_at(trial: Trial, program: Program, step: int) -> Floats:
    config = trial.config
    schedule_steps = config.steps if config.schedule_steps is None else config.schedule_steps
    history = train(
        program,
        trial.initial[None, :],
        {name: np.array([value]) for name, value in trial.hyperparameters.items()},
        trial.samples,
        config=replace(config, steps=step, points=2, gradients=False, snapshots=False, schedule_steps=schedule_steps),
        seeds=np.array([trial.seed]),
    )
    if history.last_step[0] < step:
        raise ValueError(f"the trial diverged after step {history.last_step[0]}; it has no step {step}")
    weights: Floats = history.weights[0]
    return weights


def _samples_of(trial: Trial, step: int) -> Indexes:
    """Return the positions of a step's samples in the data."""
    count, size = len(trial.samples.features), trial.config.batch_size
    replacement = trial.config.replacement
    if size is None or (size >= count and not replacement):
        return np.arange(count, dtype=np.int32)
    batches = Batches(size, np.array([trial.seed], dtype=np.uint64), replacement)
    epoch, batch = divmod(step, batches.per_epoch(count))
    order: Indexes = batches.order(slice(None), range(epoch, epoch + 1), count)[0, 0]
    return order[batch * size : (batch + 1) * size]


def _loss_graph(
    trial: Trial, weights: Floats, sample: int, number: Callable[[float], KernelScalar]
) -> tuple[Parameter, list[Parameter]]:
    """Return the loss of a sample as a graph with gradients, and the model's parameters in it.

    number: turns a float into a number of the kernel's arithmetic.
    """
    model = copy.deepcopy(trial.model)
    parameters = model.parameters()
    for parameter, weight, name in zip(parameters, weights, element_names(model.tensors), strict=True):
        parameter.value, parameter.grad, parameter.name = number(weight), 0.0, name
    for constant, name in zip(constants_of(model), _constant_names(model), strict=False):
        constant.grad, constant.name = 0.0, name
    features = [Parameter(number(x), f"x{j}") for j, x in enumerate(trial.samples.features[sample])]
    targets = [Parameter(number(t), f"t{k}") for k, t in enumerate(trial.samples.targets[sample])]
    error = trial.loss(model(features), targets)
    error.backward()
    return error, parameters


def _constant_names(model: Model) -> list[str]:
    """Return names of the constants in the place of missing biases, one for each row of each weight tensor."""
    return [f"{t.layer}.unit[{unit}]" for t in model.tensors if len(t.shape) == 2 for unit in range(t.shape[0])]


def _mean(scalars: list[Scalar], kernel: str, number: Callable[[float], KernelScalar]) -> float:
    """Return the mean, added up in the kernel's order."""
    if kernel == "reference":
        values = np.array([[_plain(scalar) for scalar in scalars]])
        return float((values.sum(axis=1, keepdims=True) / values.dtype.type(len(scalars)))[0, 0])
    total: Scalar = number(0.0)
    for scalar in scalars:
        total = total + scalar
    return float(_plain(total / float(len(scalars))))


def _plain(scalar: Scalar) -> Any:
    return scalar.value if isinstance(scalar, KernelScalar) else scalar
