"""`LoopProgram`: a part of a Program as loops over arrays. The passes `reroll` and `fuse` return it.

Arrays that the loops compute have numbers, and are printed as a0, a1, ... Other arrays have names. The variable i is
the number of the iteration, and so of the element that a statement computes.

>>> weights, feature = ArrayRef("weight", (0, 2, 4)), ArrayRef("feature", (1, 1, 1))
>>> product = Statement("mul", (weights, feature), result=ArrayRef(0, (0, 1, 2)))
>>> shifted = Statement("add", (ArrayRef(0, (0, 1, 2)), 1.0), result=ArrayRef(1, (0, 1, 2)))
>>> print(LoopProgram((Loop(3, (product, shifted), per_sample=True),), outputs=((1, 0), (1, 2))))
for i in 0 .. 2, per sample:
    a0[i] = mul weight[2 i] feature[1]
    a1[i] = add a0[i] 1.0
return a1[0] a1[2]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from engine.kernels.codegen.layout import Location
from engine.program import Reduction

DOT = "dot"
"""start + a b + c d + ...: the products are added in this order, and each product and sum is rounded once."""

_SHOWN_ELEMENTS = 4
_SHOWN_TERMS = 5
_SHOWN_OUTPUTS = 12


@dataclass(frozen=True, eq=False)
class ArrayRef:
    """An operand or result of a statement: an array, and the number of the element for each iteration."""

    array: str | int
    elements: tuple[int, ...]

    @property
    def is_identity(self) -> bool:
        """Return whether iteration i uses element i."""
        return all(element == iteration for iteration, element in enumerate(self.elements))

    def __str__(self) -> str:
        name = f"a{self.array}" if isinstance(self.array, int) else self.array
        return f"{name}[{_pattern(self.elements)}]"


Operand: TypeAlias = ArrayRef | float
"""A constant is the same number in every iteration."""


@dataclass(frozen=True)
class Statement:
    """One operation, applied in every iteration of a loop.

    operation: a primitive, a reduction or DOT.
    operands: its operands.
    result: the array that it computes; for a reduction, the sums.
    has_start: whether the first operand of a DOT is added to the products. Without it, the DOT begins with a product.
    """

    operation: str
    operands: tuple[Operand, ...]
    result: ArrayRef
    has_start: bool = True

    @property
    def is_reduction(self) -> bool:
        """Return whether it combines samples."""
        return self.operation in Reduction.ALL

    @property
    def operand_arrays(self) -> list[ArrayRef]:
        """The operands that are not constants."""
        return [operand for operand in self.operands if isinstance(operand, ArrayRef)]

    @property
    def computed_operands(self) -> Iterator[ArrayRef]:
        """The operands that loops compute."""
        return (operand for operand in self.operand_arrays if isinstance(operand.array, int))

    def __str__(self) -> str:
        operands = [str(operand) for operand in self.operands]
        if self.operation == DOT:
            start, factors = operands[: self.has_start], operands[self.has_start :]
            products = [f"{a} * {b}" for a, b in zip(factors[::2], factors[1::2], strict=True)]
            operands = [" + ".join(_shortened([*start, *products], _SHOWN_TERMS))]
        return f"{self.result} {'+=' if self.is_reduction else '='} {self.operation} {' '.join(operands)}"


@dataclass(frozen=True)
class Loop:
    """Statements that run one after another in each iteration.

    members: number of iterations.
    statements: the statements.
    per_sample: whether they run for each sample.
    """

    members: int
    statements: tuple[Statement, ...]
    per_sample: bool

    @property
    def is_reduction(self) -> bool:
        """Return whether every statement combines samples."""
        return all(statement.is_reduction for statement in self.statements)

    @property
    def root_division(self) -> Statement | None:
        """The first division of a root that the loop computes by a number that is the same in every iteration.

        There is none in a loop that runs for each sample: there the number may differ.
        """
        if self.per_sample:
            return None
        operation_of = {statement.result.array: statement.operation for statement in self.statements}
        for statement in self.statements:
            if statement.operation == "div" and all(isinstance(operand, ArrayRef) for operand in statement.operands):
                root, divisor = statement.operand_arrays
                is_root = operation_of.get(root.array) == "sqrt"
                if is_root and divisor.array not in operation_of and len({*divisor.elements}) == 1:
                    return statement
        return None

    def __str__(self) -> str:
        head = f"for i in 0 .. {self.members - 1}{', per sample' if self.per_sample else ''}:"
        return "\n".join([head, *(f"    {statement}" for statement in self.statements)])


@dataclass(frozen=True)
class LoopProgram:
    """Loops in an order in which they can run.

    outputs: for each value of the computation, its location after the loops, or its number if it is a constant.
    """

    loops: tuple[Loop, ...]
    outputs: tuple[Location | float, ...]

    @cached_property
    def output_arrays(self) -> frozenset[str | int]:
        """The arrays that contain outputs."""
        return frozenset(output[0] for output in self.outputs if not isinstance(output, float))

    @cached_property
    def stored(self) -> dict[int, Loop]:
        """Array -> its loop, for the arrays that need memory, because of outputs or because another loop uses them."""
        loop_of = {s.result.array: loop for loop in self.loops for s in loop.statements if not s.is_reduction}
        used_elsewhere = {
            operand.array
            for loop in self.loops
            for statement in loop.statements
            for operand in statement.computed_operands
            if loop_of[operand.array] is not loop
        }
        return {
            array: loop_of[array]
            for array in sorted(array for array in loop_of if isinstance(array, int))
            if array in used_elsewhere or array in self.output_arrays
        }

    @property
    def last_line(self) -> str:
        """The outputs' locations, as text."""
        ends = [str(end) if isinstance(end, float) else str(ArrayRef(end[0], (end[1],))) for end in self.outputs]
        return f"return {' '.join(_shortened(ends, _SHOWN_OUTPUTS))}"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.loops), self.last_line])


def _pattern(elements: Sequence[int]) -> str:
    """Return element numbers as text: a formula in i if they are evenly spaced, else the first few."""
    step = elements[1] - elements[0] if len(elements) > 1 else 0
    if any(element != elements[0] + step * i for i, element in enumerate(elements)):
        return ", ".join(_shortened(map(str, elements), _SHOWN_ELEMENTS))
    if not step:
        return str(elements[0])
    term = "i" if step == 1 else f"{step} i"
    return f"{elements[0]} + {term}" if elements[0] else term


def _shortened(texts: Iterable[str], limit: int) -> list[str]:
    texts = list(texts)
    return texts if len(texts) <= limit else [*texts[:limit], "..."]
