"""What chosen trials have learned: the decision surface of two features, or the curve that was fitted to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Floats
from experiments.data.datasets import Dataset
from experiments.data.targets import CLASSIFICATION
from service.execution.plan import Plan
from service.inspection.models import network
from service.recording.gradgrid_model import GradgridModel
from service.recording.store import Store
from service.results.axes import NO_AXIS, Axis, display_name, format_value
from service.results.metrics import METRICS, PARAMS
from service.results.trials_table import best_trials, none_if_missing

_SIDE = 72  # points along a side of a surface
_ALONG = 200  # points of a fitted curve
_MARGIN = 0.12  # of the data's range, around it
_SURFACES = 6


@dataclass(frozen=True)
class Surface:
    """A trial's network over its data's range, and the data; features as they were given.

    x: (points,). y: (points,), none for a fitted curve. values: (y, x): from 0 to 1 how far the second of two classes
    is preferred, or the number of the preferred of several; for a curve (x,) the prediction. data: (samples, features).
    targets: (samples,).
    """

    title: str
    run_id: str
    x: Floats
    y: Floats | None
    values: Floats
    data: Floats
    targets: Floats
    names: tuple[str, ...]
    classes: tuple[str, ...]


def make_surfaces(store: Store, plan: Plan, table: pd.DataFrame, down: Axis) -> list[Surface]:
    """Of the best trial of each value of an axis, six at most; none where the data has more than two features."""
    data = plan.dataset
    if data.feature_count > 2 or (data.feature_count == 1 and data.task == CLASSIFICATION):
        return []
    if data.feature_count == 2 and data.task != CLASSIFICATION:
        return []
    surfaces = []
    for row in _chosen(table, plan.objective, down):
        trial = store.find_trial(str(row["run_id"]))
        architecture = plan.population(trial.number).architecture
        model = network(store, trial, data, architecture)
        surfaces.append(_surface(model, data, _title(row, plan.objective, down), trial.run_id))
    return surfaces


def _chosen(table: pd.DataFrame, metric: str, down: Axis) -> list[pd.Series]:
    """The best that has a run for each of the axis's values, in their order."""
    rows = table[table["run_id"].notna() & (table["outcome"] != DIVERGED)]
    if down is NO_AXIS:
        parts = [rows]
    else:
        parts = [rows[rows[PARAMS + down.name] == down.values[k]] for k in down.spread_indices(_SURFACES)]
    return [best for part in parts for _, best in best_trials(part, metric, 1).iterrows()]


def _title(row: pd.Series, metric: str, down: Axis) -> str:
    rate = none_if_missing(row.get(PARAMS + "learning_rate"))
    parts = [] if down is NO_AXIS else [format_value(row[PARAMS + down.name])]
    parts += [] if rate is None or down.name == "learning_rate" else [f"learning rate {rate:.3g}"]
    return ", ".join([*parts, f"{display_name(metric)} {row[METRICS + metric]:.3g}"])


def _surface(model: GradgridModel, data: Dataset, title: str, run_id: str) -> Surface:
    given = data.training_features * data.scale + data.center
    ranges = [_range(column) for column in given.T]
    if data.feature_count == 1:
        x = np.linspace(*ranges[0], _ALONG)
        values = model.outputs(x[:, None])[:, 0]
        return Surface(title, run_id, x, None, values, given, data.training_targets, data.feature_names, ())
    x, y = (np.linspace(low, high, _SIDE) for low, high in ranges)
    outputs = model.outputs(np.stack([part.ravel() for part in np.meshgrid(x, y)], axis=1))
    values = _preferred(outputs, model).reshape(_SIDE, _SIDE)
    return Surface(title, run_id, x, y, values, given, data.training_targets, data.feature_names, data.classes)


def _range(column: Floats) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    margin = _MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _preferred(outputs: Floats, model: GradgridModel) -> Floats:
    if outputs.shape[1] > 1:
        return np.asarray(outputs.argmax(axis=1), dtype=float)
    away = outputs[:, 0] - model.config["threshold"]
    slope = 1.0 if model.config["loss"] == "cross_entropy" else 4.0  # other outputs go from 0 or -1 to 1
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-slope * away)))
