"""Tracing: run a model once on symbols instead of numbers, and what it did stands there as a Program.

Simplification happens as instructions are recorded: each expression once, constants computed, rewrites that hold to the
last bit for every number, and a product that is added to something fused with the addition. What no output needs is
left out at the end, and the rest put in an order that uses each value soon after it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn, Protocol

from engine import operations as ops
from engine.operations import Operand, Operation, Scalar
from engine.parameter import Parameter
from engine.program import Input, Instruction, Program, Reduction
from engine.tensors import Tensor

_COMMUTATIVE = frozenset({"add", "mul"})


class TraceError(TypeError):
    """The model's course depends on a number's value, or it uses something that is no operation of the table."""


class Model(Protocol):
    """What can be traced: Parameters in named tensors, and a call from one sample's features to its outputs."""

    @property
    def tensors(self) -> tuple[Tensor, ...]: ...

    def parameters(self) -> list[Parameter]: ...

    def __call__(self, inputs: Sequence[Scalar], /) -> list[Any]: ...


class Fusing(Operand):
    """A scalar of kernel arithmetic: a product that is added or subtracted is rounded once with the sum, as one fma.

    Subclasses are computed in this one way, so that they come to the same bits.
    """

    __slots__ = ()

    def made_by(self) -> tuple[str, tuple[Scalar, ...]] | None:
        """The primitive and the operands that this is the result of, or None where it is given."""
        raise NotImplementedError

    def compute(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        """The result of a primitive, as it stands."""
        raise NotImplementedError

    def factors(self) -> tuple[Scalar, Scalar] | None:
        made = _made(self, "mul")
        return None if made is None else (made[0], made[1])

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        if not operation.primitive:
            return operation.forward(*operands)
        simpler = _simplified(operation, operands)
        return self.compute(operation, operands) if simpler is None else simpler


def _factors(scalar: Scalar) -> tuple[Scalar, Scalar] | None:
    return scalar.factors() if isinstance(scalar, Operand) else None


def _made(scalar: Scalar, operation: str) -> tuple[Scalar, ...] | None:
    made = scalar.made_by() if isinstance(scalar, Fusing) else None
    return made[1] if made is not None and made[0] == operation else None


def _simplified(operation: Operation, operands: tuple[Scalar, ...]) -> Scalar | None:
    """The same result, for every number, by less; or fused; None where there is nothing to simplify."""
    first, second = operands[0], operands[-1]
    if operation is ops.add or operation is ops.sub:
        return _fused(operation, first, second)
    if operation is ops.neg:
        inner = _made(first, "neg")
        return None if inner is None else inner[0]
    if operation is ops.mul and _is(first, 1.0):
        return second
    if operation in (ops.mul, ops.div, ops.power) and _is(second, 1.0):
        return first
    return ops.mul(first, first) if operation is ops.power and _is(second, 2.0) else None


def _fused(operation: Operation, first: Scalar, second: Scalar) -> Scalar | None:
    product = _factors(second)
    if product is not None:
        a, b = product
        return ops.fma(a if operation is ops.add else ops.neg(a), b, first)
    product = _factors(first)
    if product is not None:
        return ops.fma(*product, second if operation is ops.add else ops.neg(second))
    return None


def _is(scalar: Scalar, number: float) -> bool:
    return isinstance(scalar, (int, float)) and scalar == number


class Symbol(Fusing):
    """A number that isn't known yet: an input, or the result of an instruction."""

    __slots__ = ("index", "trace")
    precedence: ClassVar[int] = 1

    def __init__(self, trace: Trace, index: int) -> None:
        self.trace = trace
        self.index = index

    def made_by(self) -> tuple[str, tuple[Scalar, ...]] | None:
        return self.trace.made_by(self.index)

    def compute(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        return self.trace.record(operation.name, tuple([self.trace.index_of(o) for o in operands]))

    def _unknown(self, *_: object) -> NoReturn:
        raise TraceError(
            "a model's course may not depend on a value: it is traced once for every sample, trial and step. "
            "Where it chooses between two values, write select(a, b, x, y), which is x where a <= b, else y"
        )

    __bool__ = __float__ = __int__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __hash__ = Operand.__hash__


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
        if not self._per_sample[index]:
            return value
        product = _factors(value)
        operands = (index,) if product is None else tuple(self.index_of(factor) for factor in product)
        return self.record(Reduction.MEAN, operands)

    def sample_any(self, value: Scalar) -> Scalar:
        """1 where the value of some sample is not 0, else 0."""
        index = self.index_of(value)
        if self._per_sample[index]:
            return self.record(Reduction.ANY, (index,))
        return ops.select(ops.absolute(value), 0.0, 0.0, 1.0)

    def made_by(self, index: int) -> tuple[str, tuple[Scalar, ...]] | None:
        """The operation and operands of a node that is an instruction."""
        node = self._nodes[index]
        if not isinstance(node, Instruction):
            return None
        return node.operation, tuple(self._scalar(operand) for operand in node.operands)

    def _scalar(self, index: int) -> Scalar:
        node = self._nodes[index]
        return node if isinstance(node, float) else Symbol(self, index)

    def index_of(self, operand: Scalar) -> int:
        """The node of a symbol of this trace or of a plain number. Raises TraceError for anything else."""
        if isinstance(operand, Symbol) and operand.trace is self:
            return operand.index
        if isinstance(operand, (int, float)):
            return self._add(float(operand), False)
        raise TraceError(f"{operand!r} can't stand in a traced expression: numbers and this trace's symbols can")

    def record(self, operation: str, operands: tuple[int, ...]) -> Scalar:
        """Record an instruction, unless its value is at hand already; returns a Symbol, or a number where it is one.

        Constants are computed where every machine rounds alike; else a program would depend on where it was traced.
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
        index = self._known.setdefault(_key(node), len(self._nodes))
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


def _key(node: Input | float | Instruction) -> object:
    """Nodes of one key are equal. 0.0 and -0.0 are not the same constant."""
    if isinstance(node, float):
        return node.hex()
    if isinstance(node, Instruction) and node.operation in _COMMUTATIVE:
        return Instruction(node.operation, tuple(sorted(node.operands)))
    return node


@contextmanager
def lent(model: Model, weights: Sequence[Scalar]) -> Iterator[list[Parameter]]:
    """The model's parameters with other values, and no gradient; they have their own again at the end."""
    parameters = model.parameters()
    kept = [(parameter.value, parameter.grad) for parameter in parameters]
    try:
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.value, parameter.grad = weight, 0.0
        yield parameters
    finally:
        for parameter, (value, grad) in zip(parameters, kept, strict=True):
            parameter.value, parameter.grad = value, grad
