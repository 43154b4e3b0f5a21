"""Measures of trained networks that are no means over samples, by the definitions of scikit-learn.

They are computed from the outputs on the whole training or test part. Sums go over samples in order, so that a measure
is the same on every machine. Outputs have the shape (trials, samples, outputs). Measures of several targets are the
mean over the targets, as `multioutput="uniform_average"` of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import predict_trials
from engine.arrays import Array, Floats, Integers
from engine.operations import Scalar, exp, logsumexp
from experiments.architecture import Architecture
from experiments.data.datasets import Dataset, accuracy_threshold
from experiments.data.target_scale import as_columns
from experiments.data.targets import CLASSIFICATION, REGRESSION


@dataclass(frozen=True)
class Outputs:
    """The outputs of some trials on some samples.

    targets: (samples,), indices of classes; for regression (samples, targets), numbers.
    values: (trials, samples, outputs).
    predicted: (trials, samples) the index of the predicted class; for regression (trials, samples, targets), numbers.
    scores: (trials, samples, classes) a number that rises with the class; (trials, samples, 1) for two classes.
    """

    targets: Floats
    values: Floats
    predicted: Floats
    scores: Floats


@dataclass(frozen=True)
class Measure:
    """A measure. task: which data have it. function: returns its value for each trial, (trials,)."""

    task: str
    function: Callable[[Outputs], Floats]


def _counts(outputs: Outputs) -> tuple[Integers, Integers, Integers]:
    """Return for each class: right predictions and predictions, (trials, classes), and its samples, (classes,)."""
    classes = np.arange(int(max(outputs.targets.max(), outputs.predicted.max())) + 1)
    actual = outputs.targets[:, None] == classes
    predicted = outputs.predicted[:, :, None] == classes
    return (predicted & actual).sum(axis=1), predicted.sum(axis=1), actual.sum(axis=0)


def _balanced_accuracy(outputs: Outputs) -> Floats:
    """Return the mean over classes of the share of a class's samples that are right."""
    right, _, samples = _counts(outputs)
    there = samples > 0
    return _mean(right[:, there] / samples[there])


def _f1_macro(outputs: Outputs) -> Floats:
    """Return the mean of F1 over the classes that the targets or the predictions have."""
    right, predicted, samples = _counts(outputs)
    total = predicted + samples
    f1 = np.divide(2.0 * right, total, out=np.zeros(right.shape), where=total > 0)
    return np.asarray(_sum(f1) / (total > 0).sum(axis=1))


def _roc_auc(outputs: Outputs) -> Floats:
    """Return the area under the ROC curve; for several classes the mean over classes, each against the rest.

    It is the share of pairs of a sample of the class and another one whose scores are in the right order; a tie counts
    half (Mann and Whitney, 1947). NaN if a class has no samples or all.
    """
    positives = [1] if outputs.scores.shape[2] == 1 else range(outputs.scores.shape[2])
    areas = [_area(outputs.scores[:, :, k], outputs.targets == c) for k, c in enumerate(positives)]
    return _mean(np.stack(areas, axis=1))


def _area(scores: Floats, positive: Array) -> Floats:
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return np.full(len(scores), np.nan)
    order = np.sort(scores, axis=1)
    ranks = np.empty(scores.shape)
    for trial, (row, values) in enumerate(zip(order, scores, strict=True)):
        below, up_to = np.searchsorted(row, values, "left"), np.searchsorted(row, values, "right")
        ranks[trial] = (below + up_to + 1) / 2.0  # tied samples share the middle of their ranks
    wins = ranks[:, positive].sum(axis=1) - count * (count + 1) / 2.0  # exact: halves of whole numbers
    return np.where(np.isfinite(scores).all(axis=1), wins / (count * others), np.nan)


def _over_targets(of_one: Callable[[Floats, Floats], Floats]) -> Callable[[Outputs], Floats]:
    """Return a measure of several targets: the mean of that of each.

    of_one: (predictions (trials, samples), targets (samples,)) -> the measure of one target, (trials,).
    """

    def of_all(outputs: Outputs) -> Floats:
        count = outputs.targets.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # of a network that was about to diverge
            each = [of_one(outputs.predicted[:, :, k], outputs.targets[:, k]) for k in range(count)]
            return _mean(np.stack(each, axis=1))

    return of_all


def _r2(predicted: Floats, targets: Floats) -> Floats:
    """Return the share of the target's variance that is explained. A constant target: 1 if all are hit, else 0."""
    errors, targets = predicted - targets, targets[None]
    residual = _sum(errors * errors)
    distance = targets - _mean(targets)[:, None]
    total = _sum(distance * distance)
    constant = np.where(residual == 0, 1.0, 0.0)
    return np.where(total > 0, 1.0 - np.divide(residual, total, where=total > 0, out=np.zeros(len(residual))), constant)


def _mean_absolute_error(predicted: Floats, targets: Floats) -> Floats:
    """Return the mean distance of predictions and targets."""
    return _mean(np.abs(predicted - targets))


MEASURES: Mapping[str, Measure] = {
    "balanced_accuracy": Measure(CLASSIFICATION, _balanced_accuracy),
    "f1_macro": Measure(CLASSIFICATION, _f1_macro),
    "roc_auc": Measure(CLASSIFICATION, _roc_auc),
    "r2": Measure(REGRESSION, _over_targets(_r2)),
    "mean_absolute_error": Measure(REGRESSION, _over_targets(_mean_absolute_error)),
}
"""Name -> measure."""


def measured(names: Sequence[str], weights: Floats, architecture: Architecture, dataset: Dataset) -> dict[str, Floats]:
    """Return measures of trained networks on the training part, and with a prefix on the test and validation part.

    names: of the measures. weights: (trials, weights). The values are (trials,) each.
    """
    if not names:
        return {}
    parts = {"": (dataset.training_features, dataset.training_targets)}
    if len(dataset.test_targets):
        parts["test_"] = (dataset.test_features, dataset.test_targets)
    if len(dataset.validation_targets):
        parts["validation_"] = (dataset.validation_features, dataset.validation_targets)
    values = {}
    for prefix, (features, targets) in parts.items():
        outputs = _outputs(weights, features, targets, architecture, dataset)
        values.update({prefix + name: MEASURES[name].function(outputs) for name in names})
    return values


def _outputs(
    weights: Floats, features: Floats, targets: Floats, architecture: Architecture, dataset: Dataset
) -> Outputs:
    model, config = architecture.model(architecture.widths(dataset)), architecture.config
    has_classes, count = dataset.task == CLASSIFICATION, dataset.output_count
    is_softmax = has_classes and count > 1 and architecture.loss == "cross_entropy"
    transform = _with_probabilities if is_softmax else None
    every = predict_trials(model, weights, features, transform=transform, dtype=config.dtype, kernel=config.kernel)
    values, scores = every[:, :, :count], every[:, :, -count:]
    if not has_classes:
        numbers = values if dataset.target_scale is None else dataset.target_scale.in_units(values)
        return Outputs(as_columns(targets), values, numbers, scores)
    threshold = accuracy_threshold(architecture.loss, architecture.output)
    predicted = values.argmax(axis=2) if count > 1 else values[:, :, 0] > threshold
    return Outputs(targets, values, predicted.astype(float), scores)


def _with_probabilities(logits: Sequence[Scalar]) -> list[Any]:
    """Return logits, then the probabilities of the softmax."""
    return [*logits, *(exp(logit - logsumexp(*logits)) for logit in logits)]


def _sum(values: Floats) -> Floats:
    """Return the sum of each row, added from left to right."""
    return np.asarray(np.add.accumulate(values, axis=1)[:, -1])


def _mean(values: Floats) -> Floats:
    return np.asarray(_sum(values) / values.shape[1])
