"""What a sweep shows in MLflow: its description and its heat map."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from engine import DIVERGED
from service.plan import Plan
from service.records import as_text, lower_is_better
from service.table import METRICS, PARAMS, leaderboard, shown_params

_LISTED = 10
_LARGEST = 14.0  # inches of a picture's side
_MAX_LABELS = 30  # along a side
_FARTHEST = 1e100  # what lies beyond has the colour of this; a scale up to the largest double can't be drawn


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
    lines = [f"[The {len(table):,} trials]({trials}), of which {diverged:,} diverged. The best by {metric}:", ""]
    lines += ["| " + " | ".join([metric, *names]) + " |", "|" + "---|" * (len(names) + 1)]
    for _, row in leaderboard(table, metric, _LISTED).iterrows():
        value = f"{row[METRICS + metric]:.6g}"
        link = value if pd.isna(row["run_id"]) else f"[{value}]({trials}/{row['run_id']})"
        lines.append("| " + " | ".join([link, *(short(row[PARAMS + name]) for name in names)]) + " |")
    return "\n".join(lines)


def short(value: Any) -> str:
    """A cell: six digits of a number, nothing where there is nothing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def pictures(plan: Plan, table: pd.DataFrame) -> Mapping[str, bytes]:
    """File name -> PNG: the heat map over two axes, where two are swept."""
    axes = _picture_axes(plan, table)
    if axes is None or not table[METRICS + plan.objective].notna().any():
        return {}
    return {"heat_map.png": heat_map(table, *axes, plan.objective, plan.name)}


def _picture_axes(plan: Plan, table: pd.DataFrame) -> tuple[str, str] | None:
    """Learning rate across and activation down where they are swept, else the first two axes that aren't the seed."""
    names = [name for name in shown_params(table.columns, list(plan.sweepable.axes)) if name != "seed"]
    preferred = [name for name in ("learning_rate", "activation", "output") if name in names]
    chosen = list(dict.fromkeys([*preferred, *names]))[:2]
    return (chosen[0], chosen[1]) if len(chosen) == 2 else None


def heat_map(table: pd.DataFrame, across: str, down: str, metric: str, title: str) -> bytes:
    """A PNG: the median of the metric over all else that is swept; hatched where more than half diverged."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    value = table[METRICS + metric].where(table["outcome"] != DIVERGED)
    cells = table.assign(value=value, lost=value.isna()).groupby([PARAMS + down, PARAMS + across])
    medians = cells["value"].median().where(cells["lost"].mean() <= 0.5).unstack()
    numbers = medians.to_numpy(dtype=float)
    finite = numbers[np.isfinite(numbers)]
    logarithmic = lower_is_better(metric) and finite.size > 0 and finite.min() > 0
    if logarithmic:
        numbers = np.clip(numbers, 1 / _FARTHEST, _FARTHEST)
    height, width = numbers.shape
    size = min(max(5.0, 0.42 * width + 3), _LARGEST), min(max(2.4, 0.42 * height + 1.6), _LARGEST)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="#dddddd")
    axes.patch.set(hatch="////", edgecolor="#aaaaaa")
    colours = "viridis_r" if lower_is_better(metric) else "viridis"
    image = axes.imshow(numbers, aspect="auto", cmap=colours, norm=LogNorm() if logarithmic else Normalize())
    across_shown, down_shown = _labelled(width), _labelled(height)
    axes.set_xticks(
        across_shown, [_tick(medians.columns[k]) for k in across_shown], rotation=60, ha="right", fontsize=8
    )
    axes.set_yticks(down_shown, [_tick(medians.index[k]) for k in down_shown], fontsize=9)
    axes.set_xlabel(across.replace("_", " "))
    axes.set_title(f"{title}: median {metric.replace('_', ' ')}", fontsize=11)
    figure.colorbar(image, ax=axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _labelled(count: int) -> range:
    """Which of the cells are labelled: all, or as many as can be read."""
    return range(0, count, math.ceil(count / _MAX_LABELS))


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
