"""Prefixes of metrics and hyperparameters in the trials' table, and the better direction of a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PARAMS, METRICS = "params.", "metrics."


_VALIDATION = "validation_"
_HIGHER_IS_BETTER = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "r2")


def metric_names(columns: Iterable[str]) -> list[str]:
    """Return the metrics of a trials' table, without prefix. columns: the table's."""
    return [column.removeprefix(METRICS) for column in columns if column.startswith(METRICS)]


def lower_is_better(metric: str) -> bool:
    """Return whether a smaller value of the metric is better."""
    return metric.removeprefix("test_").removeprefix(_VALIDATION) not in _HIGHER_IS_BETTER


def test_metric(metric: str) -> str:
    """Return the metric of the test part for one of the validation part; empty for another one."""
    return metric.replace(_VALIDATION, "test_", 1) if metric.startswith(_VALIDATION) else ""


def validation_metric(metric: str) -> str:
    """Return the metric of the validation part for one of the training or test part."""
    return f"{_VALIDATION}{metric.removeprefix('test_').removeprefix(_VALIDATION)}"


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Return whether `value` is better than `than`. NaN is never better; any other value is better than None."""
    if math.isnan(value):
        return False
    return than is None or (value < than if lower_is_better(metric) else value > than)


def outcome_counts(table: pd.DataFrame) -> dict[str, int]:
    """Return outcome -> number of trials, for all outcomes. table: see `service.results.trials_table`."""
    from experiments.stopping import TRIAL_OUTCOMES

    return {outcome: int((table["outcome"] == outcome).sum()) for outcome in TRIAL_OUTCOMES}
