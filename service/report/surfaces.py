"""The functions that the best networks learned: a decision surface of two features, or a curve over one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine import DIVERGED
from engine.arrays import Floats
from experiments.data.datasets import Dataset
from experiments.data.target_scale import as_columns
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
    """The output of a trial's network over the range of its data, and the data. Features are not standardised.

    title: the trial's axis value, its target if there are several, learning rate and metric.
    run_id: the trial's run.
    x: (points,) values of the first feature.
    y: (points,) values of the second feature; None for a curve.
    values: (y, x) the preference for the second of two classes, from 0 to 1, or the index of the predicted class of
        several; for a curve (x,) the prediction.
    data: (samples, features) the training samples.
    targets: (samples,) their targets; of several the one that is shown.
    names: the features' names.
    classes: the classes' names; empty for a curve.
    target: the name of the target that a curve shows; empty if it is the only one.
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
    target: str = ""


def make_surfaces(store: Store, plan: Plan, table: pd.DataFrame, axis: Axis) -> list[Surface]:
    """Return the surface of the best trial of each value of an axis, at most six. Each target has a curve of its own.

    Empty unless the data are a classification with two features or a regression with one.

    store: where the sweep is recorded.
    plan: the sweep's plan.
    table: see `service.results.trials_table`.
    axis: the axis; NO_AXIS for the best trial alone.
    """
    data = plan.dataset
    if data.feature_count > 2 or (data.feature_count == 1 and data.task == CLASSIFICATION):
        return []
    if data.feature_count == 2 and data.task != CLASSIFICATION:
        return []
    surfaces: list[Surface] = []
    shown = max(1, _SURFACES // len(data.target_names))
    for row in _best_rows(table, plan.objective, axis, shown):
        trial = store.find_trial(str(row["run_id"]))
        population = plan.population(trial.number)
        data = plan.datasets[population.dataset]
        model = network(store, trial, data, population.architecture)
        if data.feature_count == 1:
            surfaces += _curves(model, data, row, plan.objective, axis)
        else:
            surfaces.append(_surface(model, data, _title(row, plan.objective, axis), trial.run_id))
    return surfaces[:_SURFACES]


def _best_rows(table: pd.DataFrame, metric: str, axis: Axis, count: int) -> list[pd.Series]:
    """Return the row of the best trial with a run for some values of the axis, in the axis's order.

    count: the largest number of values.
    """
    rows = table[table["run_id"].notna() & (table["outcome"] != DIVERGED)]
    if axis is NO_AXIS:
        groups = [rows]
    else:
        groups = [rows[rows[PARAMS + axis.name] == axis.values[k]] for k in axis.spread_indices(count)]
    return [best for group in groups for _, best in best_trials(group, metric, 1).iterrows()]


def _title(row: pd.Series, metric: str, axis: Axis, target: str = "") -> str:
    rate = none_if_missing(row.get(PARAMS + "learning_rate"))
    parts = [] if axis is NO_AXIS else [format_value(row[PARAMS + axis.name])]
    parts += [target] if target else []
    parts += [] if rate is None or axis.name == "learning_rate" else [f"learning rate {rate:.3g}"]
    return ", ".join([*parts, f"{display_name(metric)} {row[METRICS + metric]:.3g}"])


def _surface(model: GradgridModel, data: Dataset, title: str, run_id: str) -> Surface:
    features = data.training_features * data.scale + data.center
    ranges = [_range(column) for column in features.T]
    x, y = (np.linspace(low, high, _SIDE) for low, high in ranges)
    outputs = model.outputs(np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1))
    values = _preferred(outputs, model).reshape(_SIDE, _SIDE)
    return Surface(title, run_id, x, y, values, features, data.training_targets, data.feature_names, data.classes)


def _curves(model: GradgridModel, data: Dataset, row: pd.Series, metric: str, axis: Axis) -> list[Surface]:
    """Return the curve of each target over the only feature."""
    features = data.training_features * data.scale + data.center
    x = np.linspace(*_range(features[:, 0]), _ALONG)
    values, targets = model.outputs(x[:, None]), as_columns(data.training_targets)
    curves = []
    for k, name in enumerate(data.target_names if len(data.target_names) > 1 else [""]):
        title, run_id = _title(row, metric, axis, name), str(row["run_id"])
        curve = Surface(title, run_id, x, None, values[:, k], features, targets[:, k], data.feature_names, (), name)
        curves.append(curve)
    return curves


def _range(column: Floats) -> tuple[float, float]:
    """Return the range of a feature's values with a margin."""
    low, high = float(column.min()), float(column.max())
    margin = _MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _preferred(outputs: Floats, model: GradgridModel) -> Floats:
    """Return `Surface.values` of a classifier's outputs: (points, outputs)."""
    if outputs.shape[1] > 1:
        return np.asarray(outputs.argmax(axis=1), dtype=float)
    margin = outputs[:, 0] - model.config["threshold"]
    slope = 1.0 if model.config["loss"] == "cross_entropy" else 4.0  # other outputs range from 0 or -1 to 1
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-slope * margin)))
