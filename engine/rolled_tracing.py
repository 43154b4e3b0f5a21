"""Tracing a wide network layer by layer: `trace_rolled` records a training step as a `RolledProgram`.

Symbols stand for whole layers here, and an operation on them is recorded once for all units. Rules and order of sums
are those of the tracing of scalars, so the program written out is the one that `Parameter`s give, instruction for
instruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from engine import operations as ops
from engine.losses import Loss, correct
from engine.nn import MLP
from engine.operations import ACTIVATIONS, Operation, Scalar, total
from engine.parameter import Parameter, topological_order, value_of
from engine.program import DEAD_UNITS, GRAD_NORM, UPDATE_RATIO, of_part
from engine.rolled import Family, RolledProgram
from engine.rolled_trace import RolledTrace
from engine.step import UpdateRule, lazy_hyperparameters
from engine.tracing import Symbol

_TABLE = frozenset(ACTIVATIONS.values())


def can_roll(model: object) -> TypeGuard[MLP]:
    """Return whether a model is an MLP with biases, without gains, with activations in the table of operations."""
    if type(model) is not MLP or any(n.gain != 1.0 or not n.has_bias for layer in model.layers for n in layer.neurons):
        return False
    functions = {id(n.activation): n.activation for layer in model.layers for n in layer.neurons}
    return all(isinstance(f, Operation) and f in _TABLE for f in functions.values())


def trace_rolled(
    model: MLP, loss: Loss, rule: UpdateRule, *, targets: int, threshold: float | None = None
) -> RolledProgram | None:
    """Trace one training step of an MLP into a RolledProgram; see `trace_step` for the arguments.

    Returns None if the loss does not use every output, from the first to the last.
    """
    return _Tracer(model, targets).program(loss, rule, threshold)


class _Tracer:
    """Traces a step. `_offsets` has the position of each tensor's first weight."""

    def __init__(self, model: MLP, targets: int) -> None:
        widths = [len(model.layers[0].neurons[0].weights), *(len(layer.neurons) for layer in model.layers)]
        self._tensors = model.tensors
        self._activations: list[Any] = [layer.neurons[0].activation for layer in model.layers]
        self._last = len(model.layers)
        same = targets == widths[-1]
        self._target_axis = self._last if same else self._last + 1
        self._trace = RolledTrace(widths if same else [*widths, targets])
        self._offsets, at = [], 0
        for tensor in self._tensors:
            self._offsets.append(at)
            at += tensor.size
        self._weights = [self._of_tensor(n, "weight") for n in range(len(self._tensors))]

    def _tensor_axes(self, number: int) -> list[int]:
        layer = number // 2 + 1
        return [layer, layer - 1] if number % 2 == 0 else [layer]

    def _of_tensor(self, number: int, kind: str, scale: int = 1, base: int = 0) -> Symbol:
        return self._trace.family(kind, base + self._offsets[number] * scale, self._tensor_axes(number), scale)

    def _place(self, number: int, value: Scalar, scale: int = 1, base: int = 0) -> tuple[Scalar, int, tuple[int, ...]]:
        """Return the place of a tensor's values in a flat output."""
        node = self._trace.node(self._of_tensor(number, "weight", scale, base).index)
        assert isinstance(node, Family)
        return value, node.base, node.strides

    # --------------------------------------------------------------------------------------------------- the gradient

    def program(self, loss: Loss, rule: UpdateRule, threshold: float | None) -> RolledProgram | None:
        trace = self._trace
        forward = self._forward()
        predictions = trace.elements(forward[-1][1], self._last)
        expected = trace.elements(trace.family("target", 0, [self._target_axis]), self._target_axis)
        found = _slopes_of_loss(loss, predictions, expected)
        if found is None or not all(isinstance(s, Symbol) and trace._per_sample[s.index] for s in found[1]):
            return None
        error, slopes = found
        outputs: dict[str, list[Any]] = {"loss": [(trace.sample_mean(error), 0, ())]}
        if threshold is not None:
            classes = expected[: len(predictions)]
            outputs["accuracy"] = [(trace.sample_mean(correct(predictions, classes, threshold)), 0, ())]
        gradients = self._backward(forward, trace.stack(slopes, self._last))
        means = [trace.sample_mean(gradient) for gradient in gradients]
        moved, state, shared, slots = self._update(rule, means)
        outputs["weights"] = [self._place(n, value) for n, value in enumerate(moved)]
        outputs["state"] = state
        outputs["gradient"] = [self._place(n, value) for n, value in enumerate(means)]
        for name, value in self._measurements(means, moved, gradients).items():
            outputs[name] = [(value, 0, ())]
        return trace.rolled(outputs, self._tensors, shared, slots)

    def _forward(self) -> list[tuple[Scalar, Scalar]]:
        """Return (sums, outputs) of each layer; the first entry is the features, twice."""
        value: Scalar = self._trace.family("feature", 0, [0])
        values = [(value, value)]
        for layer, activation in enumerate(self._activations, start=1):
            matrix, bias = self._weights[2 * layer - 2 : 2 * layer]
            before = self._trace.contract([matrix, value], (layer - 1,), bias)
            value = before if activation is ops.identity else activation(before)
            values.append((before, value))
        return values

    def _backward(self, forward: Sequence[tuple[Scalar, Scalar]], slope: Scalar) -> list[Scalar]:
        """Return the gradient of one sample's loss, tensor by tensor, from that of the outputs."""
        gradients: list[Scalar] = []
        for layer in range(self._last, 0, -1):
            before, after = forward[layer]
            activation = self._activations[layer - 1]
            if activation is not ops.identity:
                (slope,) = activation.vjp(slope, after, before)
            gradients = [forward[layer - 1][1] * slope, slope, *gradients]
            if layer > 1:
                # the backward pass visits the units from the last to the first
                slope = self._trace.contract([self._weights[2 * layer - 2], slope], (layer,), descending=True)
        return gradients

    # ----------------------------------------------------------------------------------------- update and measurements

    def _update(self, rule: UpdateRule, means: list[Scalar]) -> tuple[list[Scalar], list[Any], tuple[float, ...], int]:
        """Return the next weights, the places of the next state, the initial shared state and the number of slots."""
        trace, optimizer = self._trace, rule.optimizer
        rate = rule.rate(trace.single("step"), trace.single("steps"), lazy_hyperparameters(trace.column, {}))
        h = lazy_hyperparameters(trace.column, {"learning_rate": rate})
        before = {name: trace.family("state", n, []) for n, name in enumerate(optimizer.shared)}
        shared = optimizer.advance(before, h)
        state: list[Any] = [(shared[name], n, ()) for n, name in enumerate(optimizer.shared)]
        gradient = rule.transform_gradient(self._weights, means, h, self._norm)
        moved, slots = [], len(optimizer.slots)
        for n, (weight, slope) in enumerate(zip(self._weights, gradient, strict=True)):
            bases = {name: len(optimizer.shared) + k for k, name in enumerate(optimizer.slots)}
            values = {name: self._of_tensor(n, "state", slots, base) for name, base in bases.items()}
            next_weight, next_slots = optimizer.update(weight, slope, values, shared, h)
            moved.append(rule.drifted(next_weight, self._tensors[n], h))
            state += [self._place(n, next_slots[name], slots, base) for name, base in bases.items()]
        return moved, state, tuple(optimizer.shared.values()), slots

    def _square_sum(self, value: Scalar, number: int, start: Scalar | None = None) -> Scalar:
        """Return the sum of the squares of a tensor's numbers, in flat order."""
        return self._trace.contract([value, value], tuple(self._tensor_axes(number)), start)

    def _norm(self, gradient: Sequence[Scalar]) -> Scalar:
        """Return the norm of all numbers, one after another."""
        square: Scalar = None
        for number, value in enumerate(gradient):
            square = self._square_sum(value, number, square)
        return ops.sqrt(square)

    def _norms(self, metric: str, values: Sequence[Scalar]) -> dict[str, Scalar]:
        squares = [self._square_sum(value, number) for number, value in enumerate(values)]
        parts = {of_part(metric, t.name): ops.sqrt(s) for t, s in zip(self._tensors, squares, strict=True)}
        return {metric: ops.sqrt(total(squares)), **parts}

    def _measurements(
        self, means: Sequence[Scalar], moved: Sequence[Scalar], gradients: Sequence[Scalar]
    ) -> dict[str, Scalar]:
        """Return the norms, the update ratios and the shares of dead units."""
        changes = [after - before for before, after in zip(self._weights, moved, strict=True)]
        updates, sizes = self._norms(UPDATE_RATIO, changes), self._norms(UPDATE_RATIO, self._weights)
        ratios = {name: ops.div(updates[name], sizes[name]) for name in updates}
        return {**self._norms(GRAD_NORM, means), **ratios, **self._dead_units(gradients)}

    def _dead_units(self, gradients: Sequence[Scalar]) -> dict[str, Scalar]:
        trace = self._trace
        alive = {n: trace.sample_any(gradients[n]) for n, tensor in enumerate(self._tensors) if tensor.units}
        if not alive:
            return {}
        parts: dict[str, Scalar] = {}
        count, everything = 0, None
        for n, flags in alive.items():
            axes, tensor = tuple(self._tensor_axes(n)), self._tensors[n]
            layer = of_part(DEAD_UNITS, tensor.name.removesuffix(".bias"))
            parts[layer] = _dead_share(trace.contract([flags], axes), tensor.size)
            everything = trace.contract([flags], axes, everything)
            count += tensor.size
        return {DEAD_UNITS: _dead_share(everything, count), **parts}


def _dead_share(alive: Scalar, count: int) -> Scalar:
    return ops.div(float(count) - alive, float(count))


def _slopes_of_loss(
    loss: Loss, predictions: Sequence[Scalar], targets: Sequence[Scalar]
) -> tuple[Scalar, list[Scalar]] | None:
    """Return one sample's loss and its slope by each prediction.

    Return None if the loss visits the predictions in another order than theirs: the backward pass adds in this order.
    """
    leaves = [Parameter(prediction) for prediction in predictions]
    error = loss(leaves, list(targets))
    if not isinstance(error, Parameter):
        return None
    numbers = {leaf: number for number, leaf in enumerate(leaves)}
    if [numbers[node] for node in topological_order(error) if node in numbers] != list(range(len(leaves))):
        return None
    error.backward()
    return value_of(error), [leaf.grad for leaf in leaves]
