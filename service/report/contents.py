"""The numbers that a report shows, gathered from the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from experiments.errors import NotFoundError, UntrustedPartsError, UserError, quoted
from service.execution.plan import Plan
from service.execution.recorded_plan import recorded_plan
from service.recording.infos import SweepInfo
from service.recording.recorded_table import lost_runs_note, missing_trials_note, read_table
from service.recording.store import Store
from service.report.curve_panels import CurveFrames, make_curve_frames, make_gradient_frames
from service.report.surfaces import Surface, make_surfaces
from service.results.axes import NO_AXIS, Axis, axis_pairs, swept_axes
from service.results.choice import choice_sentence
from service.results.columns import columns_to_rank
from service.results.importance import Importance, importance
from service.results.intervals import in_intervals, intervals_note
from service.results.leaderboard import Entry, check_metric, ranked
from service.results.metrics import METRICS, outcome_counts, validation_metric
from service.results.phase_diagram import MAP_SIDE, PhaseDiagram, make_phase_diagram
from service.results.quantile_bands import Curves
from service.results.refined_table import with_untrained_cells
from service.results.trials_table import shown_params

_PAIRS, _ENTRIES = 6, 20
_NO_MAP = (
    f"There is no map, so nothing is coloured by --lost-by: maps have {MAP_SIDE} values or more of two axes of numbers."
)
_FURTHER_COLUMNS = ("params.learning_rate", "metrics.dead_units")  # of learned functions, of curves


@dataclass(frozen=True)
class Contents:
    """The numbers of a report.

    sweep: the sweep.
    metric: the metric that cells and ranks are by.
    spec: the sweep file, as YAML.
    table: the sweep's trials (see `service.results.trials_table`).
    axes: the axes with more than one value.
    outcomes: outcome -> number of trials.
    phases: phase diagrams of pairs of axes, the most interesting first.
    curves: metric -> its frames.
    gradients: frames with a line for each layer; None if gradients by tensor were not recorded.
    importance: of each axis, the greatest first.
    surfaces: the functions that the best networks learned.
    entries: the leaderboard.
    notes: sentences on what is missing and why.
    """

    sweep: SweepInfo
    metric: str
    spec: str
    table: pd.DataFrame
    axes: Sequence[Axis]
    outcomes: Mapping[str, int]
    phases: Sequence[PhaseDiagram]
    curves: Mapping[str, CurveFrames]
    gradients: CurveFrames | None
    importance: Sequence[Importance]
    surfaces: Sequence[Surface]
    entries: Sequence[Entry]
    notes: Sequence[str]

    @property
    def name(self) -> str:
        """The sweep's name for readers."""
        return f"{self.sweep.spec}/{self.sweep.sweep}"

    @property
    def pair(self) -> tuple[Axis, Axis]:
        """The axes of the curves' frames and lines."""
        return (self.phases[0].columns, self.phases[0].rows) if self.phases else (NO_AXIS, NO_AXIS)


def gather(store: Store, sweep: SweepInfo, metric: str | None = None, lost_by: str = "") -> Contents:
    """Gather the numbers of a sweep's report.

    store: where the sweep is recorded.
    sweep: the sweep.
    metric: what cells and ranks are by; None for the sweep's objective.
    lost_by: what colours the lost trials of maps; empty for the step at which they failed.
    Raises NotFoundError if the sweep has no trials or no such metric, UntrustedPartsError if its code may not run.
    """
    by = metric or sweep.objective
    beside = METRICS + validation_metric(by)
    chosen = columns_to_rank(sweep.swept, by, more={*_FURTHER_COLUMNS, beside}, also=lost_by)
    table = read_table(store, sweep, chosen)
    if not len(table):
        raise NotFoundError(f"the sweep {sweep.sweep} has no trials yet, so there is nothing to show")
    entries = ranked(table, by, shown_params(table.columns, sweep.swept), count=_ENTRIES)
    if lost_by:
        check_metric(table, lost_by)
    shown, drawn = in_intervals(table, sweep.swept)
    axes = swept_axes(shown, sweep.swept)
    shares = [] if drawn else importance(table, by, shown_params(table.columns, sweep.swept))
    cells = with_untrained_cells(shown, store.spec(sweep))
    pairs = axis_pairs(swept_axes(cells, sweep.swept)) if axes else []
    phases = [make_phase_diagram(cells, by, *pair, lost_by=lost_by) for pair in _best_pairs(pairs, shares)]
    choice = choice_sentence(by, has_validation=beside in table)
    missing = [note(store, sweep, table) for note in (missing_trials_note, lost_runs_note)]
    every_note = *missing, intervals_note(drawn), choice
    unused = "" if not lost_by or any(phase.is_map for phase in phases) else _NO_MAP
    notes = [note for note in (*every_note, unused, _targets_note(store.data(sweep))) if note]
    curves, gradients = _curves(store, sweep, shown, phases[0] if phases else None, drawn, notes)
    rows = phases[0].rows if phases and phases[0].rows.name not in drawn else NO_AXIS
    return Contents(
        sweep=sweep,
        metric=by,
        spec=yaml.safe_dump(store.spec(sweep), sort_keys=False, allow_unicode=True),
        table=shown,
        axes=axes,
        outcomes=outcome_counts(table),
        phases=phases,
        curves=curves,
        gradients=gradients,
        importance=shares,
        surfaces=_surfaces(store, sweep, table, rows, notes),
        entries=entries,
        notes=notes,
    )


def _targets_note(facts: Mapping[str, Any]) -> str:
    """Return a sentence on the units of losses; empty if the targets were not standardised. facts: of the data set."""
    if not facts.get("target_scale"):
        return ""
    names = facts["targets"]
    return (
        f"Losses are those of the standardised target{'s' * (len(names) > 1)} {', '.join(map(quoted, names))}; the "
        "measures r2 and mean_absolute_error are those of the numbers as they are in the data."
    )


def _best_pairs(pairs: Sequence[tuple[Axis, Axis]], shares: Sequence[Importance]) -> list[tuple[Axis, Axis]]:
    """Return the first pair, then those of the most important axes."""
    weight = {share.axis: share.total for share in shares}
    rest = sorted(pairs[1:], key=lambda pair: -sum(weight.get(axis.name, 0.0) for axis in pair))
    return [*pairs[:1], *rest[: _PAIRS - 1]]


def _surfaces(store: Store, sweep: SweepInfo, table: pd.DataFrame, rows: Axis, notes: list[str]) -> list[Surface]:
    """Return the learned functions. If the sweep can't be planned again, add the reason to `notes`."""
    try:
        plan: Plan = recorded_plan(store, sweep, "shown with what its networks have learned")
    except UntrustedPartsError:
        raise
    except UserError as error:
        notes.append(str(error))
        return []
    return make_surfaces(store, plan, table, rows)


def _curves(
    store: Store,
    sweep: SweepInfo,
    table: pd.DataFrame,
    phase: PhaseDiagram | None,
    drawn: Sequence[str],
    notes: list[str],
) -> tuple[dict[str, CurveFrames], CurveFrames | None]:
    """Return the frames of each metric and of the gradients. If no curves were recorded, add a note."""
    points = store.curves(sweep)
    if not len(points):
        notes.append("There are no curves: the sweep was recorded without them (record: {curves: none}).")
        return {}, None
    curves = Curves(points, table)
    return make_curve_frames(curves, table, phase, sweep.params, drawn), make_gradient_frames(curves, table, phase)
