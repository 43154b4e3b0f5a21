"""`FusedScalar`: the rules by which a trace and a replay simplify expressions, so that both give the same bits.

>>> from engine.tracing import Trace
>>> trace = Trace()
>>> x = trace.input("weight", 0)
>>> trace.producer((x * 1.0 + 2.0 * x).index)[0]
'fma'
"""

from __future__ import annotations

from engine import operations as ops
from engine.operations import Operand, Operation, Scalar


class FusedScalar(Operand):
    """A scalar with the rules of a Program: a product in a sum is fused into one fma, which rounds once."""

    __slots__ = ()

    def producer(self) -> tuple[str, tuple[Scalar, ...]] | None:
        """Return (primitive, operands) whose result this is; None for an input."""
        raise NotImplementedError

    def evaluate(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        """Return the result of a primitive without simplification."""
        raise NotImplementedError

    def factors(self) -> tuple[Scalar, Scalar] | None:
        operands = _operands(self, "mul")
        return None if operands is None else (operands[0], operands[1])

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        if not operation.primitive:
            return operation.forward(*operands)
        simpler = _simplified(operation, operands)
        return self.evaluate(operation, operands) if simpler is None else simpler


def factors_of(scalar: Scalar) -> tuple[Scalar, Scalar] | None:
    """Return the two factors if a scalar is a product, else None."""
    return scalar.factors() if isinstance(scalar, Operand) else None


def _operands(scalar: Scalar, operation: str) -> tuple[Scalar, ...] | None:
    """Return the operands if a scalar is the result of this operation, else None."""
    producer = scalar.producer() if isinstance(scalar, FusedScalar) else None
    return producer[1] if producer is not None and producer[0] == operation else None


def _simplified(operation: Operation, operands: tuple[Scalar, ...]) -> Scalar | None:
    """Return the result in a simpler or fused form; None if there is nothing to simplify."""
    first, second = operands[0], operands[-1]
    if operation is ops.add or operation is ops.sub:
        return _fused(operation, first, second)
    if operation is ops.neg:
        inner = _operands(first, "neg")
        return None if inner is None else inner[0]
    if operation is ops.mul and _is(first, 1.0):
        return second
    if operation in (ops.mul, ops.div, ops.power) and _is(second, 1.0):
        return first
    return ops.mul(first, first) if operation is ops.power and _is(second, 2.0) else None


def _fused(operation: Operation, first: Scalar, second: Scalar) -> Scalar | None:
    """Return a sum or difference of which one operand is a product as an fma; None if neither is."""
    product = factors_of(second)
    if product is not None:
        a, b = product
        return ops.fma(a if operation is ops.add else ops.neg(a), b, first)
    product = factors_of(first)
    if product is not None:
        return ops.fma(*product, second if operation is ops.add else ops.neg(second))
    return None


def _is(scalar: Scalar, number: float) -> bool:
    return isinstance(scalar, (int, float)) and scalar == number
