"""The primitives: operations that kernels compute themselves, and the class of all operations.

Import operations from `engine.operations`, which is the whole table.

>>> from engine.operations import PRIMITIVES
>>> PRIMITIVES["maximum"](2.0, 3.0)
3.0
>>> PRIMITIVES["maximum"].vjp(1.0, 3.0, 2.0, 3.0)
(0.0, 1.0)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, TypeAlias

import numpy as np

Scalar: TypeAlias = Any
"""A number, an array of numbers, a Parameter or a Symbol."""


class Operand:
    """A scalar that records the operations that it is used in.

    If the operands of an operation have different classes, the one with the highest `trace_level` records it.
    """

    __slots__ = ()
    __array_ufunc__ = None  # a NumPy number on the left must use our operators
    trace_level: ClassVar[int] = 0

    def apply(self, operation: Operation, operands: tuple[Scalar, ...]) -> Scalar:
        """Return the result of `operation` on `operands`. At least one of them is of this class."""
        raise NotImplementedError

    def factors(self) -> tuple[Scalar, Scalar] | None:
        """Return the two operands if this is a product, else None."""
        return None

    def __add__(self, other: Scalar) -> Any:
        return add(self, other) if _is_scalar(other) else NotImplemented

    def __radd__(self, other: Scalar) -> Any:
        return add(other, self) if _is_scalar(other) else NotImplemented

    def __sub__(self, other: Scalar) -> Any:
        return sub(self, other) if _is_scalar(other) else NotImplemented

    def __rsub__(self, other: Scalar) -> Any:
        return sub(other, self) if _is_scalar(other) else NotImplemented

    def __mul__(self, other: Scalar) -> Any:
        return mul(self, other) if _is_scalar(other) else NotImplemented

    def __rmul__(self, other: Scalar) -> Any:
        return mul(other, self) if _is_scalar(other) else NotImplemented

    def __truediv__(self, other: Scalar) -> Any:
        return div(self, other) if _is_scalar(other) else NotImplemented

    def __rtruediv__(self, other: Scalar) -> Any:
        return div(other, self) if _is_scalar(other) else NotImplemented

    def __pow__(self, other: Scalar) -> Any:
        return power(self, other) if _is_scalar(other) else NotImplemented

    def __rpow__(self, other: Scalar) -> Any:
        return power(other, self) if _is_scalar(other) else NotImplemented

    def __neg__(self) -> Any:
        return neg(self)

    def __abs__(self) -> Any:
        return absolute(self)


def _is_scalar(value: object) -> bool:
    return isinstance(value, (Operand, int, float, np.floating, np.integer, np.ndarray))


@dataclass(frozen=True, eq=False)
class Operation:
    """One row of the table of operations.

    name: unique in the table.
    arity: number of operands; None if it takes any number.
    forward: the function that computes the result from the operands.
    vjp: the derivative rule; see `engine.operations`.
    primitive: whether kernels compute it themselves. Otherwise it is written in primitives.
    exact: whether its result is rounded correctly, and so is the same on every machine.
    template: its form in the text of a graph: strings, and positions of operands between them.
    tight: positions of operands that get brackets if they are a product, quotient, power or negation.
    formula: mathematical notation, for activations.
    source: paper that the formula comes from, for activations.
    """

    name: str
    arity: int | None
    forward: Callable[..., Scalar]
    vjp: Callable[..., tuple[Scalar | None, ...]]
    primitive: bool = False
    exact: bool = False
    template: tuple[str | int, ...] = ()
    tight: frozenset[int] = frozenset()
    formula: str = ""
    source: str = ""

    def __call__(self, *operands: Scalar) -> Scalar:
        """Return the result for numbers and arrays; record the operation if an operand is a Parameter or a Symbol.

        Raises TypeError for a wrong number of operands.
        """
        if self.arity is not None and len(operands) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} operand(s), not {len(operands)}")
        recorder: Operand | None = None
        for operand in operands:
            if isinstance(operand, Operand) and (recorder is None or operand.trace_level > recorder.trace_level):
                recorder = operand
        if recorder is not None:
            return recorder.apply(self, operands)
        if not self.primitive:
            return self.forward(*operands)
        with np.errstate(all="ignore"):
            result = self.forward(*operands)
        return result if isinstance(result, np.ndarray) and result.ndim else float(result)

    def __reduce__(self) -> str:
        return self.name  # of a global in engine.operations

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


Operation.__module__ = "engine.operations"  # pickles look up an operation's name there, as a user would

OPERATIONS: dict[str, Operation] = {}
"""Name -> operation."""
PRIMITIVES: dict[str, Operation] = {}
"""Name -> operation, for the primitives."""


def define_operation(
    name: str,
    arity: int | None,
    forward: Callable[..., Scalar],
    vjp: Callable[..., tuple[Scalar | None, ...]],
    *,
    primitive: bool = False,
    exact: bool = False,
    template: tuple[str | int, ...] = (),
    tight: frozenset[int] = frozenset(),
    formula: str = "",
    source: str = "",
) -> Operation:
    """Add an operation to the table and return it.

    The arguments are the fields of `Operation`; `exact` implies `primitive`.
    """
    primitive = primitive or exact
    row = Operation(name, arity, forward, vjp, primitive, exact, template, tight, formula, source)
    OPERATIONS[name] = row
    if primitive:
        PRIMITIVES[name] = row
    return row


def _less_or_equal(a: Scalar, b: Scalar, x: Scalar, y: Scalar) -> Scalar:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.where(a <= b, x, y)
    return x if a <= b else y


def _erf(x: Scalar) -> Scalar:
    from scipy.special import erf as scipy_erf  # NumPy has no erf; importing SciPy takes long

    return scipy_erf(x)


def _power_vjp(g: Scalar, y: Scalar, x: Scalar, p: Scalar) -> tuple[Scalar, Scalar]:
    # 0 times infinity is NaN, but at p = 0 the power is constant in x, and at x = 0 it is constant in p
    by_base = select(absolute(p), 0.0, 0.0, g * p * power(x, p - 1.0))
    by_exponent = select(absolute(x), 0.0, 0.0, g * y * log(x))
    return by_base, by_exponent


def _maximum_vjp(g: Scalar, y: Scalar, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    half = 0.5 * g  # equal operands share the gradient, as in PyTorch and JAX
    return select(a, b, select(b, a, half, 0.0), g), select(b, a, select(a, b, half, 0.0), g)


def _minimum_vjp(g: Scalar, y: Scalar, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    return _maximum_vjp(g, y, b, a)


_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

add = define_operation("add", 2, operator.add, lambda g, y, a, b: (g, g), exact=True, template=("[", 0, " + ", 1, "]"))
sub = define_operation("sub", 2, operator.sub, lambda g, y, a, b: (g, -g), exact=True, template=("[", 0, " - ", 1, "]"))
mul = define_operation("mul", 2, operator.mul, lambda g, y, a, b: (b * g, a * g), exact=True, template=(0, " * ", 1))
div: Operation = define_operation(
    "div",
    2,
    np.divide,
    lambda g, y, a, b: (div(g, b), -g * div(y, b)),
    exact=True,
    template=(0, " / ", 1),
    tight=frozenset({1}),
)
fma = define_operation(  # kernels that can round it once do so
    "fma",
    3,
    lambda a, b, c: a * b + c,
    lambda g, y, a, b, c: (b * g, a * g, g),
    primitive=True,
    template=("[", 0, " * ", 1, " + ", 2, "]"),
)
neg = define_operation("neg", 1, operator.neg, lambda g, y, x: (-g,), exact=True, template=("-", 0))
power: Operation = define_operation(
    "power", 2, np.float_power, _power_vjp, primitive=True, template=(0, "**", 1), tight=frozenset({0, 1})
)
absolute = define_operation(
    "absolute",
    1,
    abs,
    lambda g, y, x: (select(x, 0.0, select(0.0, x, 0.0, -g), g),),
    exact=True,
    template=("|", 0, "|"),
)
floor = define_operation("floor", 1, np.floor, lambda g, y, x: (None,), exact=True, template=("⌊", 0, "⌋"))
maximum = define_operation("maximum", 2, np.maximum, _maximum_vjp, exact=True)
minimum = define_operation("minimum", 2, np.minimum, _minimum_vjp, exact=True)
select: Operation = define_operation(
    "select",
    4,
    _less_or_equal,
    lambda g, y, a, b, x, z: (None, None, select(a, b, g, 0.0), select(a, b, 0.0, g)),
    exact=True,
    template=("(", 2, " if ", 0, " <= ", 1, " else ", 3, ")"),
)
exp: Operation = define_operation("exp", 1, np.exp, lambda g, y, x: (g * y,), primitive=True)
expm1 = define_operation("expm1", 1, np.expm1, lambda g, y, x: (g * exp(x),), primitive=True)
log: Operation = define_operation("log", 1, np.log, lambda g, y, x: (div(g, x),), primitive=True)
log1p = define_operation("log1p", 1, np.log1p, lambda g, y, x: (div(g, 1.0 + x),), primitive=True)
sqrt = define_operation("sqrt", 1, np.sqrt, lambda g, y, x: (div(0.5 * g, y),), exact=True)
tanh = define_operation(
    "tanh",
    1,
    np.tanh,
    lambda g, y, x: (g * (1.0 - y * y),),
    primitive=True,
    formula="(e^x - e^-x) / (e^x + e^-x)",
    source="LeCun et al., Efficient BackProp, 1998, section 4.4",
)
sin = define_operation(
    "sin",
    1,
    np.sin,
    lambda g, y, x: (g * cos(x),),
    primitive=True,
    formula="sin x",
    source="Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, 2020",
)
cos: Operation = define_operation("cos", 1, np.cos, lambda g, y, x: (-g * sin(x),), primitive=True)
erf = define_operation("erf", 1, _erf, lambda g, y, x: (g * (_TWO_OVER_SQRT_PI * exp(-(x * x))),), primitive=True)


def total(terms: Sequence[Scalar]) -> Any:
    """Return the sum of one or more scalars, added from the first to the last. The order decides the last bits."""
    return reduce(operator.add, terms)


def greatest(scalars: Sequence[Scalar]) -> Any:
    """Return the maximum of one or more scalars."""
    return reduce(maximum, scalars)
