"""The recorded curves of a shard as one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from engine import History
from engine.arrays import Integers
from experiments.spec import RecordSpec

if TYPE_CHECKING:
    import pandas as pd


def kept_curves(names: Iterable[str], record: RecordSpec) -> list[str]:
    """Return the names of the curves that are recorded. names: all curves. record: the sweep file's section."""
    return [name for name in names if _is_kept(name, record)]


def _is_kept(name: str, record: RecordSpec) -> bool:
    kind, _, tensor = name.partition(".")
    if kind in ("update_ratio", "dead_units"):
        return record.health == "tensor" or (record.health == "total" and not tensor)
    return not tensor or record.gradients != "norm"


def curve_points(history: History, numbers: Integers, record: RecordSpec) -> pd.DataFrame:
    """Return one row per recorded point: number, step, and every recorded metric.

    numbers: (trials,) the numbers of the history's trials. record: the sweep file's section.
    """
    import pandas as pd  # here, because workers import this module and do not need pandas

    steps = np.broadcast_to(history.steps, (history.trials, len(history.steps))).copy()
    is_recorded = steps < history.last_step[:, None]
    is_recorded[:, -1] = True
    steps[:, -1] = history.last_step
    return pd.DataFrame(
        {
            "number": np.broadcast_to(numbers[:, None], steps.shape)[is_recorded],
            "step": steps[is_recorded],
            **{name: history.curves[name][is_recorded] for name in kept_curves(history.curves, record)},
        }
    )
