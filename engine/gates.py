"""Gates: the gradient through a branch that is not taken is exactly 0, whatever the derivative is there.

The chain rule alone gives 0 * inf = NaN: in `select(x, 0.0, 0.0, sqrt(x))` the root's derivative at 0 is infinite. So
the backward pass also computes the *reach* of each node. The reach is 0 where every path from the result to the node
goes through a branch that is not taken, and above 0 elsewhere. Where it is 0, the gradient is set to 0.

>>> from engine.parameter import Parameter
>>> x = Parameter(0.0)
>>> ops.select(x, 0.0, 0.0, ops.sqrt(x)).backward()
>>> x.grad
0.0

This costs instructions only where an operation that can fail lies behind a gate. Products stay products, so that sums
round as they would without gates: numbers that were finite before keep their bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine import operations as ops
from engine.operations import Operand, Scalar

if TYPE_CHECKING:
    from engine.parameter import Parameter

GATES = frozenset({ops.select, ops.maximum, ops.minimum, ops.relu, ops.hard_tanh})
"""Operations that pass the gradient on to the operand that was taken, and 0 to the others."""

CAN_FAIL = frozenset({ops.div, ops.power, ops.exp, ops.expm1, ops.log, ops.log1p, ops.sqrt})
"""Operations whose value or derivative is infinite or NaN at some ordinary number."""

_PASSING = GATES | {ops.add, ops.sub, ops.neg, ops.absolute, ops.identity, ops.leaky_relu}
"""Operations that turn a gradient of 0 into 0 for all operands."""


class Gates:
    """The gates of one backward pass. The pass visits the nodes from the result to the leaves."""

    def __init__(self, order: Iterable[Parameter]) -> None:
        """Find the nodes that can fail. `order` is every node of the graph, each after its operands."""
        self._can_fail: set[Parameter] = set()
        for node in order:
            if node.operation in CAN_FAIL or (self._can_fail and not self._can_fail.isdisjoint(node.parents)):
                self._can_fail.add(node)
        self._reach: dict[Parameter, Scalar | None] = {}  # None: always above 0

    def vjps(
        self, node: Parameter, gradient: Scalar, output: Scalar, operands: Sequence[Scalar]
    ) -> tuple[Scalar | None, ...]:
        """Return for each parent the number that the node adds to its gradient; None if it adds nothing.

        node: the node that the pass visits.
        gradient: the node's gradient, complete.
        output, operands: result and operands of the node's operation, as its derivative rule takes them.
        """
        operation = node.operation
        if operation is None:
            return ()
        slopes = operation.vjp(gradient, output, *operands)
        if node not in self._can_fail:
            return slopes
        reach = self._reach.pop(node, None)
        for parent, opening, slope in zip(node.parents, _openings(node, output, operands), slopes, strict=True):
            if slope is not None and parent in self._can_fail:
                self._widen(parent, _through(reach, opening))
        if reach is None or operation in _PASSING:
            return slopes
        return tuple(None if slope is None else _gated(reach, slope) for slope in slopes)

    def _widen(self, node: Parameter, reach: Scalar | None) -> None:
        """Add a path to a node. The reach of a node is the greatest reach of its paths."""
        before = self._reach.get(node, reach)
        if before is not reach:
            reach = None if before is None or reach is None else ops.maximum(before, reach)
        self._reach[node] = reach


def _openings(node: Parameter, output: Scalar, operands: Sequence[Scalar]) -> Sequence[Scalar | None]:
    """Return for each operand a number above 0 where the operation takes it, else 0; None if it always takes it."""
    if node.operation is None or node.operation not in GATES:
        return [None] * len(operands)
    return node.operation.vjp(1.0, output, *operands)


def _through(reach: Scalar | None, opening: Scalar | None) -> Scalar | None:
    """Return the reach of a path through a node of this reach, to an operand of this opening."""
    if reach is None or opening is None:
        return opening if reach is None else reach
    return ops.select(opening, 0.0, 0.0, reach)


def _gated(reach: Scalar, slope: Scalar) -> Scalar:
    """Return `slope`, but 0 where the reach is 0."""
    factors = slope.factors() if isinstance(slope, Operand) else None
    if factors is None:
        return ops.select(reach, 0.0, 0.0, slope)
    first, second = (f if isinstance(f, float) else ops.select(reach, 0.0, 0.0, f) for f in factors)
    return ops.mul(first, second)
