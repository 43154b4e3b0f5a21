"""A sweep's curves as panels: the cells that get one, and their scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from engine.arrays import Floats
from engine.outcomes import DEAD, WILD
from service.report.panels import Line, Panel, ScaleRule, are_shared, panel_scales
from service.results.axes import NO_AXIS, Axis, cell_indices, format_value
from service.results.curves import SHARPNESS
from service.results.frame_choice import SMALLEST, Frame, choose_frames, describe
from service.results.metrics import METRICS
from service.results.phase_diagram import PhaseDiagram
from service.results.quantile_bands import Bands, Curves
from service.results.scales import Scale

_PANELS, _LINES, _TENSOR_COLUMNS, _TENSOR_ROWS = 6, 8, 3, 6
_CURVES = (
    ("validation_loss", "test_loss", "loss"),
    ("loss",),
    ("validation_accuracy", "test_accuracy", "accuracy"),
    ("grad_norm",),
    (SHARPNESS,),
    ("dead_units",),
)
_SHARES = ("accuracy", "dead_units")
_BY_TENSOR = "grad_norm."
_LIMIT = "The dashed line is 2 / learning rate: above it, gradient descent on a quadratic diverges."
_NOT_PLAIN = {"batch_size", "schedule", "weight_decay", "clip_value", "clip_norm", "warmup_steps", "drift"}
_LAYERS = ScaleRule(deepest=1e-6, least_decades=2.0)  # so that a small difference between layers looks small


@dataclass(frozen=True)
class CurveFrames:
    """Panels of one metric.

    panels: the panels.
    scales: the scale of each panel.
    columns: the number of panels in a row.
    choice: a sentence on the choice of panels; empty if all are shown.
    level: what the panels' horizontal lines are; empty if none has one.
    """

    panels: Sequence[Panel]
    scales: Sequence[Scale]
    columns: int
    choice: str
    level: str = ""

    @property
    def has_bands(self) -> bool:
        """Whether lines have quartiles."""
        return any(line.low is not None for panel in self.panels for line in panel.lines)

    @property
    def words(self) -> str:
        """Sentences on the choice of panels and on their scales."""
        scale = "All frames have one scale." if are_shared(self.scales) else "Each frame has its own scale."
        sentences = (self.choice, scale if len(self.panels) > 1 else "", _LIMIT if self.level else "")
        return " ".join(filter(None, sentences))


def make_curve_frames(
    curves: Curves, table: pd.DataFrame, phase: PhaseDiagram | None, params: Mapping[str, str], drawn: Sequence[str]
) -> dict[str, CurveFrames]:
    """Return metric -> panels: one for each chosen column of the phase diagram, with a line for each row.

    curves: the sweep's curves. table: see `service.results.trials_table`. phase: the phase diagram; None without axes.
    params: of the sweep's run (see `SweepInfo`).
    drawn: the axes whose values are the middles of intervals (see `in_intervals`).
    """
    columns, rows = _axes(phase)
    cells = cell_indices(table, columns, rows)
    frames = (choose_frames(phase, _PANELS) if phase else []) or [Frame(0)]
    choice = "" if phase is None else describe(frames, phase)
    by_metric = {}
    for metric in dict.fromkeys(next((n for n in names if n in curves.metrics), "") for names in _CURVES):
        if metric and (metric != "dead_units" or (table[METRICS + metric] > 0).any()):
            bands = curves.bands(metric, cells, rows.spread_indices(_LINES), [frame.column for frame in frames])
            panels = _panels(bands, frames, columns, rows)
            if metric == SHARPNESS and columns.name not in drawn:  # else its values are middles of intervals
                limits = [stability_limit(params, columns, frame.column) for frame in frames]
                panels = [replace(panel, level=limit) for panel, limit in zip(panels, limits, strict=True)]
            scales = panel_scales(panels, _rule(metric))
            seen = any(panel.level_on(scale) is not None for panel, scale in zip(panels, scales, strict=True))
            by_metric[metric] = CurveFrames(panels, scales, 3, choice, "2 / learning rate" if seen else "")
    return by_metric


def stability_limit(params: Mapping[str, str], columns: Axis, index: int) -> float | None:
    """Return the sharpness above which gradient descent diverges on a quadratic, 2 / learning rate.

    Source: Cohen et al., Gradient descent on neural networks typically occurs at the edge of stability, 2021.

    params: of the sweep's run (see `SweepInfo`).
    columns, index: an axis, and the index of its value.
    None if the trials are not trained by plain gradient descent on all samples, or not with one learning rate.
    """
    given = {name.removeprefix("grid.") for name in params}
    by_layer = any(name.startswith("learning_rate.") for name in given)
    is_sgd = params.get("optimizer", "sgd") == "sgd" and "grid.optimizer" not in params
    if not is_sgd or by_layer or {name.partition(".layer")[0] for name in given} & _NOT_PLAIN:
        return None
    if columns.name == "learning_rate":
        return 2 / float(columns.values[index])
    return 2 / float(params["learning_rate"]) if "learning_rate" in params else None


def make_gradient_frames(curves: Curves, table: pd.DataFrame, phase: PhaseDiagram | None) -> CurveFrames | None:
    """Return a panel for each row and chosen column, with a line for each layer's weights; None without such curves.

    curves, table, phase: as in `make_curve_frames`.
    """
    tensors = [name for name in curves.metrics if name.startswith(_BY_TENSOR) and name.endswith(".weight")]
    if not tensors:
        return None
    columns, rows = _axes(phase)
    cells = cell_indices(table, columns, rows)
    row_indices = rows.spread_indices(_TENSOR_ROWS)
    by_row = [_frames_of_row(phase, row) for row in row_indices]
    if not any(by_row):
        by_row = [[Frame(0)] for _ in row_indices]
    panels = []
    for row, frames in zip(row_indices, by_row, strict=True):
        column_indices = [frame.column for frame in frames]
        by_layer = {_layer(name): curves.bands(name, cells, [row], column_indices) for name in tensors}
        for j, frame in enumerate(frames):
            panels.append(_layers_panel(by_layer, j, _title((rows, row), (columns, frame.column)), frame))
    each = "" if rows is NO_AXIS else f", for each {rows.label}"
    choice = "" if phase is None else describe([frame for frames in by_row for frame in frames], phase, each)
    return CurveFrames(panels, panel_scales(panels, _LAYERS), max(2, *map(len, by_row)), choice)


def _frames_of_row(phase: PhaseDiagram | None, row: int) -> list[Frame]:
    if phase is None:
        return [Frame(0)]
    return choose_frames(phase.row(row), _TENSOR_COLUMNS, first=SMALLEST, lost_outcomes=(*WILD, DEAD))


def _rule(metric: str) -> ScaleRule:
    if metric.endswith(_SHARES):
        return ScaleRule(logarithmic=False)
    return ScaleRule(deepest=1e-6) if metric == "grad_norm" else ScaleRule()


def _axes(phase: PhaseDiagram | None) -> tuple[Axis, Axis]:
    return (NO_AXIS, NO_AXIS) if phase is None else (phase.columns, phase.rows)


def _panels(bands: Bands, frames: Sequence[Frame], columns: Axis, rows: Axis) -> list[Panel]:
    return [
        Panel(
            _value(columns, frame.column),
            bands.steps,
            tuple(
                Line(
                    format_value(rows.values[row]), i, bands.middle[i, j], bands.low[i, j], bands.high[i, j],
                    _finite_part(bands.calm[:, i, j]),
                )
                for i, row in enumerate(bands.rows)
            ),
            frame.reasons,
        )
        for j, frame in enumerate(frames)
    ]  # fmt: skip


def _layers_panel(by_layer: Mapping[str, Bands], j: int, title: str, frame: Frame) -> Panel:
    lines = [
        Line(layer, index, bands.middle[0, j], calm=_finite_part(bands.calm[1, 0, j]))
        for index, (layer, bands) in enumerate(by_layer.items())
    ]
    return Panel(title, next(iter(by_layer.values())).steps, tuple(lines), frame.reasons)


def _finite_part(values: Floats) -> Floats | None:
    return values if np.isfinite(values).any() else None


def _layer(metric: str) -> str:
    name = metric.removeprefix(_BY_TENSOR).removesuffix(".weight")
    return name.replace("layer", "layer ")


def _title(*values: tuple[Axis, int]) -> str:
    return ", ".join(_value(axis, index) for axis, index in values if axis is not NO_AXIS)


def _value(axis: Axis, index: int) -> str:
    if axis is NO_AXIS:
        return ""
    value = format_value(axis.values[index])
    return f"{axis.label} {value}" if axis.is_numeric else value
