"""Standardise targets: each has mean 0 and standard deviation 1 in the training part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Array, Floats
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.standards import is_constant, standards
from experiments.data.tables import Table
from experiments.data.targets import CLASSIFICATION
from experiments.errors import DataError, quoted

_KEY = "standardize_target"


@dataclass(frozen=True)
class TargetScale:
    """The mean and the standard deviation of each target in the training part, (targets,)."""

    center: Floats
    scale: Floats

    def standardized(self, targets: Floats) -> Floats:
        """Return targets, (samples, targets), as a network learns them."""
        return np.asarray((targets - self.center) / self.scale)

    def in_units(self, outputs: Floats) -> Floats:
        """Return outputs of networks, (..., targets), in the units of the targets."""
        with np.errstate(over="ignore"):
            return np.asarray(outputs * self.scale + self.center)

    @property
    def facts(self) -> dict[str, list[float]]:
        """The numbers as plain values for JSON. `from_facts` reads them."""
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Sequence[float]]) -> TargetScale:
        """Return the scale with these facts."""
        return cls(np.array(facts["center"]), np.array(facts["scale"]))


def fit_targets(table: Table, training: Array, spec: DatasetSpec) -> TargetScale | None:
    """Return the scale of the targets; None if they stay as they are.

    Several targets are standardised, for the loss is the mean over all of them, whatever their units. A single one is
    standardised if the spec says so.

    training: indices of the training rows.
    Raises DataError for classes, and for numbers too large to standardise.
    """
    if table.task == CLASSIFICATION:
        if spec.standardize_target is not None:
            raise DataError(f"{table.name}: the target has classes, which are not standardised; remove the key", _KEY)
        return None
    wanted = len(table.target_names) > 1 if spec.standardize_target is None else spec.standardize_target
    if not wanted:
        return None
    center, scale = standards(as_columns(table.targets)[training])
    for name, size in zip(table.target_names, center + scale, strict=True):
        if not np.isfinite(size):
            raise DataError(
                f"{table.name}: the target {quoted(name)} has numbers too large to standardise; give them in a larger "
                "unit"
            )
    return TargetScale(center, scale)


def as_columns(targets: Floats) -> Floats:
    """Return numbers to predict with a column for each target: (samples, targets). A single target is (samples,)."""
    return targets[:, None] if targets.ndim == 1 else targets


def target_notes(table: Table, training: Array) -> Iterator[str]:
    """Yield a note for each target that is constant in the training part."""
    if table.task == CLASSIFICATION:
        return
    flat = is_constant(as_columns(table.targets)[training])
    for name, constant in zip(table.target_names, flat, strict=True):
        if constant:
            yield f"the target {quoted(name)} is constant in the training part, so there is nothing to learn about it"
