"""Tracing: a model runs once on symbols instead of numbers, and its operations are recorded as a Program.

Instructions are simplified while they are recorded. Equal expressions become one, constants are computed, and a product
in a sum is fused with the addition. No simplification makes a result less exact. At the end, instructions that no
output needs are dropped. The others are ordered so that values are used soon after they are computed.

>>> trace = Trace()
>>> x, y = trace.input("weight", 0), trace.input("weight", 1)
>>> print(trace.build({"loss": [x * y + 1.0]}))
%0 = weight 0
%1 = weight 1
%2 = constant 1.0
%3 = fma %0 %1 %2
loss -> %3
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn, Protocol

from engine import operations as ops
from engine.fused_scalar import FusedScalar, factors_of
from engine.operations import Operand, Operation, Scalar
from engine.parameter import Parameter
from engine.program import Input, Instruction, Program, Reduction
from engine.tensors import Tensor

_COMMUTATIVE = frozenset({"add", "mul"})


class TraceError(TypeError):
    """A model can't be traced: it depends on a number's value, or uses a function that is not an operation."""


class Model(Protocol):
    """A model that can be traced: Parameters in named tensors, and a call from one sample's features to its outputs."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Names and shapes of the weights."""

    def parameters(self) -> list[Parameter]:
        """Return the weights, in the order of `tensors`."""

    def __call__(self, inputs: Sequence[Scalar], /) -> list[Any]:
        """Return the outputs for one sample, given its features."""


class Symbol(FusedScalar):
    """A number of a trace, without a value: an input, or the result of an instruction.

    trace: the trace. index: its node in the trace.
    """

    __slots__ = ("index", "trace")
    trace_level: ClassVar[int] = 1

    def __init__(self, trace: Trace, index: int) -> None:
        self.trace = trace
        self.index = index

    def producer(self) -> tuple[str, tuple[Scalar, ...]] | None:
        return self.trace.producer(self.index)

    def evaluate(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        return self.trace.record(operation.name, tuple([self.trace.index_of(o) for o in operands]))

    def _unknown(self, *_: object) -> NoReturn:
        raise TraceError(
            "a model can't branch on a value: it is traced only once, for all samples, trials and steps. "
            "To choose between two values, write select(a, b, x, y), which is x where a <= b, else y"
        )

    __bool__ = __float__ = __int__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __hash__ = Operand.__hash__


class Trace:
    """Records instructions, and builds a Program from them."""

    def __init__(self) -> None:
        self._nodes: list[Input | float | Instruction] = []
        self._index_of_key: dict[object, int] = {}
        self._per_sample: list[bool] = []

    def input(self, kind: str, position: int = 0) -> Symbol:
        """Return the symbol of an input of one of the kinds of `Input`. Equal arguments give the same input."""
        return Symbol(self, self._add(Input(kind, position), kind in ("feature", "target")))

    def column(self, name: str) -> Symbol:
        """Return the symbol of a column, an input with one value for each trial."""
        return Symbol(self, self._add(Input("column", name=name), False))

    @contextmanager
    def run_model(
        self, model: Model, features: int, make_input: Callable[[int], Symbol] | None = None
    ) -> Iterator[tuple[list[Parameter], list[Any]]]:
        """Run a model on symbols, in a `with` block, and yield (its Parameters, its outputs for one sample).

        model: the model. Its Parameters have symbols as values inside the block. Afterwards they are as before.
        features: number of features of a sample.
        make_input: gives the symbol of each feature, by its position; `input("feature", j)` if left out.
        """
        weights = [self.input("weight", index) for index in range(len(model.parameters()))]
        with with_weights(model, weights) as parameters:
            yield (
                parameters,
                model([make_input(j) if make_input else self.input("feature", j) for j in range(features)]),
            )

    def sample_mean(self, value: Scalar) -> Scalar:
        """Return the mean of a value over samples. If all samples have the same value, return that."""
        index = self.index_of(value)
        if not self._per_sample[index]:
            return value
        product = factors_of(value)
        operands = (index,) if product is None else tuple(self.index_of(factor) for factor in product)
        return self.record(Reduction.MEAN, operands)

    def sample_any(self, value: Scalar) -> Scalar:
        """Return 1 if the value of some sample is not 0, else 0."""
        index = self.index_of(value)
        if self._per_sample[index]:
            return self.record(Reduction.ANY, (index,))
        return ops.select(ops.absolute(value), 0.0, 0.0, 1.0)

    def producer(self, index: int) -> tuple[str, tuple[Scalar, ...]] | None:
        """Return (operation, operands) of an instruction; None for another node."""
        node = self._nodes[index]
        if not isinstance(node, Instruction):
            return None
        return node.operation, tuple(self.scalar(operand) for operand in node.operands)

    def scalar(self, index: int) -> Scalar:
        """Return the symbol of a node, or its number if it is a constant."""
        node = self._nodes[index]
        return node if isinstance(node, float) else Symbol(self, index)

    def index_of(self, operand: Scalar) -> int:
        """Return the index of the node of a symbol or plain number.

        Raises TraceError for anything else, such as a symbol of another trace.
        """
        if isinstance(operand, Symbol) and operand.trace is self:
            return operand.index
        if isinstance(operand, (int, float)):
            return self._add(float(operand), False)
        raise TraceError(f"{operand!r} can't be used in a traced expression; use numbers and symbols of this trace")

    def record(self, operation: str, operands: tuple[int, ...]) -> Scalar:
        """Record an instruction if it is new, and return its symbol, or its result if that is a constant.

        Constants are computed only with exact operations. Otherwise a program would depend on the machine.
        """
        if isinstance(self._nodes[operands[0]], float):
            nodes = [self._nodes[operand] for operand in operands]
            primitive = ops.PRIMITIVES.get(operation)
            if primitive is not None and primitive.exact and all(isinstance(node, float) for node in nodes):
                return primitive(*nodes)
        differs = self._per_sample
        per_sample = operation not in Reduction.ALL and any(map(differs.__getitem__, operands))
        return Symbol(self, self._add(Instruction(operation, operands), per_sample))

    def _add(self, node: Input | float | Instruction, per_sample: bool) -> int:
        index = self._index_of_key.setdefault(_key(node), len(self._nodes))
        if index == len(self._nodes):
            self._nodes.append(node)
            self._per_sample.append(per_sample)
        return index

    def build(
        self,
        outputs: Mapping[str, Sequence[Scalar]],
        tensors: tuple[Tensor, ...] = (),
        initial_state: tuple[float, ...] = (),
    ) -> Program:
        """Return the Program that computes these outputs.

        outputs: name -> values.
        tensors, initial_state: as in `Program`.

        Raises TraceError if a value is not of this trace.
        """
        roots = {name: [self.index_of(value) for value in values] for name, values in outputs.items()}
        order = self._order(index for indexes in roots.values() for index in indexes)
        inputs = sorted(i for i in order if isinstance(self._nodes[i], Input))
        constants = [i for i in order if isinstance(self._nodes[i], float)]
        instructions = [i for i in order if isinstance(self._nodes[i], Instruction)]
        number = {index: n for n, index in enumerate([*inputs, *constants, *instructions])}
        return Program(
            inputs=tuple(node for node in map(self._nodes.__getitem__, inputs) if isinstance(node, Input)),
            constants=tuple(node for node in map(self._nodes.__getitem__, constants) if isinstance(node, float)),
            instructions=tuple(
                Instruction(node.operation, tuple(number[o] for o in node.operands))
                for node in map(self._nodes.__getitem__, instructions)
                if isinstance(node, Instruction)
            ),
            outputs=tuple((name, tuple(number[i] for i in indexes)) for name, indexes in roots.items()),
            tensors=tensors,
            initial_state=initial_state,
        )

    def _order(self, roots: Iterable[int]) -> list[int]:
        """Return the nodes that the roots need, depth first, so that few values are alive at the same time."""
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
                    stack.extend((operand, False) for operand in reversed(self._operands(index)))
        return order

    def _operands(self, index: int) -> tuple[int, ...]:
        """Return the nodes that a node needs."""
        node = self._nodes[index]
        return node.operands if isinstance(node, Instruction) else ()


def _key(node: Input | float | Instruction) -> object:
    """Return a key that equal nodes share. The constants 0.0 and -0.0 are not equal."""
    if isinstance(node, float):
        return node.hex()
    if isinstance(node, Instruction) and node.operation in _COMMUTATIVE:
        return Instruction(node.operation, tuple(sorted(node.operands)))
    return node


@contextmanager
def with_weights(model: Model, weights: Sequence[Scalar]) -> Iterator[list[Parameter]]:
    """Give a model these weights and no gradients inside a `with` block, and yield its parameters.

    After the block, values and gradients are the same as before. Raises ValueError for a wrong number of weights.
    """
    parameters, constants = model.parameters(), constants_of(model)
    before = [(parameter.value, parameter.grad) for parameter in parameters]
    grads = [constant.grad for constant in constants]
    try:
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.value, parameter.grad = weight, 0.0
        for constant in constants:
            constant.grad = 0.0
        yield parameters
    finally:
        for parameter, (value, grad) in zip(parameters, before, strict=True):
            parameter.value, parameter.grad = value, grad
        for constant, grad in zip(constants, grads, strict=True):
            constant.grad = grad


def constants_of(model: Model) -> Sequence[Parameter]:
    """Return the constants in the place of missing biases, in the order of their units; a model may have none."""
    constants: Sequence[Parameter] = getattr(model, "constants", ())
    return constants
