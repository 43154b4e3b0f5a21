"""Measures are those of scikit-learn, to the last digits."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from experiments.measures import MEASURES, Outputs
from experiments.sections import MEASURE_NAMES

_RNG = np.random.Generator(np.random.PCG64(5))


def _classes(classes: int, samples: int, trials: int = 6, *, ties: bool = False) -> tuple[Outputs, Any]:
    """Return outputs of trials, and the probabilities of their classes."""
    targets = _RNG.integers(classes, size=samples).astype(float)
    targets[:classes] = np.arange(classes)
    logits = _RNG.normal(size=(trials, samples, classes if classes > 2 else 1))
    logits = np.round(logits) if ties else logits
    if classes == 2:
        return Outputs(targets, logits, (logits[:, :, 0] > 0).astype(float), logits), logits[:, :, 0]
    scores = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return Outputs(targets, logits, logits.argmax(axis=2).astype(float), scores), scores


def _of(measure: str, outputs: Outputs) -> Any:
    return MEASURES[measure].function(outputs)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("classes", "samples"), [(2, 30), (3, 50), (5, 23), (2, 2)])
def test_measures_of_classes(classes: int, samples: int, ties: bool) -> None:
    outputs, scores = _classes(classes, samples, ties=ties)
    for trial, predicted in enumerate(outputs.predicted):
        expected = {
            "balanced_accuracy": metrics.balanced_accuracy_score(outputs.targets, predicted),
            "f1_macro": metrics.f1_score(outputs.targets, predicted, average="macro", zero_division=0),
            "roc_auc": metrics.roc_auc_score(outputs.targets, scores[trial], multi_class="ovr"),
        }
        for name, value in expected.items():
            assert _of(name, outputs)[trial] == pytest.approx(value, rel=1e-13), name


def test_classes_that_are_not_predicted_or_not_there() -> None:
    """A class without samples counts in F1 if a trial predicts it, and in no other trial."""
    targets = np.array([0.0, 0.0, 1.0, 1.0])
    predicted = np.array([[0.0, 1.0, 1.0, 1.0], [2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    outputs = Outputs(targets, predicted[:, :, None], predicted, predicted[:, :, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are not there
        for trial, row in enumerate(predicted):
            f1 = metrics.f1_score(targets, row, average="macro", zero_division=0)
            assert _of("f1_macro", outputs)[trial] == pytest.approx(f1)
            assert _of("balanced_accuracy", outputs)[trial] == pytest.approx(
                metrics.balanced_accuracy_score(targets, row)
            )
    only = Outputs(np.zeros(3), np.zeros((1, 3, 1)), np.zeros((1, 3)), np.zeros((1, 3, 1)))
    assert np.isnan(_of("roc_auc", only)).all()


@pytest.mark.parametrize(
    "targets",
    [
        _RNG.normal(size=(40, 1)),
        np.full((7, 1), 2.5),
        _RNG.normal(size=(40, 3)) * [1.0, 1e4, 1e-3],
        np.column_stack([_RNG.normal(size=9), np.full(9, 2.5)]),
    ],
)
def test_measures_of_numbers(targets: Any) -> None:
    """Those of several targets are the means over the targets, one of which may be constant."""
    predicted = np.stack([targets, targets + 0.5, _RNG.normal(size=targets.shape)])
    outputs = Outputs(targets, predicted, predicted, predicted)
    peers: dict[str, Callable[..., float]] = {
        "r2": metrics.r2_score, "mean_absolute_error": metrics.mean_absolute_error
    }  # fmt: skip
    for name, peer in peers.items():
        expected = [peer(targets, row) for row in predicted]
        np.testing.assert_allclose(_of(name, outputs), expected, rtol=1e-12, atol=1e-15)


def test_outputs_that_are_too_large_to_square_have_an_infinite_error() -> None:
    targets, predicted = np.array([[1.0, 2.0], [2.0, 4.0]]), np.full((1, 2, 2), 1e200)
    outputs = Outputs(targets, predicted, predicted, predicted)
    assert (_of("r2", outputs)[0], _of("mean_absolute_error", outputs)[0]) == (-np.inf, 1e200)


def test_the_names_of_the_sweep_file_are_those_of_the_measures() -> None:
    assert tuple(MEASURES) == MEASURE_NAMES
