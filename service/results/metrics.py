"""Names of metrics and hyperparameters in the trials' table, and which direction of a metric is better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PARAMS, METRICS = "params.", "metrics."


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of the metric is the better one."""
    return "accuracy" not in metric


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Whether `value` beats `than`; NaN beats nothing."""
    if math.isnan(value):
        return False
    return than is None or (value < than if lower_is_better(metric) else value > than)


def outcome_counts(table: pd.DataFrame) -> dict[str, int]:
    """How many trials came to each outcome."""
    from engine import OUTCOMES

    return {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES}
