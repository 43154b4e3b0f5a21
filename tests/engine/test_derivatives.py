"""Derivatives of derivatives, against closed forms, finite differences and the library `autograd`."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from engine import LOSSES, MLP, Parameter, Samples, derivatives, hessian, initial_weights, trace_hessian
from engine.arrays import Floats


def test_derivatives_of_a_polynomial_down_to_zero() -> None:
    x = Parameter(2.0)
    node, values = x * x * x, []
    for _ in range(4):
        (node,) = derivatives(node, [x]) if isinstance(node, Parameter) else (0.0,)
        values.append(float(node))
    assert values == [12.0, 12.0, 6.0, 0.0]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "gelu", "gelu_exact", "silu", "mish", "softplus", "sin"])
def test_second_derivatives_agree_with_differences_of_the_first(name: str) -> None:
    def first(at: float) -> float:
        x = Parameter(at)
        return float(derivatives(getattr(x, name)(), [x])[0])

    x = Parameter(0.37)
    (once,) = derivatives(getattr(x, name)(), [x])
    (twice,) = derivatives(once, [x])
    h = 1e-3
    difference = (8 * (first(0.37 + h) - first(0.37 - h)) - (first(0.37 + 2 * h) - first(0.37 - 2 * h))) / (12 * h)
    assert float(twice) == pytest.approx(difference, rel=1e-8)


def test_grad_is_left_alone_and_a_weight_without_influence_has_derivative_zero() -> None:
    x, y = Parameter(2.0), Parameter(3.0)
    product, nothing = derivatives(x * x, [x, y])
    assert (product.value, nothing, x.grad) == (4.0, 0.0, 0.0)


def _loss(weights: Floats, samples: Samples) -> float:
    w1, b1, w2, b2 = weights[:6].reshape(3, 2), weights[6:9], weights[9:12], weights[12]
    outputs = anp.dot(anp.tanh(anp.dot(samples.features, w1.T) + b1), w2) + b2
    return anp.mean((outputs - samples.targets[:, 0]) ** 2)  # type: ignore[no-any-return]


def test_the_hessian_of_a_network_is_that_of_an_independent_library(circle: Samples) -> None:
    weights = initial_weights((2, 3, 1), "normal", 4)
    ours = hessian(MLP((2, 3, 1)), LOSSES["mean_squared_error"], weights, circle)
    theirs = autograd.hessian(lambda w: _loss(w, circle))(weights)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_the_hessian_of_least_squares_is_exact(circle: Samples) -> None:
    inputs = np.column_stack([circle.features, np.ones(len(circle.features))])
    ours = hessian(MLP((2, 1)), LOSSES["mean_squared_error"], np.array([0.3, -0.1, 2.0]), circle)
    np.testing.assert_allclose(ours, 2.0 * inputs.T @ inputs / len(inputs), rtol=1e-14)


def test_the_hessian_is_a_program_with_loss_and_gradient() -> None:
    program = trace_hessian(MLP((1, 1)), LOSSES["mean_squared_error"], features=1, targets=1)
    assert program.output_names == ("loss", "gradient", "hessian")
    assert [len(values) for _, values in program.outputs] == [1, 2, 4]
