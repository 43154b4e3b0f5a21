"""Losses of one sample: functions of predictions and targets, lists as long as the model has outputs.

They average over outputs, so the mean over samples is the mean over all elements, as PyTorch's `reduction="mean"`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.operations import Scalar, absolute, logsumexp, maximum, minimum, select, softplus

Loss = Callable[[Sequence[Scalar], Sequence[Scalar]], Any]


def _mean(terms: Sequence[Scalar]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total if len(terms) == 1 else total * (1.0 / len(terms))


def mean_squared_error(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """(p - t)^2."""
    errors = [p - t for p, t in zip(predictions, targets, strict=True)]
    return _mean([error * error for error in errors])


def mean_absolute_error(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """|p - t|."""
    return _mean([absolute(p - t) for p, t in zip(predictions, targets, strict=True)])


def huber(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """e^2 / 2 where |e| <= 1, else |e| - 1/2 (Huber, Robust Estimation of a Location Parameter, 1964)."""
    sizes = [absolute(p - t) for p, t in zip(predictions, targets, strict=True)]
    # with c = min(|e|, 1) both branches are c (|e| - c/2)
    clipped = [minimum(size, 1.0) for size in sizes]
    return _mean([c * (size - 0.5 * c) for size, c in zip(sizes, clipped, strict=True)])


def hinge(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """max(0, 1 - t p), for targets -1 and 1; several outputs stand one against the rest."""
    return _mean([maximum(1.0 - t * p, 0.0) for p, t in zip(predictions, targets, strict=True)])


def cross_entropy(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Negative log-likelihood from logits, stable for logits of any size.

    One output: binary, target 0 or 1: log(1 + e^z) - t z. Several: softmax, one-hot targets: logsumexp(z) - t . z.
    """
    if len(predictions) == 1:
        return softplus(predictions[0]) - targets[0] * predictions[0]
    chosen = targets[0] * predictions[0]
    for p, t in zip(predictions[1:], targets[1:], strict=True):
        chosen = chosen + t * p
    return logsumexp(*predictions) - chosen


LOSSES: dict[str, Loss] = {
    loss.__name__: loss for loss in (mean_squared_error, mean_absolute_error, huber, hinge, cross_entropy)
}


def correct(predictions: Sequence[Scalar], targets: Sequence[Scalar], threshold: float) -> Any:
    """1 where the predicted class is the target's, else 0; the mean over samples is the accuracy.

    One output: the class is whether it exceeds `threshold`, the middle between the two targets. Several: the class is
    the greatest output; a tie for the greatest counts as wrong where it is not the target's alone.
    """
    if len(predictions) == 1:
        predicted = select(predictions[0], threshold, 0.0, 1.0)
        actual = select(targets[0], threshold, 0.0, 1.0)
        return 1.0 - absolute(predicted - actual)
    hits: Any = 0.0
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        others = [q for j, q in enumerate(predictions) if j != k]
        rival = others[0]
        for q in others[1:]:
            rival = maximum(rival, q)
        won = select(p, rival, 0.0, 1.0)
        hits = hits + select(t, threshold, 0.0, won)
    return hits
