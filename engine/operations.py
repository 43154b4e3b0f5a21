"""The table of operations: each operation once, with its forward computation and its derivative rule.

An operation is called on *scalars*. A scalar is a Python number, a NumPy array (one value for each trial or sample), a
`Parameter` of a graph or a `Symbol` of a trace. An operation works in the same way on all of them. `primitives.py` has
the operations that compute with NumPy. `activations.py` has those that are written in primitives, so a kernel needs to
know the primitives only. Derivative rules are written in operations too. So they can be traced into a program, and
differentiated again.

The derivative rule is a vector-Jacobian product: `vjp(gradient, output, *operands)` returns for each operand
gradient * (d output / d operand), or None if the operand's value has no influence.

>>> sigmoid(0.0)
0.5
>>> sigmoid.vjp(1.0, 0.5, 0.0)
(0.25,)
"""

from __future__ import annotations

from engine.activations import (
    ACTIVATIONS,
    elu,
    gelu,
    gelu_exact,
    hard_tanh,
    identity,
    leaky_relu,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
)
from engine.primitives import (
    OPERATIONS,
    PRIMITIVES,
    Operand,
    Operation,
    Scalar,
    absolute,
    add,
    cos,
    define_operation,
    div,
    erf,
    exp,
    expm1,
    floor,
    fma,
    greatest,
    log,
    log1p,
    maximum,
    minimum,
    mul,
    neg,
    power,
    select,
    sin,
    sqrt,
    sub,
    tanh,
    total,
)

__all__ = [
    "ACTIVATIONS", "OPERATIONS", "PRIMITIVES", "Operand", "Operation", "Scalar", "absolute", "add", "cos", "div", "elu",
    "erf", "exp", "expm1", "floor", "fma", "gelu", "gelu_exact", "greatest", "hard_tanh", "identity", "leaky_relu",
    "log", "log1p", "logsumexp", "maximum", "minimum", "mish", "mul", "neg", "power", "relu", "select", "selu",
    "sigmoid", "silu", "sin", "softplus", "sqrt", "sub", "tanh", "total",
]  # fmt: skip


def _logsumexp_forward(*xs: Scalar) -> Scalar:
    """Return log(e^x1 + e^x2 + ...).

    Shifted by the greatest x (Blanchard, Higham and Higham, Accurately Computing the Log-Sum-Exp and Softmax Functions,
    2021).
    """
    shift = greatest(xs)  # exp never overflows
    return shift + log(total([exp(x - shift) for x in xs]))


logsumexp = define_operation("logsumexp", None, _logsumexp_forward, lambda g, y, *xs: tuple(g * exp(x - y) for x in xs))
