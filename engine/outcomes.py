"""Outcomes: one word for how a trial's training went, and the step at which this began.

docs/outcomes.md has the definitions and the reasons. `classify` tests the definitions in order, and the first that fits
is the outcome. It looks at the recorded points only, so an onset is as exact as the points are close.

>>> steps = np.array([0, 10, 20, 30])
>>> curves = {"loss": np.array([[1.0, 0.5, 0.005, 0.004]]), "grad_norm": np.ones((1, 4))}
>>> outcomes = classify(steps, curves, np.array([30]), np.array([False]), ())
>>> outcomes.name(0), outcomes.onset_step
('converged', array([20]))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Codes, Flags, Floats, Integers
from engine.program import DEAD_UNITS, GRAD_NORM
from engine.tensors import Tensor

OUTCOMES = ("converged", "improving", "stalled", "vanishing", "exploding", "dead", "diverged")
CONVERGED, IMPROVING, STALLED, VANISHING, EXPLODING, DEAD, DIVERGED = OUTCOMES

WILD = (EXPLODING, DIVERGED)
"""Outcomes of trials whose values would hide those of all others on a scale."""

CONVERGED_LOSS_RATIO = 0.01
"""Converged: the loss is at most this share of the initial loss."""
STATIONARY_GRAD_RATIO = 1e-3
"""Converged: the gradient's norm is at most this share of the initial one (Kelley, Iterative Methods for Optimization,
1999)."""
CONVERGED_MAX_LOSS_RATIO = 0.5
"""In a network whose gradient can vanish, a small gradient means converged only if the loss is at most this share."""
EXPLODING_GRAD_RATIO = 10.0
"""Exploding: the gradient's norm is more than this multiple of the initial one, and the loss has risen."""
DEAD_SHARE = 0.5
"""Dead: at least this share of a layer's units has no gradient (Amazon SageMaker Debugger, rule DeadRelu)."""
VANISHING_LAYER_RATIO = 0.01
"""Vanishing: the first layer's gradient, per weight, is at most this share of the last layer's."""
IMPROVING_MIN_DROP = 0.01
"""Improving: the loss has fallen by more than this share over the last quarter of the steps."""


@dataclass(frozen=True)
class Outcomes:
    """The outcome of every trial.

    codes: (trials,) positions in OUTCOMES.
    onset_step: (trials,) the first recorded step from which the outcome's definition holds until the end.
    """

    codes: Codes
    onset_step: Integers

    def name(self, trial: int) -> str:
        """Return the outcome of a trial."""
        return OUTCOMES[self.codes[trial]]


def classify(
    steps: Integers,
    curves: Mapping[str, Floats],
    last_step: Integers,
    diverged: Flags,
    tensors: Sequence[Tensor],
) -> Outcomes:
    """Return the outcome of every trial.

    steps: (points,) the recorded steps.
    curves: metric -> (trials, points). `loss` and `grad_norm` are required; gradient norms of tensors and dead units of
    layers are used if they are there.
    last_step: (trials,) number of updates that led to the final weights.
    diverged: (trials,) whether the loss or the weights became infinite or NaN.
    tensors: the model's tensors.
    """
    loss, gradient = curves["loss"], curves["grad_norm"]
    with np.errstate(all="ignore"):
        conditions = {
            EXPLODING: (gradient > EXPLODING_GRAD_RATIO * gradient[:, :1]) & (loss > loss[:, :1]),
            "solved": loss <= CONVERGED_LOSS_RATIO * loss[:, :1],
            "all dead": _dead(curves, 1.0),
            IMPROVING: _improving(steps, loss),
            "half dead": _dead(curves, DEAD_SHARE),
            "faded by layer": _faded_by_layer(curves, tensors),
            "stationary": _stationary(loss, gradient, tensors),
            VANISHING: _can_vanish(tensors) & is_stationary(gradient, gradient[:, :1]),
            STALLED: np.abs(loss - loss[:, -1:]) <= IMPROVING_MIN_DROP * loss[:, -1:],
        }
    outcome_of = {
        "solved": CONVERGED,
        "all dead": DEAD,
        "half dead": DEAD,
        "faded by layer": VANISHING,
        "stationary": CONVERGED,
    }
    codes = np.full(len(loss), OUTCOMES.index(STALLED), dtype=np.int8)
    onset_step = np.full(len(loss), steps[-1])
    undecided = ~diverged
    for name, holds in conditions.items():
        matches = undecided & holds[:, -1]
        codes[matches] = OUTCOMES.index(outcome_of.get(name, name))
        onset_step[matches] = steps[_since(holds[matches])]
        undecided &= ~matches
    codes[diverged] = OUTCOMES.index(DIVERGED)
    onset_step[diverged] = (last_step + np.isfinite(loss[:, -1]))[diverged]
    return Outcomes(codes, onset_step)


def _since(holds: Flags) -> Integers:
    """Return the column from which each row is True until its end."""
    backwards: Flags = holds[:, ::-1]
    length = np.where(backwards.all(axis=1), holds.shape[1], np.argmin(backwards, axis=1))
    since: Integers = (holds.shape[1] - length).astype(np.int64)
    return since


def _improving(steps: Integers, loss: Floats) -> Flags:
    """Return flags, (trials, points).

    The last point's says whether the loss fell over the last quarter of the steps, the others' whether the next loss is
    lower.
    """
    quarter = int(np.searchsorted(steps, 0.75 * steps[-1], side="right")) - 1
    falls = np.diff(loss, axis=1) < 0
    now = loss[:, -1:] < (1.0 - IMPROVING_MIN_DROP) * loss[:, quarter : quarter + 1]
    return np.concatenate([falls, now], axis=1)


def _dead(curves: Mapping[str, Floats], share: float) -> Flags:
    layers = [curve >= share for name, curve in curves.items() if name.startswith(f"{DEAD_UNITS}.")]
    return np.logical_or.reduce(layers) if layers else np.zeros(curves["loss"].shape, dtype=bool)


def _can_vanish(tensors: Sequence[Tensor]) -> bool:
    return any(tensor.units for tensor in tensors)


def is_stationary(norm: Floats, initial: Floats) -> Flags:
    """Return whether gradient norms are at most STATIONARY_GRAD_RATIO of the initial ones, which broadcast."""
    return norm <= STATIONARY_GRAD_RATIO * initial


def _stationary(loss: Floats, gradient: Floats, tensors: Sequence[Tensor]) -> Flags:
    """Return where the gradient is so small that training converged.

    In a single linear layer, a small gradient is near the only minimum. In a network, the loss must be small too.
    """
    small = is_stationary(gradient, gradient[:, :1])
    return small & (loss <= CONVERGED_MAX_LOSS_RATIO * loss[:, :1]) if _can_vanish(tensors) else small


@dataclass(frozen=True)
class LayerGradients:
    """Gradient norms per weight, norm / sqrt(size), of the first and the last weight matrix of a network.

    first, last: the matrices.
    first_norm, last_norm: their gradients' norms per weight, of any shape.
    """

    first: Tensor
    last: Tensor
    first_norm: Floats
    last_norm: Floats

    @property
    def has_faded(self) -> Flags:
        """Return whether the first layer's norm is at most VANISHING_LAYER_RATIO of the last layer's."""
        return self.first_norm <= VANISHING_LAYER_RATIO * self.last_norm


def layer_gradients(norms: Mapping[str, Floats], tensors: Sequence[Tensor]) -> LayerGradients | None:
    """Return the gradient norms of the first and the last layer; None for a network whose gradient can't vanish.

    norms: tensor name -> norms of its gradient, of any shape.
    tensors: the network's tensors.
    """
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1]
    if len(matrices) < 2 or not _can_vanish(tensors):
        return None
    first, last = matrices[0], matrices[-1]
    return LayerGradients(first, last, *(norms[t.name] / math.sqrt(t.size) for t in (first, last)))


def _faded_by_layer(curves: Mapping[str, Floats], tensors: Sequence[Tensor]) -> Flags:
    prefix = f"{GRAD_NORM}."
    norms = {name.removeprefix(prefix): curve for name, curve in curves.items() if name.startswith(prefix)}
    gradients = layer_gradients(norms, tensors)
    return np.zeros(curves["loss"].shape, dtype=bool) if gradients is None else gradients.has_faded
