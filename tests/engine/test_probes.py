"""Parts tried on ordinary numbers: which of them fail, and where."""

import numpy as np
import pytest

from engine import ACTIVATIONS, LOSSES
from engine.operations import div, exp, log, select, sqrt
from engine.probes import NUMBERS, loss_samples, probe_activation, probe_loss


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_a_built_in_activation_is_finite_everywhere(name: str) -> None:
    assert probe_activation(ACTIVATIONS[name]).failed == 0


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_built_in_loss_is_finite_everywhere(name: str, outputs: int) -> None:
    assert probe_loss(LOSSES[name], *loss_samples(outputs)).failed == 0


def test_zero_and_numbers_of_both_signs_are_tried() -> None:
    assert 0.0 in NUMBERS
    assert (NUMBERS.min(), NUMBERS.max()) == (-3.0, 3.0)


def test_the_first_input_that_fails_is_named_with_its_value() -> None:
    logarithm = probe_activation(log)
    assert logarithm.failed == sum(NUMBERS <= 0) == 13
    assert str(logarithm) == "its value at x = -3 is nan (13 of 25 inputs tried have no finite value and derivative)"
    assert str(probe_activation(lambda x: div(1.0, x))).startswith("its value at x = 0 is inf (1 of 25 ")
    assert str(probe_activation(lambda x: exp(700.0 * x))).startswith("its value at x = 1.25 is inf (8 of 25 ")


def test_a_derivative_that_fails_is_called_one() -> None:
    assert str(probe_activation(lambda x: sqrt(x * x))).startswith("its derivative at x = 0 is nan (1 of 25 ")
    assert probe_activation(lambda x: select(x, 0.0, 0.0, sqrt(x))).failed == 0
    assert str(probe_activation(lambda x: select(0.0, x, sqrt(x), 0.0))).startswith("its derivative at x = 0 is inf ")


def test_a_loss_is_tried_with_every_target() -> None:
    predictions, targets = np.array([[0.5], [0.0], [0.0]]), np.array([[1.0], [0.0], [1.0]])
    failed = probe_loss(lambda p, t: -(t[0] * log(p[0])), predictions, targets)
    assert (failed.tried, failed.failed) == (3, 2)
    assert failed.first == "its value at prediction = 0 and target = 0 is nan"
    several = probe_loss(lambda p, t: sqrt(p[0]) + p[1], np.array([[-1.0, 2.0]]), np.array([[1.0, 0.0]]))
    assert several.first == "its value at prediction = [-1, 2] and target = [1, 0] is nan"
