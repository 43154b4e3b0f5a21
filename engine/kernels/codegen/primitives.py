"""Write one operation on vectors, or one more term of a reduction.

>>> from engine.kernels.codegen.vectors import REAL, IRText
>>> ir = IRText(lanes=4)
>>> total = Vectors(ir, REAL, ["%total"])
>>> combined(Reduction.MEAN, total, [Vectors(ir, REAL, ["%x"]), Vectors(ir, REAL, ["%y"])])
'%v1'
>>> print(ir)
%v1 = call <4 x double> @llvm.fma.v4f64(<4 x double> %x, <4 x double> %y, <4 x double> %total)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.kernels.codegen.vectors import IRText, Vectors, fma, where
from engine.program import Reduction

OPERATIONS: dict[str, Callable[..., Vectors]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "absolute": lambda a: a.absolute(),
    "floor": lambda a: a.call("floor"),
    "sqrt": lambda a: a.call("sqrt"),
    "select": lambda a, b, x, y: where(a <= b, x, y),
    "maximum": lambda a, b: _first_unless(a, b, "olt"),
    "minimum": lambda a, b: _first_unless(a, b, "ogt"),
}
"""Primitive -> the function that writes its instructions. The other primitives are fma and calls of FUNCTIONS."""


def _first_unless(a: Vectors, b: Vectors, predicate: str) -> Vectors:
    """Return b where a is less or greater, else a; NaN if either operand is NaN, as in NumPy.

    If b is a constant, this is one instruction of x86.
    """
    if b.is_constant_number():
        return where(a.compare(predicate, b), b, a)
    return where(a.compare({"olt": "oge", "ogt": "ole"}[predicate], b) | a.is_nan(), a, b)


_MODERATE = 2.0**400
"""A divisor is moderate if its size is at most this, and at least the inverse."""


def divides_slowly(ir: IRText) -> bool:
    """Return whether a division takes longer than `divide_root`: of doubles, where multiply-adds are instructions."""
    return ir.dtype == "float64" and ir.lanes >= 4


def all_moderate(divisor: Vectors) -> str:
    """Return an i1 that says whether `divide_root` may divide by each number of a vector."""
    size = divisor.absolute()
    moderate = (size <= _MODERATE) & (size >= 1 / _MODERATE)
    return size.ir.value(f"xor i1 {size.ir.any_lane((~moderate).names[0])}, true")


def divide_root(root: Vectors, divisor: Vectors, inverse: Vectors) -> Vectors:
    """Return root / divisor, rounded once, without a division, which takes longer than all of this.

    root: square roots of doubles. divisor: moderate doubles. inverse: 1 / divisor, rounded.

    The quotient is corrected twice by its remainder (Markstein, Computation of Elementary Functions on the IBM RISC
    System/6000 Processor, 1990). After the first time, it is off by less than a unit in the last place, so the next
    remainder is exact. The second sum, before it is rounded, is off by |e d| units, where e is the quotient's error and
    d the relative error of the inverse. Let c be the divisor without its exponent, from 1 to 2. Then |d| <= c 2^-54,
    and 2^-53 (1 - 2^-52) for the largest c. No quotient of doubles is nearer than 2^-53 / c units to a midpoint of two
    doubles, and one that is near has |e| of 1/2. Since |d| / 2 is less than that distance, the sum is on the same side
    of each midpoint as the quotient, and is rounded alike.

    Nothing over- or underflows: a root is 0, infinite, NaN, or from 2^-537 to 2^512. If the first remainder is 0 or
    NaN, the product of root and inverse is the result, which is exact, infinite or NaN then.
    """
    first = root * inverse
    remainder = fma(-first, divisor, root)
    near = fma(remainder, inverse, first)
    quotient = fma(fma(-near, divisor, root), inverse, near)
    return where(remainder.compare("one", 0.0), quotient, first)


def combined(reduction: str, total: Vectors, values: Sequence[Vectors]) -> str:
    """Return the sum after one more sample. values: its value, or two factors."""
    if reduction == Reduction.ANY:
        return (total.bits() | values[0].bits()).real().names[0]
    return (fma(values[0], values[1], total) if len(values) == 2 else total + values[0]).names[0]
