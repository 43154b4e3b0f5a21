"""What a report shows, gathered from the store: numbers alone, for whatever draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import yaml

from experiments.errors import NotFoundError, UntrustedPartsError, UserError
from service.execution.plan import Plan
from service.execution.recorded import recorded_plan
from service.recording.infos import SweepInfo
from service.recording.recorded_table import kept_table, lost_runs_note
from service.recording.store import Store
from service.report.panels import Line, Panel
from service.report.surfaces import Surface, make_surfaces
from service.results.axes import NO_AXIS, Axis, axis_pairs, cell_codes, swept_axes, tick
from service.results.importance import Importance, importance
from service.results.leaderboard import Entry, ranked
from service.results.metrics import METRICS, outcome_counts
from service.results.phase_diagram import Phase, make_phase
from service.results.quantile_bands import Bands, Curves
from service.results.trials_table import shown_params

_PAIRS, _PANELS, _LINES, _TENSOR_COLUMNS, _ENTRIES = 6, 6, 8, 3, 20
_CURVES = (("test_loss", "loss"), ("loss",), ("test_accuracy", "accuracy"), ("grad_norm",), ("dead_units",))
_BY_TENSOR = "grad_norm."


@dataclass(frozen=True)
class Contents:
    """curves: metric -> panels. gradients: panels with a line a tensor. notes: what is left out, and why."""

    sweep: SweepInfo
    metric: str
    spec: str
    table: pd.DataFrame
    axes: Sequence[Axis]
    outcomes: Mapping[str, int]
    phases: Sequence[Phase]
    curves: Mapping[str, Sequence[Panel]]
    gradients: Sequence[Panel]
    importance: Sequence[Importance]
    surfaces: Sequence[Surface]
    entries: Sequence[Entry]
    notes: Sequence[str]

    @property
    def name(self) -> str:
        return f"{self.sweep.spec}/{self.sweep.sweep}"

    @property
    def pair(self) -> tuple[Axis, Axis]:
        """The axes that the curves are cut by."""
        return (self.phases[0].across, self.phases[0].down) if self.phases else (NO_AXIS, NO_AXIS)


def gather(store: Store, sweep: SweepInfo, metric: str | None = None) -> Contents:
    """All that a report of the sweep shows. Raises NotFoundError where nothing is kept, or there is no such metric."""
    table = kept_table(store, sweep)
    if not len(table):
        raise NotFoundError(f"the sweep {sweep.sweep} has no trials yet, so there is nothing to see")
    by = metric or sweep.tags["gradgrid.objective"]
    entries = ranked(table, by, shown_params(table.columns, sweep.swept), count=_ENTRIES)
    axes = swept_axes(table, sweep.swept)
    matter = importance(table, by, shown_params(table.columns, sweep.swept))
    pairs = axis_pairs(axes) if axes else []
    phases = [make_phase(table, by, *pair) for pair in _foremost(pairs, matter)]
    across, down = (phases[0].across, phases[0].down) if phases else (NO_AXIS, NO_AXIS)
    notes = [note for note in [lost_runs_note(store, sweep, table)] if note]
    curves, gradients = _curves(store, sweep, table, across, down, notes)
    return Contents(
        sweep=sweep,
        metric=by,
        spec=yaml.safe_dump(store.spec(sweep), sort_keys=False, allow_unicode=True),
        table=table,
        axes=axes,
        outcomes=outcome_counts(table),
        phases=phases,
        curves=curves,
        gradients=gradients,
        importance=matter,
        surfaces=_surfaces(store, sweep, table, down, notes),
        entries=entries,
        notes=notes,
    )


def _foremost(pairs: Sequence[tuple[Axis, Axis]], matter: Sequence[Importance]) -> list[tuple[Axis, Axis]]:
    """The first pair, and then those of the axes that matter most."""
    weight = {share.axis: share.together for share in matter}
    rest = sorted(pairs[1:], key=lambda pair: -sum(weight.get(axis.name, 0.0) for axis in pair))
    return [*pairs[:1], *rest[: _PAIRS - 1]]


def _surfaces(store: Store, sweep: SweepInfo, table: pd.DataFrame, down: Axis, notes: list[str]) -> list[Surface]:
    try:
        plan: Plan = recorded_plan(store, sweep, "shown with what its networks have learned")
    except UntrustedPartsError:
        raise
    except UserError as error:
        notes.append(str(error))
        return []
    return make_surfaces(store, plan, table, down)


def _curves(
    store: Store, sweep: SweepInfo, table: pd.DataFrame, across: Axis, down: Axis, notes: list[str]
) -> tuple[dict[str, list[Panel]], list[Panel]]:
    points = store.curves(sweep)
    if not len(points):
        notes.append("There are no curves: the sweep was recorded without them (record: {curves: none}).")
        return {}, []
    curves = Curves(points, table)
    codes = cell_codes(table, across, down)
    shown = across.chosen(_PANELS)
    wanted = dict.fromkeys(next((n for n in names if n in curves.metrics), "") for names in _CURVES)
    by_metric = {
        name: _panels(curves.bands(name, codes, down.chosen(_LINES), shown), across, down)
        for name in wanted
        if name and (name != "dead_units" or (table[METRICS + name] > 0).any())
    }
    columns = across.chosen(_TENSOR_COLUMNS)
    tensors = [name for name in curves.metrics if name.startswith(_BY_TENSOR) and name.endswith(".weight")]
    by_tensor = [curves.bands(name, codes, down.chosen(_PANELS), columns) for name in tensors]
    return by_metric, _tensor_panels(by_tensor, across, down)


def _panels(bands: Bands, across: Axis, down: Axis) -> list[Panel]:
    """A panel a value across, a line a value down."""
    return [
        Panel(
            _value(across, beside),
            bands.steps,
            tuple(
                Line(tick(down.values[below]), below, bands.middle[i, j], bands.low[i, j], bands.high[i, j])
                for i, below in enumerate(bands.down)
            ),
        )
        for j, beside in enumerate(bands.across)
    ]


def _tensor_panels(bands: Sequence[Bands], across: Axis, down: Axis) -> list[Panel]:
    """A panel a cell, a line a tensor."""
    if not bands:
        return []
    first = bands[0]
    return [
        Panel(
            ", ".join(part for part in (_value(down, below), _value(across, beside)) if part),
            first.steps,
            tuple(
                Line(b.metric.removeprefix(_BY_TENSOR).removesuffix(".weight"), k, b.middle[i, j])
                for k, b in enumerate(bands)
            ),
        )
        for i, below in enumerate(first.down)
        for j, beside in enumerate(first.across)
    ]


def _value(axis: Axis, place: int) -> str:
    if axis is NO_AXIS:
        return ""
    value = tick(axis.values[place])
    return f"{axis.label} {value}" if axis.is_numeric else value
