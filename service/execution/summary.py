"""What a sweep's own run says of it in MLflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.execution.plan import Plan
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import as_text, best_trials, shown_params

_LISTED = 10


def sweep_params(plan: Plan) -> dict[str, str]:
    """The spec in a few words a key, for the sweep's run."""
    sweepable = plan.sweepable
    fixed = {name: as_text(value) for name, value in sweepable.fixed.items()}
    axes = {f"grid.{name}": _axis_text(values) for name, values in sweepable.axes.items()}
    return {"dataset": plan.dataset.name, **fixed, **axes}


def _axis_text(values: Sequence[Any]) -> str:
    if len(values) <= _LISTED:
        return ", ".join(map(as_text, values))
    return f"{len(values)} values, {as_text(values[0])} to {as_text(values[-1])}"


def description(plan: Plan, experiment_id: str, table: pd.DataFrame) -> str:
    """The sweep run's description, in Markdown: where the trials are, and the best of them."""
    metric = plan.objective
    diverged = int((table["outcome"] == DIVERGED).sum())
    names = shown_params(table.columns, list(plan.sweepable.axes))
    trials = f"#/experiments/{experiment_id}/runs"
    how = "`gradgrid report` puts a page of all of it into the artifacts, under `report/`."
    lines = [f"[The {len(table):,} trials]({trials}), of which {diverged:,} diverged. The best by {metric}:", ""]
    lines += ["| " + " | ".join([metric, *names]) + " |", "|" + "---|" * (len(names) + 1)]
    for _, row in best_trials(table, metric, _LISTED).iterrows():
        value = f"{row[METRICS + metric]:.6g}"
        link = value if pd.isna(row["run_id"]) else f"[{value}]({trials}/{row['run_id']})"
        lines.append("| " + " | ".join([link, *(short(row[PARAMS + name]) for name in names)]) + " |")
    return "\n".join([*lines, "", how])


def short(value: Any) -> str:
    """A cell: six digits of a number, nothing where there is nothing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)
