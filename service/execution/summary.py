"""What a sweep's own run says of it in MLflow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED
from service.execution.plan import Plan
from service.recording.links import run_link
from service.recording.pages import SweepPages
from service.results.cells import format_cell, markdown_table
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import as_text, best_trials, none_if_missing, shown_params

_LISTED, _DIGITS = 10, 6
_MARKUP = re.compile(r"[^\w\s.,+-]|\n|(?<![^\W_])_|_(?![^\W_])")  # what may mean something to a renderer of Markdown


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


def description(plan: Plan, experiment_id: str, table: pd.DataFrame, pages: SweepPages) -> str:
    """The sweep run's description, in Markdown: where the trials are, and the best of them."""
    metric = plan.objective
    names = shown_params(table.columns, plan.swept)
    how = "`gradgrid report` puts a page of all of it into the artifacts, under `report/`."
    rows = []
    for _, row in best_trials(table, metric, _LISTED).iterrows():
        value = format_cell(float(row[METRICS + metric]), _DIGITS)
        link = value if pd.isna(row["run_id"]) else f"[{value}]({run_link('', experiment_id, row['run_id'])})"
        rows.append([link, *(_as_cell(row[PARAMS + name]) for name in names)])
    head = f"{_trials_text(table, pages)} The best by {metric}:"
    return "\n".join([head, "", markdown_table([metric, *names], rows), "", how])


def _trials_text(table: pd.DataFrame, pages: SweepPages) -> str:
    diverged = int((table["outcome"] == DIVERGED).sum())
    finished = len(table) - diverged
    if pages.trials == pages.run:
        return f"{len(table):,} trials: {finished:,} finished, {diverged:,} diverged."
    best = f"[best first]({pages.trials}), [as charts]({pages.charts})"
    return f"[The {len(table):,} trials]({pages.all_trials}): {finished:,} finished ({best}), {diverged:,} diverged."


def _as_cell(value: Any) -> str:
    """A value in a Markdown table, its signs as plain text."""
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", format_cell(none_if_missing(value), _DIGITS))
