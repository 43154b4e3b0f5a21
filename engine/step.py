"""One training step as a Program: forward pass, backward pass, update and measurements.

>>> from engine.losses import LOSSES
>>> from engine.nn import MLP
>>> from engine.optimizers import OPTIMIZERS
>>> program = trace_step(MLP([1, 1]), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=1, targets=1)
>>> program.output_names[:5]
('loss', 'weights', 'state', 'gradient', 'grad_norm')
>>> print(program.only("loss"))
%0 = weight 0
%1 = weight 1
%2 = feature 0
%3 = target 0
%4 = column learning_rate
%5 = fma %0 %2 %1
%6 = sub %5 %3
%7 = sample_mean %6 %6
loss -> %7
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from engine import operations as ops
from engine.losses import Loss, correct
from engine.operations import Scalar, total
from engine.optimizers import Optimizer
from engine.parameter import Parameter, value_of
from engine.program import DEAD_UNITS, GRAD_NORM, UPDATE_RATIO, Program, of_part
from engine.schedules import SCHEDULES, Hyperparameters, Schedule, linear_warmup
from engine.tensors import Tensor, split
from engine.tracing import Model, Symbol, Trace, TraceError, constants_of

UPDATE_OPTIONS: dict[str, float] = {
    "weight_decay": 0.0, "clip_value": 1.0, "clip_norm": 1.0, "warmup_steps": 10.0
}  # fmt: skip
"""Options for any optimiser and schedule: hyperparameter -> default value."""

MOST_WRITTEN_OUT = 500
"""Largest number of weights of an MLP whose program is written out scalar by scalar. Others are rolled."""

ALL_LAYERS = ""
"""The name in `UpdateRule.drifts` of the drift of layers without one of their own."""

_CLIP_MARGIN = 1e-6  # PyTorch's torch.nn.utils.clip_grad_norm_ scales by max_norm / (norm + 1e-6), at most 1


@dataclass(frozen=True)
class UpdateRule:
    """The rule for a step's update: options transform the gradient, then the optimiser applies it.

    optimizer: the rule for one weight.
    schedule: the learning rate at each step.
    options: names from UPDATE_OPTIONS.
    own_rates: the layers, such as `layer1`, that have a learning rate of their own, the hyperparameter
        `learning_rate.layer1`. The schedule applies to it too.
    drifts: the layers to whose weights, without biases, each step adds a hyperparameter after the update:
        `drift.layer1`, or `drift` where it is ALL_LAYERS.

    The options are applied in this order. `clip_value` limits each number of the gradient, as PyTorch's
    clip_grad_value_. `clip_norm` limits the norm of the whole gradient (Pascanu et al., On the Difficulty of Training
    Recurrent Neural Networks, 2013, algorithm 1), as PyTorch's clip_grad_norm_. `weight_decay` adds this multiple of
    the weights to the gradient (Krogh and Hertz, A Simple Weight Decay Can Improve Generalization, 1992), as PyTorch's
    optimisers. `warmup_steps` raises the learning rate over the first steps: see `linear_warmup`. An optimiser or a
    schedule that has a hyperparameter of such a name applies it in its own way instead.
    """

    optimizer: Optimizer
    schedule: Schedule = SCHEDULES["constant"]
    options: frozenset[str] = frozenset()
    own_rates: tuple[str, ...] = ()
    drifts: tuple[str, ...] = ()

    @property
    def hyperparameters(self) -> Mapping[str, float]:
        """Names and default values of all hyperparameters in use."""
        options = {name: default for name, default in UPDATE_OPTIONS.items() if name in self.options}
        rate = self.optimizer.hyperparameters["learning_rate"]
        own = {of_part("learning_rate", layer): rate for layer in self.own_rates}
        own |= {"drift" if layer == ALL_LAYERS else of_part("drift", layer): 0.0 for layer in self.drifts}
        return {**options, **self.schedule.hyperparameters, **self.optimizer.hyperparameters, **own}

    def drifted(self, weight: Scalar, tensor: Tensor, h: Hyperparameters) -> Scalar:
        """Return a weight of a tensor after its drift, if it has any."""
        if len(tensor.shape) < 2 or not {tensor.layer, ALL_LAYERS} & {*self.drifts}:
            return weight
        return weight + h[of_part("drift", tensor.layer) if tensor.layer in self.drifts else "drift"]

    def rate(self, step: Scalar, steps: Scalar, h: Hyperparameters) -> Scalar:
        """Return the learning rate of a step, given the number of all steps."""
        rate = self.schedule.rate(step, steps, h)
        warms_up = "warmup_steps" in self.options and "warmup_steps" not in self.schedule.hyperparameters
        return linear_warmup(rate, step, h) if warms_up else rate

    def transform_gradient(
        self,
        weights: Sequence[Scalar],
        gradient: Sequence[Scalar],
        h: Hyperparameters,
        norm: Callable[[Sequence[Scalar]], Scalar],
    ) -> list[Scalar]:
        """Return the gradient that the optimiser applies: clipped, and with weight decay added.

        norm: gives the Euclidean norm of a gradient.
        """
        if "clip_value" in self.options:
            limit = h["clip_value"]
            gradient = [ops.minimum(ops.maximum(g, -limit), limit) for g in gradient]
        if "clip_norm" in self.options:
            factor = ops.minimum(ops.div(h["clip_norm"], norm(gradient) + _CLIP_MARGIN), 1.0)
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
    """Trace one training step of a model into a Program, and return it.

    model: anything with `parameters()`, `tensors` and a call. Its values are the same afterwards.
    loss: a function of predictions and targets, written in operations.
    rule: the rule for the update.
    features, targets: numbers of features and of targets of a sample. The loss may have more targets than the model
        has outputs, such as a weight.
    threshold: the value between two classes (see `losses.correct`). With it, the accuracy is traced too.

    Raises TraceError if the model or the loss cannot be traced.
    """
    rule = UpdateRule(rule) if isinstance(rule, Optimizer) else rule
    if len(model.parameters()) > MOST_WRITTEN_OUT and not rule.own_rates:
        from engine.rolled_tracing import can_roll, trace_rolled  # which imports this module

        if can_roll(model):
            rolled = trace_rolled(model, loss, rule, targets=targets, threshold=threshold)
            if rolled is not None:
                return rolled
    trace = Trace()
    predictions, error, slopes, unit_slopes = _differentiate(trace, model, loss, features, targets)
    outputs: dict[str, list[Scalar]] = {"loss": [trace.sample_mean(error)]}
    if threshold is not None:
        expected = [trace.input("target", k) for k in range(len(predictions))]
        outputs["accuracy"] = [trace.sample_mean(correct(predictions, expected, threshold))]
    gradient = [trace.sample_mean(slope) for slope in slopes]
    weights = [trace.input("weight", index) for index in range(len(slopes))]
    tensors = [tensor for tensor in model.tensors for _ in range(tensor.size)]
    outputs["weights"], outputs["state"], initial_state = _update(trace, rule, weights, gradient, tensors)
    outputs["gradient"] = gradient
    outputs.update(_norms(GRAD_NORM, gradient, model.tensors))
    outputs.update(_update_ratios(model.tensors, weights, outputs["weights"]))
    outputs.update(_dead_units(trace, model.tensors, slopes, unit_slopes))
    return trace.build(outputs, model.tensors, initial_state)


def _differentiate(
    trace: Trace, model: Model, loss: Loss, features: int, targets: int
) -> tuple[list[Scalar], Scalar, list[Scalar], list[Scalar]]:
    """Return one sample's predictions, loss, gradient, and gradients of units without biases, as symbols."""
    with trace.run_model(model, features) as (parameters, outputs):
        error = loss(outputs, [trace.input("target", k) for k in range(targets)])
        if not isinstance(error, Parameter):
            raise TraceError("the loss does not depend on any weight of the model")
        error.backward()
        unit_slopes = [constant.grad for constant in constants_of(model)]
        return [value_of(p) for p in outputs], error.value, [parameter.grad for parameter in parameters], unit_slopes


def lazy_hyperparameters(make_column: Callable[[str], Symbol], values: Mapping[str, Scalar]) -> Hyperparameters:
    """Return hyperparameters that become columns of the program when a rule first uses them.

    make_column: adds a column and returns its symbol. values: the hyperparameters that are not columns.
    """
    return _LazyHyperparameters(make_column, values)


class _LazyHyperparameters(dict[str, Scalar]):
    """Hyperparameters that become columns of the program when a rule first uses them.

    make_column: adds a column and returns its symbol. values: the hyperparameters that are not columns.
    """

    def __init__(self, make_column: Callable[[str], Symbol], values: Mapping[str, Scalar]) -> None:
        super().__init__(values)
        self._make_column = make_column

    def __missing__(self, name: str) -> Symbol:
        return self._make_column(name)


def _update(
    trace: Trace, rule: UpdateRule, weights: Sequence[Symbol], gradient: Sequence[Scalar], tensors: Sequence[Tensor]
) -> tuple[list[Scalar], list[Scalar], tuple[float, ...]]:
    """Return the next weights, the next state and the initial state.

    tensors: the tensor of each weight.

    A state is flat: the shared state, then the slots of each weight.
    """
    optimizer = rule.optimizer
    hyperparameters = _with_rate(trace, rule, "learning_rate")
    by_layer = {layer: _with_rate(trace, rule, of_part("learning_rate", layer)) for layer in rule.own_rates}
    before = {name: trace.input("state", index) for index, name in enumerate(optimizer.shared)}
    shared = optimizer.advance(before, hyperparameters)
    state = [shared[name] for name in optimizer.shared]
    next_weights: list[Scalar] = []
    gradient = rule.transform_gradient(weights, gradient, hyperparameters, _norm)
    for index, (weight, slope, tensor) in enumerate(zip(weights, gradient, tensors, strict=True)):
        first = len(optimizer.shared) + index * len(optimizer.slots)
        slots = {name: trace.input("state", first + n) for n, name in enumerate(optimizer.slots)}
        h = by_layer.get(tensor.layer, hyperparameters)
        next_weight, next_slots = optimizer.update(weight, slope, slots, shared, h)
        next_weights.append(rule.drifted(next_weight, tensor, h))
        state.extend(next_slots[name] for name in optimizer.slots)
    return next_weights, state, (*optimizer.shared.values(), *[0.0] * (len(weights) * len(optimizer.slots)))


def _with_rate(trace: Trace, rule: UpdateRule, column: str) -> _LazyHyperparameters:
    """Return the hyperparameters of a step, with the learning rate that the schedule makes of this column."""

    def own(name: str) -> Symbol:
        return trace.column(column if name == "learning_rate" else name)

    step, steps = trace.input("step"), trace.input("steps")
    rate = rule.rate(step, steps, _LazyHyperparameters(own, {}))
    return _LazyHyperparameters(trace.column, {"learning_rate": rate})


def _norms(metric: str, numbers: Sequence[Scalar], tensors: Sequence[Tensor]) -> dict[str, list[Scalar]]:
    """Return the Euclidean norms of all numbers and of each tensor's numbers, by the metric's names."""
    squares = {tensor.name: _square_sum(part) for tensor, part in split(numbers, tensors)}
    norms = {of_part(metric, name): [ops.sqrt(square)] for name, square in squares.items()}
    return {metric: [ops.sqrt(total(list(squares.values())))], **norms}


def _update_ratios(
    tensors: Sequence[Tensor], weights: Sequence[Scalar], next_weights: Sequence[Scalar]
) -> dict[str, list[Scalar]]:
    """Return the norm of the update divided by the norm of the weights before it."""
    changes = [after - before for before, after in zip(weights, next_weights, strict=True)]
    updates, sizes = (_norms(UPDATE_RATIO, numbers, tensors) for numbers in (changes, weights))
    return {name: [ops.div(updates[name][0], sizes[name][0])] for name in updates}


def _dead_units(
    trace: Trace, tensors: Sequence[Tensor], slopes: Sequence[Scalar], unit_slopes: Sequence[Scalar]
) -> dict[str, list[Scalar]]:
    """Return the share of units whose gradient is 0 for all samples, of all units that can die and of each layer's."""
    of_units = iter(unit_slopes)
    alive: dict[str, list[Scalar]] = {}
    for tensor, part in split(slopes, tensors):
        is_bias = len(tensor.shape) == 1
        of_layer = part if is_bias or not unit_slopes else list(islice(of_units, tensor.shape[0]))
        if tensor.units:
            alive[tensor.layer] = [trace.sample_any(slope) for slope in of_layer]
    if not alive:
        return {}
    layers = {of_part(DEAD_UNITS, layer): [_dead_share(units)] for layer, units in alive.items()}
    return {DEAD_UNITS: [_dead_share([unit for units in alive.values() for unit in units])], **layers}


def _dead_share(alive: Sequence[Scalar]) -> Scalar:
    return ops.div(float(len(alive)) - total(alive), float(len(alive)))


def _norm(numbers: Sequence[Scalar]) -> Scalar:
    return ops.sqrt(_square_sum(numbers))


def _square_sum(numbers: Sequence[Scalar]) -> Scalar:
    return total([number * number for number in numbers])
