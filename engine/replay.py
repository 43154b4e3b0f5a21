"""Replay: any step of any trial again, with every number in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Floats, Indexes
from engine.batches import Batches
from engine.kernels import resolve_kernel
from engine.kernels.scalar import KernelScalar as Number
from engine.kernels.scalar import scalar_factory as arithmetic
from engine.losses import Loss
from engine.operations import Scalar
from engine.optimizers import Optimizer
from engine.parameter import Parameter, topological_order
from engine.program import Program, Reduction
from engine.samples import Samples
from engine.step import UpdateRule, trace_step
from engine.tensors import Tensor
from engine.tracing import Model
from engine.train import train


@dataclass(frozen=True)
class Trial:
    """All that determines one trial. `hyperparameters`: the columns of its program, for it alone.

    initial: (weights,). steps: how many there are in all. The rest is as in `train`.
    """

    model: Model
    loss: Loss
    rule: Optimizer | UpdateRule
    hyperparameters: Mapping[str, float]
    initial: Floats
    samples: Samples
    steps: int
    batch_size: int | None = None
    seed: int = 0
    dtype: str = "float64"
    kernel: str = "auto"


@dataclass(frozen=True)
class Replay:
    """A step of a trial: the weights before its update, (weights,), their loss and gradient over the step's samples.

    samples: the numbers of the samples that the step saw, in their order. kernel: by whose arithmetic.
    """

    trial: Trial
    step: int
    kernel: str
    weights: Floats
    samples: Indexes
    loss: float
    gradient: Floats

    def graph(self, sample: int) -> Parameter:
        """The loss of one sample, by its number, as a graph in which every node has its value and its gradient.

        Weights are named after their tensors, features x0, x1, ... and targets t0, t1, ...
        """
        error, _ = _differentiated(self.trial, self.weights, sample, arithmetic(self.kernel, self.trial.dtype))
        for node in topological_order(error):
            node.value, node.grad = float(_plain(node.value)), float(_plain(node.grad))
        return error


def replay(trial: Trial, step: int) -> Replay:
    """The weights of a trial at a step, 0 .. `steps`, and what the step makes of them.

    Everything is equal to the last bit to what the compiled kernel has computed, on any machine; to what the reference
    kernel has computed, with the same NumPy on the same processor. Raises ValueError for a step that there is none of,
    or that the trial did not live to see.
    """
    if not 0 <= step <= trial.steps:
        raise ValueError(f"the trial has steps 0 to {trial.steps}, not {step}")
    features, targets = trial.samples.features.shape[1], trial.samples.targets.shape[1]
    program = trace_step(trial.model, trial.loss, trial.rule, features=features, targets=targets)
    kernel = resolve_kernel(trial.kernel, program.weight_count)
    weights = _weights_at(trial, program, step, kernel) if step else trial.initial.astype(trial.dtype).astype(float)
    number = arithmetic(kernel, trial.dtype)
    samples = _samples_of(trial, step)
    passes = [_differentiated(trial, weights, int(sample), number) for sample in samples]
    means = {value: _is_mean(program, value) for name in ("loss", "gradient") for value in dict(program.outputs)[name]}
    rows = zip(*([error.value, *(p.grad for p in parameters)] for error, parameters in passes), strict=True)
    values = [dict(program.outputs)["loss"][0], *dict(program.outputs)["gradient"]]
    loss, *gradient = (
        _mean(list(row), kernel, number) if means[value] else _plain(row[0])
        for row, value in zip(rows, values, strict=True)
    )
    return Replay(trial, step, kernel, weights, samples, float(loss), np.array(gradient, dtype=float))


def _weights_at(trial: Trial, program: Program, step: int, kernel: str) -> Floats:
    history = train(
        program,
        trial.initial[None, :],
        {name: np.array([value]) for name, value in trial.hyperparameters.items()},
        trial.samples,
        steps=step,
        points=2,
        batch_size=trial.batch_size,
        seeds=np.array([trial.seed]),
        dtype=trial.dtype,
        kernel=kernel,
        schedule_steps=trial.steps,
    )
    if history.last_step[0] < step:
        raise ValueError(f"the trial diverged after step {history.last_step[0]}; it has no step {step}")
    weights: Floats = history.weights[0]
    return weights


def _samples_of(trial: Trial, step: int) -> Indexes:
    """The numbers of the samples that a step sees."""
    count = len(trial.samples.features)
    if trial.batch_size is None or trial.batch_size >= count:
        return np.arange(count, dtype=np.int32)
    batches = Batches(trial.batch_size, np.array([trial.seed], dtype=np.uint64))
    epoch, place = divmod(step, batches.per_epoch(count))
    order: Indexes = batches.order(slice(None), range(epoch, epoch + 1), count)[0, 0]
    return order[place * batches.size : (place + 1) * batches.size]


def _differentiated(
    trial: Trial, weights: Floats, sample: int, number: Callable[[float], Number]
) -> tuple[Parameter, list[Parameter]]:
    """The loss of a sample as a graph of Numbers, its gradients gathered, and the model's parameters in it."""
    model = copy.deepcopy(trial.model)
    parameters = model.parameters()
    for parameter, weight, name in zip(parameters, weights, _names(model.tensors), strict=True):
        parameter.value, parameter.grad, parameter.name = number(weight), 0.0, name
    features = [Parameter(number(x), f"x{j}") for j, x in enumerate(trial.samples.features[sample])]
    targets = [Parameter(number(t), f"t{k}") for k, t in enumerate(trial.samples.targets[sample])]
    error = trial.loss(model(features), targets)
    error.backward()
    return error, parameters


def _names(tensors: Sequence[Tensor]) -> Iterator[str]:
    for tensor in tensors:
        for index in np.ndindex(*tensor.shape):
            yield f"{tensor.name}[{','.join(map(str, index))}]"


def _is_mean(program: Program, value: int) -> bool:
    """Whether a value is a mean over samples; else it is the same for each."""
    instruction = value - program.first_instruction
    return instruction >= 0 and program.instructions[instruction].operation == Reduction.MEAN


def _mean(scalars: list[Scalar], kernel: str, number: Callable[[float], Number]) -> float:
    """In the order in which the kernel adds samples up."""
    if kernel == "reference":
        values = np.array([[_plain(scalar) for scalar in scalars]])
        return float((values.sum(axis=1, keepdims=True) / values.dtype.type(len(scalars)))[0, 0])
    total: Scalar = number(0.0)
    for scalar in scalars:
        total = total + scalar
    return float(_plain(total / float(len(scalars))))


def _plain(scalar: Scalar) -> Any:
    return scalar.value if isinstance(scalar, Number) else scalar
