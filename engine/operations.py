"""The table of operations: each operation once, with its forward computation and its derivative rule.

An operation is called on *scalars*. A scalar is a Python number, a NumPy array (one value for each trial or sample), a
`Parameter` of a graph or a `Symbol` of a trace; an operation works in the same way on all of them. Primitives compute
with NumPy. The other operations are written in primitives, so a kernel needs to know the primitives only. Derivative
rules are written in operations too, so they can be traced into a program, and differentiated again.

The derivative rule is a vector-Jacobian product: `vjp(gradient, output, *operands)` returns for each operand
gradient * (d output / d operand), or None if the operand's value has no influence.

>>> sigmoid(0.0)
0.5
>>> sigmoid.vjp(1.0, 0.5, 0.0)
(0.25,)
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
    """A scalar whose operators and functions become operations of the table.

    Among the operands of an operation, the one with the highest `trace_level` records it.
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
    """One row of the table.

    name: unique in the table.
    arity: number of operands; None if it takes any number.
    forward: computes the result.
    vjp: the derivative rule; see the module.
    primitive: whether kernels compute it themselves, instead of in other operations.
    exact: whether its result is rounded correctly, and so is the same on every machine.
    template: the operation in a graph's text: strings, and the positions of operands between them.
    tight: positions whose operand is bracketed if it is a product, quotient, power or negation.
    formula, source: of an activation: its mathematical notation, and its paper.
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
        """Compute the result of numbers and arrays; record the operation if there are Parameters or Symbols."""
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
        return self.name  # each row is a global of this module under its own name

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


OPERATIONS: dict[str, Operation] = {}
"""Name -> operation."""
PRIMITIVES: dict[str, Operation] = {}
"""Name -> operation, for those that kernels compute themselves."""


def _operation(
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
    primitive = primitive or exact
    row = Operation(name, arity, forward, vjp, primitive, exact, template, tight, formula, source)
    OPERATIONS[name] = row
    if primitive:
        PRIMITIVES[name] = row
    return row


# ---------------------------------------------------------------------------------------------------- primitives


def _less_or_equal(a: Scalar, b: Scalar, x: Scalar, y: Scalar) -> Scalar:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.where(a <= b, x, y)
    return x if a <= b else y


def _erf(x: Scalar) -> Scalar:
    from scipy.special import erf as scipy_erf  # NumPy has none; SciPy is imported only if it is needed

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

add = _operation("add", 2, operator.add, lambda g, y, a, b: (g, g), exact=True, template=("[", 0, " + ", 1, "]"))
sub = _operation("sub", 2, operator.sub, lambda g, y, a, b: (g, -g), exact=True, template=("[", 0, " - ", 1, "]"))
mul = _operation("mul", 2, operator.mul, lambda g, y, a, b: (b * g, a * g), exact=True, template=(0, " * ", 1))
div: Operation = _operation(
    "div",
    2,
    np.divide,
    lambda g, y, a, b: (div(g, b), -g * div(y, b)),
    exact=True,
    template=(0, " / ", 1),
    tight=frozenset({1}),
)
fma = _operation(  # kernels that can round it once do so
    "fma",
    3,
    lambda a, b, c: a * b + c,
    lambda g, y, a, b, c: (b * g, a * g, g),
    primitive=True,
    template=("[", 0, " * ", 1, " + ", 2, "]"),
)
neg = _operation("neg", 1, operator.neg, lambda g, y, x: (-g,), exact=True, template=("-", 0))
power: Operation = _operation(
    "power", 2, np.float_power, _power_vjp, primitive=True, template=(0, "**", 1), tight=frozenset({0, 1})
)
absolute = _operation(
    "absolute",
    1,
    abs,
    lambda g, y, x: (select(x, 0.0, select(0.0, x, 0.0, -g), g),),
    exact=True,
    template=("|", 0, "|"),
)
floor = _operation("floor", 1, np.floor, lambda g, y, x: (None,), exact=True, template=("⌊", 0, "⌋"))
maximum = _operation("maximum", 2, np.maximum, _maximum_vjp, exact=True)
minimum = _operation("minimum", 2, np.minimum, _minimum_vjp, exact=True)
select: Operation = _operation(
    "select",
    4,
    _less_or_equal,
    lambda g, y, a, b, x, z: (None, None, select(a, b, g, 0.0), select(a, b, 0.0, g)),
    exact=True,
    template=("(", 2, " if ", 0, " <= ", 1, " else ", 3, ")"),
)
exp: Operation = _operation("exp", 1, np.exp, lambda g, y, x: (g * y,), primitive=True)
expm1 = _operation("expm1", 1, np.expm1, lambda g, y, x: (g * exp(x),), primitive=True)
log: Operation = _operation("log", 1, np.log, lambda g, y, x: (div(g, x),), primitive=True)
log1p = _operation("log1p", 1, np.log1p, lambda g, y, x: (div(g, 1.0 + x),), primitive=True)
sqrt = _operation("sqrt", 1, np.sqrt, lambda g, y, x: (div(0.5 * g, y),), exact=True)
tanh = _operation(
    "tanh",
    1,
    np.tanh,
    lambda g, y, x: (g * (1.0 - y * y),),
    primitive=True,
    formula="(e^x - e^-x) / (e^x + e^-x)",
    source="LeCun et al., Efficient BackProp, 1998, section 4.4",
)
sin = _operation(
    "sin",
    1,
    np.sin,
    lambda g, y, x: (g * cos(x),),
    primitive=True,
    formula="sin x",
    source="Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, 2020",
)
cos: Operation = _operation("cos", 1, np.cos, lambda g, y, x: (-g * sin(x),), primitive=True)
erf = _operation("erf", 1, _erf, lambda g, y, x: (g * (_TWO_OVER_SQRT_PI * exp(-(x * x))),), primitive=True)


# ------------------------------------------------------------------------------ activations, written in primitives

_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715
_INV_SQRT_2 = math.sqrt(0.5)
_INV_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)
_LEAKY_SLOPE = 0.01
# Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _identity_forward(x: Scalar) -> Scalar:
    return x


def _sigmoid_forward(x: Scalar) -> Scalar:
    e = exp(-abs(x))  # the exponent is never positive, so this never overflows
    return div(select(x, 0.0, e, 1.0), 1.0 + e)


def _softplus_forward(x: Scalar) -> Scalar:
    return maximum(x, 0.0) + log1p(exp(-abs(x)))


def _gelu_tanh(x: Scalar) -> Scalar:
    b = minimum(maximum(x, -30.0), 30.0)  # further out tanh is +-1 to the last bit, and the cube would overflow
    return tanh(_GELU_SCALE * (b + _GELU_CUBIC * (b * b * b)))


def _gelu_vjp(g: Scalar, y: Scalar, x: Scalar) -> tuple[Scalar]:
    t = _gelu_tanh(x)
    b = minimum(maximum(x, -30.0), 30.0)
    slope = _GELU_SCALE * (1.0 + (3.0 * _GELU_CUBIC) * (b * b))
    return (g * (0.5 * (1.0 + t) + 0.5 * b * (1.0 - t * t) * slope),)


def _normal_cdf(x: Scalar) -> Scalar:
    return 0.5 * (1.0 + erf(_INV_SQRT_2 * x))


def _gelu_exact_vjp(g: Scalar, y: Scalar, x: Scalar) -> tuple[Scalar]:
    return (g * (_normal_cdf(x) + x * (_INV_SQRT_2_PI * exp(-0.5 * (x * x)))),)


def _silu_vjp(g: Scalar, y: Scalar, x: Scalar) -> tuple[Scalar]:
    s = sigmoid(x)
    return (g * (s * (1.0 + x * (1.0 - s))),)


def _mish_vjp(g: Scalar, y: Scalar, x: Scalar) -> tuple[Scalar]:
    t = tanh(softplus(x))
    return (g * (t + x * ((1.0 - t * t) * sigmoid(x))),)


def _negative_part(x: Scalar) -> Scalar:
    return select(x, 0.0, x, 0.0)


def total(terms: Sequence[Scalar]) -> Any:
    """Return the sum of at least one scalar, added one after another: the order decides the last bits."""
    return reduce(operator.add, terms)


def greatest(scalars: Sequence[Scalar]) -> Any:
    """Return the maximum of at least one scalar."""
    return reduce(maximum, scalars)


def _logsumexp_forward(*xs: Scalar) -> Scalar:
    shift = greatest(xs)  # exp never overflows
    return shift + log(total([exp(x - shift) for x in xs]))


identity = _operation(
    "identity",
    1,
    _identity_forward,
    lambda g, y, x: (g,),
    formula="x",
    source="Widrow and Hoff, Adaptive Switching Circuits, 1960: the linear unit",
)
relu = _operation(
    "relu",
    1,
    lambda x: select(x, 0.0, 0.0, x),
    lambda g, y, x: (select(x, 0.0, 0.0, g),),
    formula="max(x, 0)",
    source="Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010",
)
leaky_relu = _operation(
    "leaky_relu",
    1,
    lambda x: select(x, 0.0, _LEAKY_SLOPE * x, x),
    lambda g, y, x: (select(x, 0.0, _LEAKY_SLOPE * g, g),),
    formula="x if x > 0 else 0.01 x",
    source="Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013",
)
elu = _operation(
    "elu",
    1,
    lambda x: select(x, 0.0, expm1(_negative_part(x)), x),
    lambda g, y, x: (g * select(x, 0.0, y + 1.0, 1.0),),
    formula="x if x > 0 else e^x - 1",
    source="Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by ELUs, 2015",
)
selu = _operation(
    "selu",
    1,
    lambda x: select(x, 0.0, (_SELU_SCALE * _SELU_ALPHA) * expm1(_negative_part(x)), _SELU_SCALE * x),
    lambda g, y, x: (g * select(x, 0.0, y + _SELU_SCALE * _SELU_ALPHA, _SELU_SCALE),),
    formula="1.0507 (x if x > 0 else 1.6733 (e^x - 1))",
    source="Klambauer et al., Self-Normalizing Neural Networks, 2017, equations 2 and 14",
)
gelu = _operation(
    "gelu",
    1,
    lambda x: 0.5 * x * (1.0 + _gelu_tanh(x)),
    _gelu_vjp,
    formula="x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))",
    source="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016: the form with tanh",
)
gelu_exact = _operation(
    "gelu_exact",
    1,
    lambda x: x * _normal_cdf(x),
    _gelu_exact_vjp,
    formula="x/2 (1 + erf(x/√2))",
    source="Hendrycks and Gimpel, Gaussian Error Linear Units, 2016: the form with erf",
)
sigmoid: Operation = _operation(
    "sigmoid",
    1,
    _sigmoid_forward,
    lambda g, y, x: (g * (y * (1.0 - y)),),
    template=("σ(", 0, ")"),
    formula="1 / (1 + e^-x)",
    source="Rumelhart, Hinton and Williams, Learning Representations by Back-Propagating Errors, 1986",
)
silu = _operation(
    "silu",
    1,
    lambda x: x * sigmoid(x),
    _silu_vjp,
    formula="x / (1 + e^-x)",
    source="Elfwing, Uchibe and Doya, Sigmoid-Weighted Linear Units, 2017",
)
softplus = _operation(
    "softplus",
    1,
    _softplus_forward,
    lambda g, y, x: (g * sigmoid(x),),
    formula="log(1 + e^x)",
    source="Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, 2000",
)
mish = _operation(
    "mish",
    1,
    lambda x: x * tanh(softplus(x)),
    _mish_vjp,
    formula="x tanh(log(1 + e^x))",
    source="Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019",
)
hard_tanh = _operation(
    "hard_tanh",
    1,
    lambda x: select(x, -1.0, -1.0, select(1.0, x, 1.0, x)),
    lambda g, y, x: (select(x, -1.0, 0.0, select(1.0, x, 0.0, g)),),
    formula="min(max(x, -1), 1)",
    source="Collobert, Large Scale Machine Learning, 2004",
)
logsumexp = _operation("logsumexp", None, _logsumexp_forward, lambda g, y, *xs: tuple(g * exp(x - y) for x in xs))

ACTIVATIONS: dict[str, Operation] = {
    row.name: row
    for row in (
        identity, relu, leaky_relu, elu, selu, gelu, gelu_exact, sigmoid, tanh, silu, softplus, mish, hard_tanh, sin,
    )
}  # fmt: skip
