"""Write out a rolled program: the straight line of scalars that it stands for.

>>> from engine.losses import LOSSES
>>> from engine.nn import MLP
>>> from engine.optimizers import OPTIMIZERS
>>> from engine.rolled_tracing import trace_rolled
>>> from engine.step import UpdateRule
>>> rolled = trace_rolled(MLP([2, 1]), LOSSES["mean_squared_error"], UpdateRule(OPTIMIZERS["sgd"]), targets=1)
>>> print(written_out(rolled).only("loss"))
%0 = weight 0
%1 = weight 1
%2 = weight 2
%3 = feature 0
%4 = feature 1
%5 = target 0
%6 = column learning_rate
%7 = fma %0 %3 %2
%8 = fma %1 %4 %7
%9 = sub %8 %5
%10 = sample_mean %9 %9
loss -> %10
"""

from __future__ import annotations

from itertools import product
from typing import Any

from engine.program import Program
from engine.rolled import Contraction, Family, Node, Pick, RolledProgram, Stack
from engine.tracing import Trace


def written_out(rolled: RolledProgram) -> Program:
    """Return the straight line of scalars that a rolled program stands for."""
    return _Writer(rolled).program()


class _Writer:
    """Writes nodes out into a trace, element by element."""

    def __init__(self, rolled: RolledProgram) -> None:
        self._rolled, self._trace = rolled, Trace()
        self._values: list[dict[tuple[int, ...], int]] = []
        for number, node in enumerate(rolled.nodes):
            axes = rolled.axes[number]
            ranges = [range(rolled.sizes[axis]) for axis in axes]
            self._values.append(
                {index: self._scalar(node, dict(zip(axes, index, strict=True))) for index in product(*ranges)}
            )

    def _element(self, number: int, at: dict[int, int]) -> int:
        return self._values[number][tuple(at[axis] for axis in self._rolled.axes[number])]

    def _scalar(self, node: Node, at: dict[int, int]) -> int:
        """Return the trace's node for one element; `at` has its position along each axis."""
        trace = self._trace
        if isinstance(node, float):
            return int(trace.index_of(node))
        if isinstance(node, Family):
            position = node.base + sum(at[axis] * stride for axis, stride in zip(node.axes, node.strides, strict=True))
            symbol = trace.column(node.name) if node.kind == "column" else trace.input(node.kind, position)
            return int(symbol.index)
        if isinstance(node, Pick):
            (axis,) = self._rolled.axes[node.operands[0]]
            return self._element(node.operands[0], {axis: node.element})
        if isinstance(node, Stack):
            return self._element(node.operands[at[node.axis]], {})
        if isinstance(node, Contraction):
            return self._sum(node, at)
        return self._record(node.operation, [self._element(operand, at) for operand in node.operands])

    def _sum(self, node: Contraction, at: dict[int, int]) -> int:
        total = self._element(node.operands[0], at) if node.has_start else None
        terms = list(product(*(range(self._rolled.sizes[axis]) for axis in node.axes)))
        for index in reversed(terms) if node.descending else terms:
            inside = {**at, **dict(zip(node.axes, index, strict=True))}
            factors = [self._element(factor, inside) for factor in node.factors]
            if total is None:
                total = factors[0] if len(factors) == 1 else self._record("mul", factors)
            else:
                total = self._record(
                    "add" if len(factors) == 1 else "fma", [total, *factors] if len(factors) == 1 else [*factors, total]
                )
        assert total is not None
        return total

    def _record(self, operation: str, operands: list[int]) -> int:
        return int(self._trace.index_of(self._trace.record(operation, tuple(operands))))

    def program(self) -> Program:
        """Return the program of everything that was written out."""
        rolled, outputs = self._rolled, {}
        for name, places in rolled.places:
            flat: dict[int, Any] = {}
            for place in places:
                for index, value in self._values[place.node].items():
                    position = place.base + sum(k * s for k, s in zip(index, place.strides, strict=True))
                    flat[position] = self._trace.scalar(value)
            outputs[name] = [flat[position] for position in range(len(flat))]
        built: Program = self._trace.build(outputs, rolled.tensors, rolled.initial_state)
        return built
