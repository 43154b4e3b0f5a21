"""How training went: a word for each trial, and the step at which that began. docs/outcomes.md has the reasons.

The tests are made in the order of `classify`; each looks at the recorded points, so a word can only be as exact as they
are close. A trial that is not `diverged` is one of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.arrays import Floats
from engine.tensors import Tensor

OUTCOMES = ("converged", "improving", "stalled", "vanishing", "exploding", "dead", "diverged")
CONVERGED, IMPROVING, STALLED, VANISHING, EXPLODING, DEAD, DIVERGED = OUTCOMES

SOLVED = 0.01
"""Converged: this share of the initial loss is left."""
STATIONARY = 1e-3
"""Converged: this share of the initial gradient's norm is left (Kelley, Iterative Methods for Optimization, 1999)."""
HALVED = 0.5
"""A network that can vanish has converged by its gradient only if no more than this share of the loss is left."""
RISEN = 10.0
"""Exploding: the gradient's norm is so many times the initial one, and the loss is above its own."""
DEAD_SHARE = 0.5
"""Dead: such a share of a layer's units has no gradient (Amazon SageMaker Debugger, rule DeadRelu)."""
FADED = 0.01
"""Vanishing: the first layer's gradient, per weight, is this share of the last layer's."""
PROGRESS = 0.01
"""Improving: over the last quarter of the steps the loss has fallen by this share of itself."""

Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Outcomes:
    """codes: (trials,) indices into OUTCOMES. began: (trials,) the recorded step from which it was so to the end."""

    codes: np.ndarray[Any, np.dtype[np.int8]]
    began: Integers

    def name(self, trial: int) -> str:
        return OUTCOMES[self.codes[trial]]


def classify(
    steps: Integers,
    curves: Mapping[str, Floats],
    last_step: Integers,
    diverged: Flags,
    tensors: Sequence[Tensor],
) -> Outcomes:
    """The outcome of every trial, from curves of shape (trials, points); see `History`."""
    loss, gradient = curves["loss"], curves["grad_norm"]
    with np.errstate(all="ignore"):
        lasting = {
            EXPLODING: (gradient > RISEN * gradient[:, :1]) & (loss > loss[:, :1]),
            "solved": loss <= SOLVED * loss[:, :1],
            "all dead": _dead(curves, 1.0),
            IMPROVING: _improving(steps, loss),
            "half dead": _dead(curves, DEAD_SHARE),
            "faded by layer": _faded_by_layer(curves, tensors),
            "stationary": _stationary(loss, gradient, tensors),
            VANISHING: _can_vanish(tensors) & is_stationary(gradient, gradient[:, :1]),
            STALLED: np.abs(loss - loss[:, -1:]) <= PROGRESS * loss[:, -1:],
        }
    words = {
        "solved": CONVERGED,
        "all dead": DEAD,
        "half dead": DEAD,
        "faded by layer": VANISHING,
        "stationary": CONVERGED,
    }
    codes = np.full(len(loss), OUTCOMES.index(STALLED), dtype=np.int8)
    began = np.full(len(loss), steps[-1])
    undecided = ~diverged
    for name, holds in lasting.items():
        chosen = undecided & holds[:, -1]
        codes[chosen] = OUTCOMES.index(words.get(name, name))
        began[chosen] = steps[_since(holds[chosen])]
        undecided &= ~chosen
    codes[diverged] = OUTCOMES.index(DIVERGED)
    began[diverged] = (last_step + np.isfinite(loss[:, -1]))[diverged]
    return Outcomes(codes, began)


def _since(holds: Flags) -> Integers:
    """The column from which each row holds to its end."""
    backwards: Flags = holds[:, ::-1]
    broken = np.where(backwards.all(axis=1), holds.shape[1], np.argmin(backwards, axis=1))
    since: Integers = (holds.shape[1] - broken).astype(np.int64)
    return since


def _improving(steps: Integers, loss: Floats) -> Flags:
    """At the end: whether the loss fell over the last quarter. Before: whether it fell to the next point."""
    quarter = int(np.searchsorted(steps, 0.75 * steps[-1], side="right")) - 1
    falls = np.diff(loss, axis=1) < 0
    now = loss[:, -1:] < (1.0 - PROGRESS) * loss[:, quarter : quarter + 1]
    return np.concatenate([falls, now], axis=1)


def _dead(curves: Mapping[str, Floats], share: float) -> Flags:
    layers = [curve >= share for name, curve in curves.items() if name.startswith("dead_units.")]
    return np.logical_or.reduce(layers) if layers else np.zeros(curves["loss"].shape, dtype=bool)


def _can_vanish(tensors: Sequence[Tensor]) -> bool:
    return any(tensor.units for tensor in tensors)


def is_stationary(norm: Floats, initial: Floats) -> Flags:
    """Whether at most STATIONARY is left of the initial gradient's norm."""
    return norm <= STATIONARY * initial


def _stationary(loss: Floats, gradient: Floats, tensors: Sequence[Tensor]) -> Flags:
    """A small gradient is near the one minimum of a single linear layer; in a network it may be anywhere."""
    small = is_stationary(gradient, gradient[:, :1])
    return small & (loss <= HALVED * loss[:, :1]) if _can_vanish(tensors) else small


@dataclass(frozen=True)
class LayerGradients:
    """The gradient's norm per weight, norm / sqrt(size), of the first and of the last weight matrix of a network."""

    first: Tensor
    last: Tensor
    first_norm: Floats
    last_norm: Floats

    @property
    def has_faded(self) -> Flags:
        """Whether the gradient fades on its way back: the first layer's is at most FADED of the last layer's."""
        return self.first_norm <= FADED * self.last_norm


def layer_gradients(norms: Mapping[str, Floats], tensors: Sequence[Tensor]) -> LayerGradients | None:
    """The gradients that show whether one fades, or None for a network in which none can.

    norms: tensor name -> the norm of its gradient, of any shape.
    """
    matrices = [tensor for tensor in tensors if len(tensor.shape) > 1]
    if len(matrices) < 2 or not _can_vanish(tensors):
        return None
    first, last = matrices[0], matrices[-1]
    return LayerGradients(first, last, *(norms[t.name] / math.sqrt(t.size) for t in (first, last)))


def _faded_by_layer(curves: Mapping[str, Floats], tensors: Sequence[Tensor]) -> Flags:
    prefix = "grad_norm."
    norms = {name.removeprefix(prefix): curve for name, curve in curves.items() if name.startswith(prefix)}
    found = layer_gradients(norms, tensors)
    return np.zeros(curves["loss"].shape, dtype=bool) if found is None else found.has_faded
