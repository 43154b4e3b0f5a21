"""What the field knows of small networks holds for the engine's: edges and levels that theory gives as numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine import (
    LOSSES,
    MLP,
    OPTIMIZERS,
    Parameter,
    Samples,
    Score,
    Tensor,
    initial_weights,
    sharpness,
    trace_step,
    train,
)
from engine.arrays import Floats
from engine.operations import cos

_MSE = LOSSES["mean_squared_error"]
_UNITS = 16


def _linear() -> MLP:
    """Return a network f = v . u x / sqrt(n), as Lewkowycz et al. 2020 do."""
    return MLP([1, _UNITS, 1], "identity", bias=False, gain=[1.0, _UNITS**-0.5])


def _near_zero(seed: int) -> Floats:
    """Return weights drawn from N(0, 1), the second layer's moved so that the output is 0.001 for x = 1."""
    weights = initial_weights([1, _UNITS, 1], "normal", seed, bias=False)
    first, second = weights[:_UNITS], weights[_UNITS:]
    second += first * (0.001 * _UNITS**0.5 - first @ second) / (first @ first)
    return weights


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_network_is_catapulted_between_twice_and_four_times_the_inverse_curvature(seed: int) -> None:
    """Lewkowycz et al. 2020: the loss falls, rises and then falls, or explodes; the edges are at 2 and 4."""
    sample, start = Samples(np.ones((1, 1)), np.zeros((1, 1))), _near_zero(seed)
    (curvature,) = sharpness(_linear(), _MSE, start[None], sample)
    products = np.linspace(0.05, 5.0, 199)
    products = products[(np.abs(products - 2) > 0.01) & (np.abs(products - 4) > 0.01)]
    program = trace_step(_linear(), _MSE, OPTIMIZERS["sgd"], features=1, targets=1)
    rates = {"learning_rate": products / curvature}
    peak = (Score("peak", "max", "loss_ratio"),)
    history = train(program, np.tile(start, (len(products), 1)), rates, sample, steps=1000, points=2, scores=peak)
    rose = history.scores["peak"] > 1.0
    trained = ~history.diverged & (history.final("loss") < 1e-12)
    calm, catapult, lost = products < 2, (products > 2) & (products < 4), products > 4
    assert not rose[calm].any()
    assert trained[calm].all()
    assert rose[catapult].all()
    assert trained[catapult].mean() > 0.9  # a few rates throw it too far
    assert history.diverged[lost].all()
    flatness = sharpness(_linear(), _MSE, history.weights[trained], sample) * rates["learning_rate"][trained]
    assert (flatness < 2).all()
    np.testing.assert_allclose(flatness[products[trained] < 2], products[trained & calm], rtol=1e-3)


class _Ripple:
    """One weight w, whose loss is w^2 + depth cos(2 pi w / length)."""

    tensors = (Tensor("weight", (1,)),)

    def __init__(self, depth: float, length: float) -> None:
        self.weight, self.depth, self.length = Parameter(1.0), depth, length

    def parameters(self) -> list[Parameter]:
        return [self.weight]

    def __call__(self, inputs: object) -> list[Parameter]:
        w = self.weight
        return [w * w + self.depth * cos(w * (2.0 * np.pi / self.length))]


def _output(outputs: Sequence[Any], targets: Sequence[Any]) -> Any:
    """A loss that is the model's output."""
    return outputs[0]


def _edges(roughness: float, rates: int) -> int:
    """Return how often the fate changes along a range of learning rates; a weight that exceeds 1e6 is lost.

    roughness: depth / length^2, in units of that at which the loss ceases to be convex, 1 / (2 pi^2).
    """
    model = _Ripple(depth=roughness * 4.0 / (2.0 * np.pi**2), length=2.0)
    program = trace_step(model, _output, OPTIMIZERS["sgd"], features=1, targets=1)
    columns = {"learning_rate": np.linspace(0.9, 1.5, rates)}
    none = Samples(np.zeros((1, 1)), np.zeros((1, 1)))
    history = train(program, np.ones((rates, 1)), columns, none, steps=2000, points=2)
    lost = history.diverged | ~(np.abs(history.weights[:, 0]) < 1e6)
    return int((lost[1:] != lost[:-1]).sum())


def test_the_edge_of_one_weight_is_rough_if_its_loss_is_not_convex() -> None:
    """Liu 2024, arXiv:2406.13971: the transition is where a cosine makes the loss non-convex.

    A rough edge shows more of itself to a finer grid of learning rates; a smooth one is a single point.
    """
    assert [_edges(0.5, rates) for rates in (1000, 8000)] == [1, 1]
    coarse, fine = (_edges(2.0, rates) for rates in (1000, 8000))
    assert coarse > 10
    assert fine > 3 * coarse


@pytest.mark.parametrize("units", [1, 2, 3])
def test_relu_networks_are_born_dead_as_often_as_theory_says(units: int) -> None:
    """A layer of N units without biases is silent for one input with probability 2^-N, if the layer below is not.

    So L layers have a silent one with probability 1 - (1 - 2^-N)^L, and then no weight has a gradient. Lu et al. 2019
    (arXiv:1903.06733) prove that it tends to 1 with the depth for all inputs.
    """
    seeds = 1000
    sample = Samples(np.ones((1, 1)), np.ones((1, 1)))
    for depth in (1, 2, 4, 8):
        widths = [1, *[units] * depth, 1]
        program = trace_step(MLP(widths, "relu", bias=False), _MSE, OPTIMIZERS["sgd"], features=1, targets=1)
        starts = np.stack([initial_weights(widths, "he_normal", seed, bias=False) for seed in range(seeds)])
        history = train(program, starts, {"learning_rate": np.full(seeds, 0.1)}, sample, steps=1, points=2)
        dead = (history.curves["grad_norm"][:, 0] == 0).mean()
        expected = 1 - (1 - 0.5**units) ** depth
        assert abs(dead - expected) < 4 * np.sqrt(expected * (1 - expected) / seeds), depth


def test_the_sharpness_of_gradient_descent_rises_to_twice_the_inverse_rate_and_stays() -> None:
    """Cohen et al. 2021: at the edge of stability the largest eigenvalue of the Hessian hovers at 2 / learning rate.

    The data are 20 points of a Chebyshev polynomial.
    """
    widths, rates = [1, 12, 1], np.array([0.1, 0.2, 0.3])
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    samples = Samples(x, 8 * x**4 - 8 * x**2 + 1)
    program = trace_step(MLP(widths, "tanh"), _MSE, OPTIMIZERS["sgd"], features=1, targets=1)
    start = np.tile(initial_weights(widths, "lecun_normal", 0), (3, 1))

    model = MLP(widths, "tanh")
    assert (sharpness(model, _MSE, start, samples) * rates < 1.7).all()
    losses = []
    for steps in (10_000, 20_000, 20_001):
        history = train(program, start, {"learning_rate": rates}, samples, steps=steps, points=2)
        np.testing.assert_allclose(sharpness(model, _MSE, history.weights, samples) * rates, 2.0, rtol=0.02)
        losses.append(history.final("loss"))
    assert (losses[1] < 0.6 * losses[0]).all()
