"""The params and the description of a sweep's own run in MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from engine import DIVERGED
from experiments.axis import Interval
from service.execution.plan import Plan
from service.recording.links import run_link
from service.recording.pages import SweepPages
from service.results.cells import format_cell, markdown_table
from service.results.leaderboard import RunIds
from service.results.metrics import METRICS, PARAMS, outcome_counts
from service.results.table_values import as_text
from service.results.trials_table import best_trials, none_if_missing, shown_params

_LISTED, _DIGITS = 10, 6
_MARKUP = re.compile(r"[^\w\s.,+-]|\n|(?<![^\W_])_|_(?![^\W_])")  # signs that Markdown may give a meaning


def sweep_params(plan: Plan) -> dict[str, str]:
    """Return the spec as params, a few words each."""
    resolved = plan.resolved
    fixed = {name: as_text(value) for name, value in resolved.fixed.items()}
    axes = {f"grid.{name}": _axis_text(values) for name, values in resolved.axes.items()}
    search = {"search": method} if (method := resolved.spec.search.method) != "grid" else {}
    refine = {"refine": f"to {resolved.spec.refine.to}"} if resolved.spec.refine else {}
    return {"dataset": plan.dataset.name, **fixed, **search, **refine, **axes}


def extension_params(plan: Plan, recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the params that the last extension adds to those of the sweep's run, which can't change."""
    extensions = plan.resolved.spec.extensions
    axes = {name: value for name, value in sweep_params(plan).items() if name.startswith("grid.")}
    new = {name: value for name, value in axes.items() if name not in recorded}
    return {**new, f"extend.{len(extensions)}": " ".join(extensions[-1])}


def _axis_text(values: Sequence[Any]) -> str:
    if isinstance(values, Interval):
        return str(values)
    if len(values) <= _LISTED:
        return ", ".join(map(as_text, values))
    return f"{len(values)} values, {as_text(values[0])} to {as_text(values[-1])}"


def description(plan: Plan, experiment_id: str, table: pd.DataFrame, pages: SweepPages, run_ids: RunIds) -> str:
    """Return the description of the sweep's run, in Markdown: links to its trials, and a table of the best.

    experiment_id: of the experiment that holds the trials.
    table: the main columns of the trials' table.
    pages: the sweep's pages in MLflow.
    run_ids: returns the runs of trials by their numbers.
    """
    metric = plan.objective
    names = shown_params(table.columns, plan.swept)
    hint = "`gradgrid report` puts a page on the whole sweep into the artifacts, under `report/`."
    best, rows = best_trials(table, metric, _LISTED), []
    for (_, row), run_id in zip(best.iterrows(), run_ids(best["number"].tolist()), strict=True):
        value = format_cell(float(row[METRICS + metric]), _DIGITS)
        link = value if run_id is None else f"[{value}]({run_link('', experiment_id, run_id)})"
        rows.append([link, *(_as_cell(row[PARAMS + name]) for name in names)])
    head = f"{_trials_text(table, pages)} The best by {metric}:"
    return "\n".join([head, "", markdown_table([metric, *names], rows), "", hint])


def _trials_text(table: pd.DataFrame, pages: SweepPages) -> str:
    diverged = int((table["outcome"] == DIVERGED).sum())
    finished = len(table) - diverged
    if pages.trials == pages.run:
        return f"{len(table):,} trials: {finished:,} finished, {diverged:,} diverged."
    best = f"[best first]({pages.trials}), [as charts]({pages.charts})"
    return f"[The {len(table):,} trials]({pages.all_trials}): {finished:,} finished ({best}), {diverged:,} diverged."


def _as_cell(value: Any) -> str:
    """Return a value for a cell of a Markdown table, with its signs escaped."""
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", format_cell(none_if_missing(value), _DIGITS))


def sweep_metrics(table: pd.DataFrame, objective: str, seconds: float) -> dict[str, float]:
    """Return the metrics of the sweep's own run. table: of its trials. seconds: that it took, resumptions included."""
    outcomes = outcome_counts(table)
    metrics = {"trials": len(table), "finished": len(table) - outcomes[DIVERGED], "seconds": seconds, **outcomes}
    for _, best in best_trials(table, objective, 1).iterrows():
        metrics[f"best_{objective}"] = float(best[METRICS + objective])
    return metrics
