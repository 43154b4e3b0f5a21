"""Which of a history's curves are recorded, and all of a shard's as one table."""

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
    """Those of the curves that are recorded."""
    return [name for name in names if _is_kept(name, record)]


def _is_kept(name: str, record: RecordSpec) -> bool:
    kind, _, part = name.partition(".")
    if kind in ("update_ratio", "dead_units"):
        return record.health == "tensor" or (record.health == "total" and not part)
    return not part or record.gradients != "norm"


def curve_points(history: History, numbers: Integers, record: RecordSpec) -> pd.DataFrame:
    """A row a recorded point: number, step, and every recorded metric; `numbers` are the trials'."""
    import pandas as pd  # not above: workers import this module, and need no pandas

    steps = np.broadcast_to(history.steps, (history.trials, len(history.steps))).copy()
    lived = steps < history.last_step[:, None]
    lived[:, -1] = True
    steps[:, -1] = history.last_step
    return pd.DataFrame(
        {
            "number": np.broadcast_to(numbers[:, None], steps.shape)[lived],
            "step": steps[lived],
            **{name: history.curves[name][lived] for name in kept_curves(history.curves, record)},
        }
    )
