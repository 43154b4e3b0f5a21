"""Losses of one sample: functions of predictions and targets, two lists with one scalar for each output of the model.

All but the cross entropy are means over the outputs. So their mean over samples is the mean over all elements, as with
`reduction="mean"` in PyTorch.

>>> LOSSES["mean_squared_error"]([1.0, 3.0], [0.0, 1.0])
2.5
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from engine.operations import Scalar, absolute, greatest, logsumexp, maximum, minimum, select, softplus, total

Loss: TypeAlias = Callable[[Sequence[Scalar], Sequence[Scalar]], Any]
"""(predictions, targets) of one sample -> a scalar."""


def _mean(terms: Sequence[Scalar]) -> Any:
    return terms[0] if len(terms) == 1 else total(terms) * (1.0 / len(terms))


def mean_squared_error(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Return the mean of (p - t)^2.

    Gauss, Theoria Motus Corporum Coelestium, 1809 (least squares); PyTorch's MSELoss.
    """
    errors = [p - t for p, t in zip(predictions, targets, strict=True)]
    return _mean([error * error for error in errors])


def mean_absolute_error(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Return the mean of |p - t|.

    Boscovich's least absolute deviations, 1757; PyTorch's L1Loss.
    """
    return _mean([absolute(p - t) for p, t in zip(predictions, targets, strict=True)])


def huber(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Return the mean of e^2 / 2 where |e| <= 1, else |e| - 1/2, for e = p - t.

    Huber, Robust Estimation of a Location Parameter, 1964; PyTorch's HuberLoss with delta = 1.
    """
    sizes = [absolute(p - t) for p, t in zip(predictions, targets, strict=True)]
    # with c = min(|e|, 1) both branches are c (|e| - c/2)
    clipped = [minimum(size, 1.0) for size in sizes]
    return _mean([c * (size - 0.5 * c) for size, c in zip(sizes, clipped, strict=True)])


def hinge(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Return the mean of max(0, 1 - t p), for targets -1 and 1. Of several outputs, each is one class against the rest.

    Cortes and Vapnik, Support-Vector Networks, 1995 (the slack variables of the soft margin).
    """
    return _mean([maximum(1.0 - t * p, 0.0) for p, t in zip(predictions, targets, strict=True)])


def cross_entropy(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
    """Return the negative log-likelihood of the targets under logits z. It is stable for logits of any size.

    One output is binary, with target t = 0 or 1: log(1 + e^z) - t z. Several outputs are the logits of a softmax, with
    one-hot targets: logsumexp(z) - t . z.

    Bishop, Pattern Recognition and Machine Learning, 2006, equations 4.90 and 4.108; PyTorch's BCEWithLogitsLoss and
    CrossEntropyLoss.
    """
    if len(predictions) == 1:
        return softplus(predictions[0]) - targets[0] * predictions[0]
    logit_of_target = total([t * p for p, t in zip(predictions, targets, strict=True)])
    return logsumexp(*predictions) - logit_of_target


def weighted(loss: Loss) -> Loss:
    """Return a loss times the weight of the sample, which is the last of its targets.

    >>> weighted(mean_squared_error)([1.0], [3.0, 0.5])
    2.0
    """

    def weighted_loss(predictions: Sequence[Scalar], targets: Sequence[Scalar]) -> Any:
        return loss(predictions, targets[:-1]) * targets[-1]

    return weighted_loss


LOSSES: dict[str, Loss] = {
    loss.__name__: loss for loss in (mean_squared_error, mean_absolute_error, huber, hinge, cross_entropy)
}
"""Name -> loss."""


def correct(predictions: Sequence[Scalar], targets: Sequence[Scalar], threshold: float) -> Any:
    """Return 1 if the predicted class is the target's, else 0. The mean over samples is the accuracy.

    threshold: the middle between the two targets.

    With one output, the second class is predicted if the output exceeds the threshold. With several outputs, the class
    of the greatest output is predicted. A tie for the greatest counts as wrong.
    """
    if len(predictions) == 1:
        predicted = select(predictions[0], threshold, 0.0, 1.0)
        actual = select(targets[0], threshold, 0.0, 1.0)
        return 1.0 - absolute(predicted - actual)
    hits: Any = 0.0
    for k, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        others = [q for j, q in enumerate(predictions) if j != k]
        won = select(p, greatest(others), 0.0, 1.0)
        hits = hits + select(t, threshold, 0.0, won)
    return hits
