"""Which curves are recorded, and which of their points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine import History
from engine.arrays import Flags, Integers
from experiments.sections import RecordSpec

SHARPNESS = "sharpness"
"""The curve that `record.sharpness` asks for. It is not one of the program's."""


def kept_curves(names: Iterable[str], record: RecordSpec) -> list[str]:
    """Return the names of the curves that are recorded. names: all curves. record: the sweep file's section."""
    return [name for name in names if _is_kept(name, record)]


def _is_kept(name: str, record: RecordSpec) -> bool:
    kind, _, tensor = name.partition(".")
    if kind in ("update_ratio", "dead_units"):
        return record.health == "tensor" or (record.health == "total" and not tensor)
    return not tensor or record.gradients != "norm"


def recorded_points(history: History) -> tuple[Integers, Flags]:
    """Return the step of each point of a history, and whether it is recorded, (trials, points) each.

    The last point is that of the final weights, so its step is the trial's last. Points after it are not recorded.
    """
    step = np.broadcast_to(history.steps, (history.trials, len(history.steps))).copy()
    is_recorded = step < history.last_step[:, None]
    is_recorded[:, -1] = True
    step[:, -1] = history.last_step
    return step, is_recorded
