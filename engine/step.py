"""One training step as a Program: forward, derivative, update, and what is measured on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine import operations as ops
from engine.losses import Loss, correct
from engine.neuron import Tensor
from engine.operations import Scalar
from engine.optimizers import Optimizer
from engine.parameter import Parameter
from engine.program import Program
from engine.schedules import SCHEDULES, Schedule, warm
from engine.tracing import Model, Symbol, Trace, TraceError, lent

OPTIONS: dict[str, float] = {
    "weight_decay": 0.0, "clip_value": 1.0, "clip_norm": 1.0, "warmup_steps": 10.0
}  # fmt: skip
"""What any optimiser and schedule can be joined with: hyperparameters, each with its value when left out."""

_CLIP_MARGIN = 1e-6  # PyTorch's clip_grad_norm_


@dataclass(frozen=True)
class UpdateRule:
    """How a step moves the weights: the gradient is clipped, weights decay into it, the optimiser moves at a rate.

    `options` names those of OPTIONS that take part. Each is PyTorch's: `clip_value` limits each number of the gradient,
    then `clip_norm` the norm of the whole; `weight_decay` adds that share of the weights (AdamW has its own, which
    decays them directly); `warmup_steps` raises the rate from 0 over the first steps.
    """

    optimizer: Optimizer
    schedule: Schedule = SCHEDULES["constant"]
    options: frozenset[str] = frozenset()

    @property
    def hyperparameters(self) -> Mapping[str, float]:
        """Every hyperparameter that takes part, with its value when left out."""
        options = {name: default for name, default in OPTIONS.items() if name in self.options}
        return {**options, **self.schedule.hyperparameters, **self.optimizer.hyperparameters}

    def rate(self, step: Scalar, steps: Scalar, h: Mapping[str, Scalar]) -> Scalar:
        """The learning rate of a step."""
        rate = self.schedule.rate(step, steps, h)
        warms = "warmup_steps" in self.options and "warmup_steps" not in self.schedule.hyperparameters
        return warm(rate, step, h) if warms else rate

    def adjusted(self, weights: Sequence[Scalar], gradient: Sequence[Scalar], h: Mapping[str, Scalar]) -> list[Scalar]:
        """The gradient as the optimiser is given it."""
        if "clip_value" in self.options:
            limit = h["clip_value"]
            gradient = [ops.minimum(ops.maximum(g, -limit), limit) for g in gradient]
        if "clip_norm" in self.options:
            factor = ops.minimum(ops.div(h["clip_norm"], _norm(gradient) + _CLIP_MARGIN), 1.0)
            gradient = [g * factor for g in gradient]
        if "weight_decay" in self.options and "weight_decay" not in self.optimizer.hyperparameters:
            gradient = [g + h["weight_decay"] * w for g, w in zip(gradient, weights, strict=True)]
        return list(gradient)


def trace_step(
    model: Model,
    loss: Loss,
    rule: Optimizer | UpdateRule,
    *,
    features: int,
    targets: int,
    threshold: float | None = None,
) -> Program:
    """One training step of `model`: forward, derivative and update in one straight line.

    `features` and `targets` are how many numbers a sample has of each. With a `threshold` the accuracy is traced too
    (see `losses.correct`). The model's own values are lent to the trace and given back. Raises TraceError where the
    model can't be traced.
    """
    trace = Trace()
    rule = UpdateRule(rule) if isinstance(rule, Optimizer) else rule
    weights = [trace.input("weight", index) for index in range(len(model.parameters()))]
    predictions, error, shares = _differentiate(trace, model, weights, loss, features, targets)
    outputs: dict[str, list[Scalar]] = {"loss": [trace.sample_mean(error)]}
    if threshold is not None:
        expected = [trace.input("target", k) for k in range(targets)]
        outputs["accuracy"] = [trace.sample_mean(correct(predictions, expected, threshold))]
    gradient = [trace.sample_mean(share) for share in shares]
    outputs["weights"], outputs["state"], initial_state = _update(trace, rule, weights, gradient)
    outputs["gradient"] = gradient
    outputs.update(_gradient_norms(model.tensors, gradient))
    outputs.update(_update_ratios(model.tensors, weights, outputs["weights"]))
    outputs.update(_dead_units(trace, model.tensors, shares))
    return trace.finish(outputs, model.tensors, initial_state)


def _differentiate(
    trace: Trace, model: Model, weights: Sequence[Symbol], loss: Loss, features: int, targets: int
) -> tuple[list[Scalar], Scalar, list[Scalar]]:
    """Predictions, loss and gradient of one sample, as symbols."""
    with lent(model, weights) as parameters:
        outputs = model([trace.input("feature", j) for j in range(features)])
        error = loss(outputs, [trace.input("target", k) for k in range(targets)])
        if not isinstance(error, Parameter):
            raise TraceError("the loss does not depend on any weight of the model")
        error.backward()
        return [_value(p) for p in outputs], error.value, [parameter.grad for parameter in parameters]


def _value(scalar: Scalar) -> Scalar:
    return scalar.value if isinstance(scalar, Parameter) else scalar


class _Columns(dict[str, Scalar]):
    """Hyperparameters become columns when a rule asks for them."""

    def __init__(self, make: Callable[[str], Symbol], known: Mapping[str, Scalar]) -> None:
        super().__init__(known)
        self._make = make

    def __missing__(self, name: str) -> Symbol:
        return self._make(name)


def _update(
    trace: Trace, rule: UpdateRule, weights: Sequence[Symbol], gradient: Sequence[Scalar]
) -> tuple[list[Scalar], list[Scalar], tuple[float, ...]]:
    """The next weights and state, and the state to begin with: first what is shared, then each weight's slots."""

    def column(name: str) -> Symbol:
        return trace.input("column", name)

    optimizer, given = rule.optimizer, _Columns(column, {})
    rate = rule.rate(trace.input("step", 0), trace.input("steps", 0), given)
    columns = _Columns(column, {"learning_rate": rate})
    shared = {name: trace.input("state", index) for index, name in enumerate(optimizer.shared)}
    advanced = optimizer.advance(shared, columns)
    state = [advanced[name] for name in optimizer.shared]
    moved: list[Scalar] = []
    adjusted = rule.adjusted(weights, gradient, columns)
    for index, (weight, share) in enumerate(zip(weights, adjusted, strict=True)):
        first = len(shared) + index * len(optimizer.slots)
        slots = {name: trace.input("state", first + n) for n, name in enumerate(optimizer.slots)}
        new_weight, new_slots = optimizer.update(weight, share, slots, advanced, columns)
        moved.append(new_weight)
        state.extend(new_slots[name] for name in optimizer.slots)
    return moved, state, (*optimizer.shared.values(), *[0.0] * (len(weights) * len(optimizer.slots)))


def _by_tensor(tensors: Sequence[Tensor], numbers: Sequence[Scalar]) -> dict[str, list[Scalar]]:
    flat = iter(numbers)
    return {tensor.name: [next(flat) for _ in range(tensor.size)] for tensor in tensors}


def _gradient_norms(tensors: Sequence[Tensor], gradient: Sequence[Scalar]) -> dict[str, list[Scalar]]:
    return _norms("grad_norm", _by_tensor(tensors, gradient))


def _norms(name: str, parts: Mapping[str, Sequence[Scalar]]) -> dict[str, list[Scalar]]:
    squares = {tensor: _square_sum(numbers) for tensor, numbers in parts.items()}
    norms = {f"{name}.{tensor}": [ops.sqrt(total)] for tensor, total in squares.items()}
    return {name: [ops.sqrt(_sum(list(squares.values())))], **norms}


def _update_ratios(
    tensors: Sequence[Tensor], weights: Sequence[Scalar], moved: Sequence[Scalar]
) -> dict[str, list[Scalar]]:
    """The norm of the update by that of the weights before it."""
    changes = [after - before for before, after in zip(weights, moved, strict=True)]
    updates = _norms("update_ratio", _by_tensor(tensors, changes))
    sizes = _norms("update_ratio", _by_tensor(tensors, weights))
    return {name: [ops.div(updates[name][0], sizes[name][0])] for name in updates}


def _dead_units(trace: Trace, tensors: Sequence[Tensor], shares: Sequence[Scalar]) -> dict[str, list[Scalar]]:
    """The share of the units that no sample gives a gradient, of each layer and of all that can die."""
    alive = {
        tensor.name.removesuffix(".bias"): [trace.sample_any(share) for share in part]
        for tensor, part in zip(tensors, _by_tensor(tensors, shares).values(), strict=True)
        if tensor.units
    }
    if not alive:
        return {}
    layers = {f"dead_units.{layer}": [_dead_share(units)] for layer, units in alive.items()}
    return {"dead_units": [_dead_share([unit for units in alive.values() for unit in units])], **layers}


def _dead_share(alive: Sequence[Scalar]) -> Scalar:
    return ops.div(float(len(alive)) - _sum(alive), float(len(alive)))


def _norm(numbers: Sequence[Scalar]) -> Scalar:
    return ops.sqrt(_square_sum(numbers))


def _square_sum(numbers: Sequence[Scalar]) -> Scalar:
    return _sum([number * number for number in numbers])


def _sum(terms: Sequence[Scalar]) -> Scalar:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
