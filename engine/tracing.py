"""Tracing: run a model once on symbols instead of numbers, and what it did stands there as a Program.

Simplification happens as instructions are recorded: each expression once, constants computed, and rewrites that hold
to the last bit for every number. What no output needs is left out at the end, and the rest put in an order that uses
each value soon after it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Protocol

from engine import operations as ops
from engine.losses import Loss, correct
from engine.neuron import Tensor
from engine.operations import Operand, Operation, Scalar
from engine.optimizers import Optimizer
from engine.parameter import Parameter
from engine.program import SAMPLE_MEAN, Input, Instruction, Program

_COMMUTATIVE = frozenset({"add", "mul"})


class TraceError(TypeError):
    """The model's course depends on a number's value, or it uses something that is no operation of the table."""


class Model(Protocol):
    """What can be traced: Parameters in named tensors, and a call from one sample's features to its outputs."""

    @property
    def tensors(self) -> tuple[Tensor, ...]: ...

    def parameters(self) -> list[Parameter]: ...

    def __call__(self, inputs: Sequence[Scalar], /) -> list[Any]: ...


class Symbol(Operand):
    """A number that isn't known yet: an input, or the result of an instruction."""

    __slots__ = ("index", "trace")
    precedence: ClassVar[int] = 1

    def __init__(self, trace: Trace, index: int) -> None:
        self.trace = trace
        self.index = index

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        if not operation.primitive:
            return operation.forward(*operands)
        return self.trace.record(operation.name, tuple(self.trace.index_of(o) for o in operands))

    def _unknown(self, *_: object) -> NoReturn:
        raise TraceError(
            "a model's course may not depend on a value: it is traced once for every sample, trial and step. "
            "Where it chooses between two values, write select(a, b, x, y), which is x where a <= b, else y"
        )

    __bool__ = __float__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown


class Trace:
    """Instructions as they are recorded."""

    def __init__(self) -> None:
        self._nodes: list[Input | float | Instruction] = []
        self._known: dict[object, int] = {}
        self._per_sample: list[bool] = []

    def input(self, kind: str, key: int | str) -> Symbol:
        """The symbol of an input, the same at each call."""
        return Symbol(self, self._add(Input(kind, key), kind in ("feature", "target")))

    def sample_mean(self, value: Scalar) -> Scalar:
        """The mean over samples; a value that is the same for each is its own mean."""
        index = self.index_of(value)
        return self.record(SAMPLE_MEAN, (index,)) if self._per_sample[index] else value

    def index_of(self, operand: Scalar) -> int:
        """The node of a symbol of this trace or of a plain number. Raises TraceError for anything else."""
        if isinstance(operand, Symbol) and operand.trace is self:
            return operand.index
        if isinstance(operand, (int, float)):
            return self._add(float(operand), False)
        raise TraceError(f"{operand!r} can't stand in a traced expression: numbers and this trace's symbols can")

    def record(self, operation: str, operands: tuple[int, ...]) -> Scalar:
        """Record an instruction, unless its value is at hand already; returns a Symbol, or a number where it is one."""
        nodes = [self._nodes[operand] for operand in operands]
        if all(isinstance(node, float) for node in nodes):
            return ops.PRIMITIVES[operation](*nodes)
        shortcut = _shortcut(operation, operands, nodes)
        if shortcut is not None:
            node = self._nodes[shortcut]
            return node if isinstance(node, float) else Symbol(self, shortcut)
        if operation == "power" and nodes[1] == 2.0:
            operation, operands = "mul", (operands[0], operands[0])
        if operation in _COMMUTATIVE:
            operands = (min(operands), max(operands))
        per_sample = operation != SAMPLE_MEAN and any(self._per_sample[operand] for operand in operands)
        return Symbol(self, self._add(Instruction(operation, operands), per_sample))

    def _add(self, node: Input | float | Instruction, per_sample: bool) -> int:
        key: object = node.hex() if isinstance(node, float) else node  # 0.0 and -0.0 are not the same constant
        index = self._known.setdefault(key, len(self._nodes))
        if index == len(self._nodes):
            self._nodes.append(node)
            self._per_sample.append(per_sample)
        return index

    def finish(
        self,
        outputs: Mapping[str, Sequence[Scalar]],
        tensors: tuple[Tensor, ...] = (),
        initial_state: tuple[float, ...] = (),
    ) -> Program:
        """The Program that computes these outputs."""
        wanted = {name: [self.index_of(value) for value in values] for name, values in outputs.items()}
        order = self._order(index for indexes in wanted.values() for index in indexes)
        inputs = [i for i in range(len(self._nodes)) if isinstance(self._nodes[i], Input)]
        constants = [i for i in order if isinstance(self._nodes[i], float)]
        instructions = [i for i in order if isinstance(self._nodes[i], Instruction)]
        number = {index: n for n, index in enumerate([*inputs, *constants, *instructions])}
        return Program(
            inputs=tuple(node for node in self._nodes if isinstance(node, Input)),
            constants=tuple(node for node in map(self._nodes.__getitem__, constants) if isinstance(node, float)),
            instructions=tuple(
                Instruction(node.operation, tuple(number[o] for o in node.operands))
                for node in map(self._nodes.__getitem__, instructions)
                if isinstance(node, Instruction)
            ),
            outputs=tuple((name, tuple(number[i] for i in indexes)) for name, indexes in wanted.items()),
            tensors=tensors,
            initial_state=initial_state,
        )

    def _order(self, roots: Iterable[int]) -> list[int]:
        """Depth first from each output: a gradient is averaged as soon as it is there, so few values wait."""
        order: list[int] = []
        placed: set[int] = set()
        for root in roots:
            stack = [(root, False)]
            while stack:
                index, ready = stack.pop()
                if ready:
                    order.append(index)
                elif index not in placed:
                    placed.add(index)
                    stack.append((index, True))
                    node = self._nodes[index]
                    if isinstance(node, Instruction):
                        stack.extend((operand, False) for operand in reversed(node.operands))
        return order


def _shortcut(operation: str, operands: tuple[int, ...], nodes: Sequence[object]) -> int | None:
    """The operand that the result is equal to bit for bit, for every number; None where there is no such operand."""
    if operation == "mul" and nodes[0] == 1.0:
        return operands[1]
    if operation in ("mul", "div", "power") and nodes[1] == 1.0:
        return operands[0]
    if operation == "select" and operands[2] == operands[3]:
        return operands[2]
    if operation == "neg":
        inner = nodes[0]
        if isinstance(inner, Instruction) and inner.operation == "neg":
            return inner.operands[0]
    return None


def trace_step(
    model: Model, loss: Loss, optimizer: Optimizer, *, features: int, targets: int, threshold: float | None = None
) -> Program:
    """One training step of `model`: forward, derivative and update in one straight line.

    `features` and `targets` are how many numbers a sample has of each. With a `threshold` the accuracy is traced too
    (see `losses.correct`). The model's own values are lent to the trace and given back. Raises TraceError where the
    model can't be traced.
    """
    trace = Trace()
    parameters = model.parameters()
    weights = [trace.input("weight", index) for index in range(len(parameters))]
    predictions, errors, gradient = _differentiate(model, parameters, weights, loss, _samples(trace, features, targets))
    outputs: dict[str, list[Scalar]] = {"loss": [trace.sample_mean(errors)]}
    if threshold is not None:
        expected = [trace.input("target", k) for k in range(targets)]
        outputs["accuracy"] = [trace.sample_mean(correct(predictions, expected, threshold))]
    mean_gradient = [trace.sample_mean(share) for share in gradient]
    state, initial_state = _update(trace, optimizer, weights, mean_gradient, outputs)
    outputs["state"] = state
    outputs["gradient"] = mean_gradient
    outputs.update(_gradient_norms(model.tensors, mean_gradient))
    return trace.finish(outputs, model.tensors, initial_state)


def _samples(trace: Trace, features: int, targets: int) -> tuple[list[Symbol], list[Symbol]]:
    return (
        [trace.input("feature", j) for j in range(features)],
        [trace.input("target", k) for k in range(targets)],
    )


def _differentiate(
    model: Model,
    parameters: Sequence[Parameter],
    weights: Sequence[Symbol],
    loss: Loss,
    sample: tuple[list[Symbol], list[Symbol]],
) -> tuple[list[Scalar], Scalar, list[Scalar]]:
    """Predictions, loss and gradient of one sample, as symbols."""
    lent = [(parameter.value, parameter.grad) for parameter in parameters]
    try:
        for parameter, symbol in zip(parameters, weights, strict=True):
            parameter.value, parameter.grad = symbol, 0.0
        outputs = model(sample[0])
        error = loss(outputs, sample[1])
        if not isinstance(error, Parameter):
            raise TraceError("the loss does not depend on any weight of the model")
        error.backward()
        return [_value(p) for p in outputs], error.value, [parameter.grad for parameter in parameters]
    finally:
        for parameter, (value, grad) in zip(parameters, lent, strict=True):
            parameter.value, parameter.grad = value, grad


def _value(scalar: Scalar) -> Scalar:
    return scalar.value if isinstance(scalar, Parameter) else scalar


class _Columns(dict[str, Scalar]):
    """Hyperparameters become columns when a rule asks for them."""

    def __init__(self, make: Callable[[str], Symbol]) -> None:
        self._make = make

    def __missing__(self, name: str) -> Symbol:
        return self._make(name)


def _update(
    trace: Trace,
    optimizer: Optimizer,
    weights: Sequence[Symbol],
    gradient: Sequence[Scalar],
    outputs: dict[str, list[Scalar]],
) -> tuple[list[Scalar], tuple[float, ...]]:
    """Trace the optimiser for every weight. State: first what is shared, then each weight's slots."""
    columns = _Columns(lambda name: trace.input("column", name))
    shared = {name: trace.input("state", index) for index, name in enumerate(optimizer.shared)}
    advanced = optimizer.advance(shared, columns)
    state = [advanced[name] for name in optimizer.shared]
    moved: list[Scalar] = []
    for index, (weight, share) in enumerate(zip(weights, gradient, strict=True)):
        first = len(shared) + index * len(optimizer.slots)
        slots = {name: trace.input("state", first + n) for n, name in enumerate(optimizer.slots)}
        new_weight, new_slots = optimizer.update(weight, share, slots, advanced, columns)
        moved.append(new_weight)
        state.extend(new_slots[name] for name in optimizer.slots)
    outputs["weights"] = moved
    return state, (*optimizer.shared.values(), *[0.0] * (len(weights) * len(optimizer.slots)))


def _gradient_norms(tensors: Sequence[Tensor], gradient: Sequence[Scalar]) -> dict[str, list[Scalar]]:
    shares = iter(gradient)
    squares = {tensor.name: _sum([g * g for g in (next(shares) for _ in range(tensor.size))]) for tensor in tensors}
    norms = {f"grad_norm.{name}": [ops.sqrt(total)] for name, total in squares.items()}
    return {"grad_norm": [ops.sqrt(_sum(list(squares.values())))], **norms}


def _sum(terms: Sequence[Scalar]) -> Scalar:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
