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

from engine.kernels.codegen.vectors import Vectors, fma, where
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
    # NaN if either operand is NaN, as in NumPy
    "maximum": lambda a, b: where((a >= b) | a.is_nan(), a, b),
    "minimum": lambda a, b: where((a <= b) | a.is_nan(), a, b),
}
"""Primitive -> the function that writes its instructions. The other primitives are fma and calls of FUNCTIONS."""


def combined(reduction: str, total: Vectors, values: Sequence[Vectors]) -> str:
    """Return the sum after one more sample. values: its value, or two factors."""
    if reduction == Reduction.ANY:
        return (total.bits() | values[0].bits()).real().names[0]
    return (fma(values[0], values[1], total) if len(values) == 2 else total + values[0]).names[0]
