"""Losses and their gradients, against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.metrics

from engine import LOSSES, Parameter
from engine.losses import correct

_P = [0.3, -1.5, 2.5]
_T = [1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_squared_error", (0.7**2 + 0.5**2 + 2.5**2) / 3),
        ("mean_absolute_error", (0.7 + 0.5 + 2.5) / 3),
        ("huber", (0.7**2 / 2 + 0.5**2 / 2 + 2.5 - 0.5) / 3),
        ("hinge", (0.7 + 0.0 + 1.0) / 3),
    ],
)
def test_value_averaged_over_outputs(name: str, expected: float) -> None:
    assert LOSSES[name](_P, _T) == pytest.approx(expected, rel=1e-15)


def test_cross_entropy_is_scikit_learns_log_loss() -> None:
    logits = np.array([[0.2, -1.0, 3.0], [2.0, 0.1, -0.3]])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ours = [LOSSES["cross_entropy"](list(z), list(t)) for z, t in zip(logits, np.eye(3)[[2, 1]], strict=True)]
    assert np.mean(ours) == pytest.approx(sklearn.metrics.log_loss([2, 1], probabilities, labels=[0, 1, 2]), rel=1e-14)
    assert LOSSES["cross_entropy"]([0.4], [1.0]) == pytest.approx(math.log1p(math.exp(-0.4)), rel=1e-15)


@pytest.mark.parametrize("logit", [-1e5, -800.0, 800.0, 1e5])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_binary_cross_entropy_and_its_gradient_for_huge_logits(logit: float, target: float) -> None:
    z = Parameter(logit)
    loss = LOSSES["cross_entropy"]([z], [target])
    loss.backward()
    right = (logit > 0) == (target == 1)
    assert loss.value == (0.0 if right else abs(logit))
    assert z.grad == (0.0 if right else math.copysign(1.0, logit))


def test_softmax_cross_entropy_for_huge_logits() -> None:
    zs = [Parameter(1e5), Parameter(-1e5)]
    loss = LOSSES["cross_entropy"](zs, [0.0, 1.0])
    loss.backward()
    assert loss.value == 2e5
    assert [z.grad for z in zs] == [1.0, -1.0]


@pytest.mark.parametrize("error", [-3.0, -1.0, -0.4, 0.0, 0.4, 1.0, 3.0])
def test_the_gradient_of_huber_is_the_clipped_error(error: float) -> None:
    p = Parameter(error)
    LOSSES["huber"]([p], [0.0]).backward()
    assert p.grad == pytest.approx(min(max(error, -1.0), 1.0), abs=1e-15)


def test_correct_is_one_where_the_right_class_is_predicted() -> None:
    assert [correct([p], [t], 0.5) for p, t in [(0.9, 1.0), (0.9, 0.0), (0.1, 0.0), (0.5, 1.0)]] == [1, 0, 1, 0]
    assert correct([2.0], [-1.0], 0.0) == 0
    assert correct([0.1, 0.9, -3.0], [0.0, 1.0, 0.0], 0.0) == 1
    assert correct([0.1, 0.9, -3.0], [1.0, 0.0, 0.0], 0.0) == 0
    assert correct([0.7, 0.7, 0.1], [1.0, 0.0, 0.0], 0.0) == 0  # a tie is no prediction
