"""The activations: operations of one number, written in primitives, each with its formula and its source.

>>> relu(-2.0), relu(3.0)
(0.0, 3.0)
>>> gelu.formula
'x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))'
"""

from __future__ import annotations

import math

from engine.primitives import (
    Operation,
    Scalar,
    define_operation,
    div,
    erf,
    exp,
    expm1,
    log1p,
    maximum,
    minimum,
    select,
    sin,
    tanh,
)

_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715
_INV_SQRT_2 = math.sqrt(0.5)
_INV_SQRT_2_PI = 1.0 / math.sqrt(2.0 * math.pi)
_LEAKY_SLOPE = 0.01
# Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14; the digits are PyTorch's
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


identity = define_operation(
    "identity",
    1,
    _identity_forward,
    lambda g, y, x: (g,),
    formula="x",
    source="Widrow and Hoff, Adaptive Switching Circuits, 1960: the linear unit",
)
relu = define_operation(
    "relu",
    1,
    lambda x: select(x, 0.0, 0.0, x),
    lambda g, y, x: (select(x, 0.0, 0.0, g),),
    formula="max(x, 0)",
    source="Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010",
)
leaky_relu = define_operation(
    "leaky_relu",
    1,
    lambda x: select(x, 0.0, _LEAKY_SLOPE * x, x),
    lambda g, y, x: (select(x, 0.0, _LEAKY_SLOPE * g, g),),
    formula="x if x > 0 else 0.01 x",
    source="Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013",
)
elu = define_operation(
    "elu",
    1,
    lambda x: select(x, 0.0, expm1(_negative_part(x)), x),
    lambda g, y, x: (g * select(x, 0.0, y + 1.0, 1.0),),
    formula="x if x > 0 else e^x - 1",
    source="Clevert, Unterthiner and Hochreiter, "
    "Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs), 2015, with alpha = 1",
)
selu = define_operation(
    "selu",
    1,
    lambda x: select(x, 0.0, (_SELU_SCALE * _SELU_ALPHA) * expm1(_negative_part(x)), _SELU_SCALE * x),
    lambda g, y, x: (g * select(x, 0.0, y + _SELU_SCALE * _SELU_ALPHA, _SELU_SCALE),),
    formula="1.0507 (x if x > 0 else 1.6733 (e^x - 1))",
    source="Klambauer et al., Self-Normalizing Neural Networks, 2017, equations 2 and 14",
)
gelu = define_operation(
    "gelu",
    1,
    lambda x: 0.5 * x * (1.0 + _gelu_tanh(x)),
    _gelu_vjp,
    formula="x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))",
    source="Hendrycks and Gimpel, Gaussian Error Linear Units (GELUs), 2016: the form with tanh",
)
gelu_exact = define_operation(
    "gelu_exact",
    1,
    lambda x: x * _normal_cdf(x),
    _gelu_exact_vjp,
    formula="x/2 (1 + erf(x/√2))",
    source="Hendrycks and Gimpel, Gaussian Error Linear Units (GELUs), 2016: the form with erf",
)
sigmoid: Operation = define_operation(
    "sigmoid",
    1,
    _sigmoid_forward,
    lambda g, y, x: (g * (y * (1.0 - y)),),
    template=("σ(", 0, ")"),
    formula="1 / (1 + e^-x)",
    source="Rumelhart, Hinton and Williams, Learning Representations by Back-Propagating Errors, 1986",
)
silu = define_operation(
    "silu",
    1,
    lambda x: x * sigmoid(x),
    _silu_vjp,
    formula="x / (1 + e^-x)",
    source="Elfwing, Uchibe and Doya, "
    "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement Learning, 2017; "
    "Ramachandran, Zoph and Le, Searching for Activation Functions, 2017: swish with beta = 1",
)
softplus = define_operation(
    "softplus",
    1,
    _softplus_forward,
    lambda g, y, x: (g * sigmoid(x),),
    formula="log(1 + e^x)",
    source="Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, 2000",
)
mish = define_operation(
    "mish",
    1,
    lambda x: x * tanh(softplus(x)),
    _mish_vjp,
    formula="x tanh(log(1 + e^x))",
    source="Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019",
)
hard_tanh = define_operation(
    "hard_tanh",
    1,
    lambda x: select(x, -1.0, -1.0, select(1.0, x, 1.0, x)),
    lambda g, y, x: (select(x, -1.0, 0.0, select(1.0, x, 0.0, g)),),
    formula="min(max(x, -1), 1)",
    source="Collobert, Large Scale Machine Learning, 2004",
)

ACTIVATIONS: dict[str, Operation] = {
    row.name: row
    for row in (
        identity, relu, leaky_relu, elu, selu, gelu, gelu_exact, sigmoid, tanh, silu, softplus, mish, hard_tanh, sin,
    )
}  # fmt: skip
"""Name -> activation."""
