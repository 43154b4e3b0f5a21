"""The spread of initial weights, and their seeds."""

import math

import numpy as np
import pytest

from engine import INITIALIZERS, initial_weights


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        ("he_normal", math.sqrt(2 / 300)),
        ("he_uniform", math.sqrt(2 / 300)),
        ("xavier_normal", math.sqrt(2 / 500)),
        ("xavier_uniform", math.sqrt(2 / 500)),
        ("lecun_normal", math.sqrt(1 / 300)),
        ("lecun_uniform", math.sqrt(1 / 300)),
        ("normal", 1.0),
        ("uniform", math.sqrt(1 / 3)),
    ],
)
def test_weights_have_the_spread_of_their_initializer(initializer: str, deviation: float) -> None:
    weights = initial_weights((300, 200), initializer, seed=1)[:-200]
    assert np.std(weights) == pytest.approx(deviation, rel=0.02)
    assert abs(np.mean(weights)) < 0.02 * deviation
    if initializer.endswith("uniform"):
        assert np.abs(weights).max() <= deviation * math.sqrt(3)


def test_biases_and_zeros_start_at_zero_and_scale_multiplies_the_rest() -> None:
    assert not initial_weights((3, 4, 1), "zeros", 0).any()
    weights = initial_weights((3, 4), "normal", 7)
    assert not weights[12:].any()
    assert (initial_weights((3, 4), "normal", 7, scale=0.5) == 0.5 * weights).all()


@pytest.mark.parametrize("initializer", sorted(set(INITIALIZERS) - {"zeros"}))
def test_the_seed_decides(initializer: str) -> None:
    widths = (4, 3, 2)
    assert (initial_weights(widths, initializer, 1) == initial_weights(widths, initializer, 1)).all()
    assert (initial_weights(widths, initializer, 1) != initial_weights(widths, initializer, 2)).any()
