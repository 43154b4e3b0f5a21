"""Sweeps that train some trials for fewer steps than the sweep file says: by halving, or by early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine import OUTCOMES
from engine.arrays import Floats, Integers
from experiments.errors import SpecError
from experiments.sections import EarlyStoppingSpec
from experiments.source import SpecSource

if TYPE_CHECKING:
    from experiments.spec import Spec

STOPPED = "stopped"
"""The outcome of a trial that ended before the last step of the sweep file, and had neither exploded nor diverged."""

TRIAL_OUTCOMES = (*OUTCOMES, STOPPED)
"""Every outcome of a trial of a sweep."""

UNDECIDED = 0
"""In place of a trial's steps: it is not known yet how many it is trained for."""


def stops_trials(spec: Spec) -> bool:
    """Return whether some trials may end before the last step."""
    return spec.search.has_rungs or spec.early_stopping is not None


def check_stopping(specs: Sequence[Spec], source: SpecSource) -> None:
    """Raise SpecError for sections that do not go together with halving or early stopping.

    specs: the sweep file, and the same after each of its extensions.
    """
    stopping = [spec for spec in specs if stops_trials(spec)]
    if not stopping:
        return
    key = "search" if stopping[0].search.has_rungs else "early_stopping"
    name = stopping[0].search.method if key == "search" else key
    if key == "search" and stopping[0].early_stopping is not None:
        raise _error(source, "early_stopping", f"{name} stops trials itself; leave early_stopping or search out")
    if stopping[0].refine is not None:
        raise _error(source, "refine", f"refine needs every trial's outcome at the last step; leave {name} out")
    if len(specs) > 1:
        why = "which trials go on depends on all of them" if key == "search" else "its trials end at steps of their own"
        raise _error(source, key, f"a sweep with {name} can't be extended: {why}; start a new sweep")


def _error(source: SpecSource, key: str, message: str) -> SpecError:
    return SpecError(f"{source.location((key,))}: {message}")


def stopping_steps(looks: Integers, values: Floats, rule: EarlyStoppingSpec) -> Integers:
    """Return the step at which each trial stops, (trials,): the first look at which it has not improved for too long.

    looks: (looks,) the steps at which the metric was looked at; the first is 0.
    values: (trials, looks) of the metric; less is better. NaN from the look on at which a trial had diverged.
    rule: how long. UNDECIDED stands for a trial that goes on; one that diverged stops at the first look after that.
    """
    best = values[:, 0]
    since = np.zeros(len(values), dtype=np.int64)
    stops = np.full(len(values), UNDECIDED, dtype=np.int64)
    for k, look in enumerate(looks[1:].tolist(), 1):
        better = values[:, k] < best - rule.min_delta
        best, since = np.where(better, values[:, k], best), np.where(better, look, since)
        over = (look - since >= rule.patience) | np.isnan(values[:, k])
        stops[over & (stops == UNDECIDED)] = look
    return stops
