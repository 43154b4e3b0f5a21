"""The phase diagram as numbers: the outcomes of training over two axes, for all other axes and seeds together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from engine.arrays import Array, Flags, Floats, Integers
from engine.outcomes import DEAD, DIVERGED, EXPLODING, VANISHING, WILD
from experiments.stopping import TRIAL_OUTCOMES
from service.results.axes import Axis, cell_indices
from service.results.grid_cells import GridCells
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.scales import Scale, is_calm, scale_of, without_outliers
from service.results.trials_table import run_ids

FAILURE_OUTCOMES = (VANISHING, EXPLODING, DEAD, DIVERGED)
"""The outcomes whose onset the diagram shows."""
MAP_SIDE = 32
"""The number of values of both axes from which a phase diagram is drawn as a map."""
MOST_DRAWN = 1024
"""The largest number of values of an axis that a picture has a row or a column for."""
_FAR_APART = 3.0  # ratio of the largest to the smallest median from which colours are logarithmic
_NEEDED = ("number", "run_id", "outcome", "outcome_step")
_WORTH_A_MAP = 0.25  # least share of an outcome in some cell


@dataclass(frozen=True)
class PhaseDiagram:
    """Outcomes over two axes. Arrays have the shape (rows, columns).

    columns, rows: the axes.
    metric: the metric's name, without prefix.
    median: of the metric over a cell's trials; NaN if more than half of them diverged, or have no value.
    calm_median: the same over the trials that neither exploded nor diverged; NaN if there are none.
    shares: outcome -> share of a cell's trials, for the outcomes of this sweep; NaN in a cell without trials.
    onset_step: the median step at which the failed trials began to fail; NaN if none failed.
    trials: the number of trials.
    best: the run id of the best trial; "" if there is none.
    number: the number of the best trial, or of the first if none has a value; -1 if there is no trial.
    lost_by: the metric that colours the lost cells of a map; empty if the step at which they failed does.
    lost_median: the median of that metric over all trials of a cell; NaN without one.
    """

    columns: Axis
    rows: Axis
    metric: str
    median: Floats
    calm_median: Floats
    shares: Mapping[str, Floats]
    onset_step: Floats
    trials: Integers
    best: Array
    number: Integers
    lost_by: str = ""
    lost_median: Floats | None = None

    @property
    def lost_values(self) -> Floats:
        """What colours the lost cells of a map: the steps at which they failed, or the medians of `lost_by`."""
        return self.onset_step if self.lost_median is None else self.lost_median

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """The outcomes that some trial has, and "" for cells without trials."""
        return (*self.shares, "")

    @cached_property
    def modal_codes(self) -> Array:
        """The most frequent outcome of each cell, as its index in `outcome_names`, uint8."""
        codes = np.full(self.trials.shape, len(self.shares), dtype=np.uint8)
        greatest = np.zeros(self.trials.shape)
        for code, share in enumerate(self.shares.values()):
            codes[share > greatest] = code  # a cell without trials has NaN, which is not greater
            np.fmax(greatest, share, out=greatest)
        return codes

    @property
    def modal_outcome(self) -> Array:
        """The most frequent outcome of each cell; "" if it has no trials."""
        return np.asarray(np.array(self.outcome_names, dtype=object)[self.modal_codes])

    @property
    def lost_cells(self) -> Flags:
        """The cells whose most frequent outcome is exploding or diverged."""
        return np.isin(self.outcome_names, WILD)[self.modal_codes]

    @property
    def modal_share(self) -> Floats:
        """The share of the most frequent outcome in each cell; 0 without trials."""
        return np.asarray(np.nan_to_num(np.fmax.reduce(list(self.shares.values()))))

    @property
    def diverged_cells(self) -> Flags:
        """The cells that have trials but no median, because more than half of the trials diverged."""
        diverged = self.shares.get(DIVERGED, np.zeros(self.trials.shape))
        return np.asarray((self.trials > 0) & np.isnan(self.median) & (diverged > 0.5))

    @property
    def cells_without_value(self) -> Flags:
        """The cells that have no median although most trials did not diverge: a score may have no value."""
        return np.asarray((self.trials > 0) & np.isnan(self.median) & ~self.diverged_cells)

    @property
    def is_map(self) -> bool:
        """Whether it is drawn as a map: it has many values of two axes of numbers."""
        axes = (self.columns, self.rows)
        return all(axis.is_numeric and len(axis.values) >= MAP_SIDE for axis in axes)

    def worse_than(self, scale: Scale) -> Flags:
        """Return the cells whose median is beyond the worse end of a scale."""
        with np.errstate(invalid="ignore"):
            beyond = self.median > scale.high if lower_is_better(self.metric) else self.median < scale.low
        return np.asarray(beyond)

    def row(self, index: int) -> PhaseDiagram:
        """Return the diagram of a single row."""
        row = slice(index, index + 1)
        return replace(
            self,
            rows=Axis(self.rows.name, self.rows.values[row]),
            median=self.median[row],
            calm_median=self.calm_median[row],
            shares={name: share[row] for name, share in self.shares.items()},
            onset_step=self.onset_step[row],
            trials=self.trials[row],
            best=self.best[row],
            number=self.number[row],
            lost_median=None if self.lost_median is None else self.lost_median[row],
        )

    def shown_shares(self) -> dict[str, Floats]:
        """Return the shares that are worth a map: not the same in all cells, and at least a quarter in one of them."""
        inside = self.trials > 0
        return {
            outcome: share
            for outcome, share in self.shares.items()
            if np.ptp(share[inside]) > 0 and share[inside].max() >= _WORTH_A_MAP
        }


def scale_of_median(phase: PhaseDiagram) -> Scale | None:
    """Return the scale of the medians' colours; None if there is no median.

    It leaves out cells in which all trials exploded or diverged, and outliers at the worse end.
    """
    lower = lower_is_better(phase.metric)
    calm = phase.calm_median[np.isfinite(phase.median)]
    finite = calm if np.isfinite(calm).any() else phase.median
    return scale_of(without_outliers(finite, lower_is_better=lower), logarithmic=lower, far_apart=_FAR_APART)


def make_phase_diagram(
    table: pd.DataFrame, metric: str, columns: Axis, rows: Axis, *, lost_by: str = ""
) -> PhaseDiagram:
    """Return the phase diagram of a sweep.

    table: see `service.results.trials_table`; it has the columns of the metric and of both axes.
    metric: the metric's name, without prefix.
    columns, rows: two axes of the sweep; `rows` may be NO_AXIS.
    lost_by: the metric that colours the lost cells of a map, without prefix; empty for the step at which they failed.
    """
    inside, cells = _cells(table, columns, rows)
    names = [name for name in dict.fromkeys((METRICS + metric, METRICS + lost_by, *_NEEDED)) if name in table]
    trials = table[names] if inside.all() else table.loc[inside, names]
    outcome = trials["outcome"]
    values = trials[METRICS + metric].to_numpy(dtype=float, copy=True)
    values[outcome == DIVERGED] = np.nan
    calm_values = np.where(is_calm(outcome), values, np.nan)
    failed_steps = np.where(outcome.isin(FAILURE_OUTCOMES), trials["outcome_step"], np.nan)
    best_cells, best_rows = cells.best(values, lower=lower_is_better(metric))
    ids = np.full(cells.size, "", dtype=object)
    ids[best_cells] = run_ids(trials).to_numpy()[best_rows]
    numbers = np.full(cells.size, -1)
    of_trials = trials["number"].to_numpy() if "number" in trials else np.arange(len(trials))
    for found, at in (cells.first(), (best_cells, best_rows)):
        numbers[found] = of_trials[at]
    return PhaseDiagram(
        columns=columns,
        rows=rows,
        metric=metric,
        median=np.where(cells.share(np.isnan(values)) <= 0.5, cells.median(values), np.nan),
        calm_median=cells.median(calm_values),
        shares={name: cells.share(flags) for name in TRIAL_OUTCOMES if (flags := np.asarray(outcome == name)).any()},
        onset_step=cells.median(failed_steps),
        trials=cells.trials,
        best=ids.reshape(cells.shape),
        number=numbers.reshape(cells.shape),
        lost_by=lost_by,
        lost_median=cells.median(trials[METRICS + lost_by].to_numpy(dtype=float)) if lost_by else None,
    )


def make_picture_diagram(table: pd.DataFrame, metric: str, columns: Axis, rows: Axis) -> PhaseDiagram:
    """Return the phase diagram for a picture: of at most MOST_DRAWN values of each axis, evenly spread.

    table, metric, columns, rows: as for `make_phase_diagram`.
    """
    axes, shown = [], np.ones(len(table), dtype=bool)
    for axis in (columns, rows):
        if len(axis.values) > MOST_DRAWN:
            axis = Axis(axis.name, tuple(axis.values[k] for k in axis.spread_indices(MOST_DRAWN)))
            shown &= table[PARAMS + axis.name].isin(axis.values).to_numpy()
        axes.append(axis)
    return make_phase_diagram(table if shown.all() else table[shown], metric, *axes)


def _cells(table: pd.DataFrame, columns: Axis, rows: Axis) -> tuple[Flags, GridCells]:
    """Return for each trial whether it has a cell, (trials,), and the cells of those that have one."""
    row, column = cell_indices(table, columns, rows)
    inside = (row >= 0) & (column >= 0)
    row *= len(columns.values)  # in place: a table may be large
    row += column
    return inside, GridCells(row if inside.all() else row[inside], (len(rows.values), len(columns.values)))
