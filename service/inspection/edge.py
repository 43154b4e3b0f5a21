"""The edge of a recorded sweep's map, and whether it stands a nudge of one unit in the last place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from engine.arrays import Array, Flags, Integers
from experiments.errors import UserError
from service.execution.plan import Plan
from service.execution.recorded_plan import recorded_plan
from service.execution.shard import Shard
from service.execution.shard_tables import TableSettings, ids_of, trial_rows
from service.execution.worker import train_shard
from service.recording.infos import SweepInfo
from service.recording.recorded_table import read_table
from service.recording.store import Store
from service.results.axes import Axis, axis_pairs, cell_indices, swept_axes
from service.results.columns import columns_to_rank
from service.results.edge import LEAST_SIDE, Edge, edge_cells, lost_cells, measure_edge
from service.results.leaderboard import matching
from service.results.refined_table import with_untrained_cells
from service.results.scales import is_calm

_SAMPLE_SEED = 0
_SHARD = 1024  # trials that are trained at once
NUDGE = 2.0**-52
"""The relative change of a nudge: the distance from 1 to the next number."""


@dataclass(frozen=True)
class SweepMap:
    """A sweep as a map.

    table: its trials (see `service.results.trials_table`).
    columns, rows: the two axes, of numbers.
    calm: for each trial whether it is not lost.
    lost: (rows, columns) for each cell whether at least half of its trials are lost.
    """

    table: pd.DataFrame
    columns: Axis
    rows: Axis
    calm: Flags
    lost: Flags

    @property
    def edge(self) -> Edge:
        """The measures of its edge."""
        return measure_edge(self.lost)


@dataclass(frozen=True)
class Nudged:
    """The result of a nudge: trials of the edge that were trained again, and those of them whose fate changed."""

    trials: int
    flipped: int


def sweep_map(store: Store, sweep: SweepInfo, where: Sequence[str] = ()) -> SweepMap:
    """Return a sweep as a map over its first two axes.

    store: where the sweep is recorded.
    sweep: the sweep.
    where: conditions; a trial that does not meet them is lost. Without them, a trial that exploded or diverged is.
    Raises UserError if the sweep is no map of at least 16 x 16 cells over numbers.
    """
    table = read_table(store, sweep, columns_to_rank(sweep.swept, sweep.objective, where))
    table = with_untrained_cells(table, store.spec(sweep))
    axes = [axis for axis in swept_axes(table, sweep.swept) if axis.is_numeric]
    columns, rows = axis_pairs(axes)[0] if len(axes) > 1 else (None, None)
    if columns is None or rows is None or min(len(columns.values), len(rows.values)) < LEAST_SIDE:
        shape = " x ".join(f"{len(axis.values)} values of {axis.label}" for axis in axes) or "no axis of numbers"
        shape += " alone" if len(axes) == 1 else ""
        raise UserError(
            f"{sweep.spec}/{sweep.sweep} has no edge to measure: a map needs two axes of numbers with at least "
            f"{LEAST_SIDE} values each; it has {shape}"
        )
    calm = is_calm_by(table, where)
    return SweepMap(table, columns, rows, calm, lost_cells(table, columns, rows, calm))


def is_calm_by(table: pd.DataFrame, where: Sequence[str]) -> Flags:
    """Return for each trial whether it is not lost. where: as in `sweep_map`."""
    if not where:
        return is_calm(table["outcome"])
    return np.asarray(table.index.isin(matching(table, where).index))


def nudge(store: Store, sweep: SweepInfo, found: SweepMap, where: Sequence[str], count: int) -> Nudged:
    """Train trials of the edge again, with the values of both axes multiplied by 1 + 2^-52.

    store, sweep, where: as in `sweep_map`, which returned `found`.
    count: the greatest number of trials; of more, some are taken at random.
    Raises SpecError if the data or the engine have changed since.
    """
    plan = recorded_plan(store, sweep, "nudged")
    row, column = cell_indices(found.table, found.columns, found.rows)
    numbered = found.table["number"].to_numpy() >= 0
    near = edge_cells(found.lost)[row, column] & (row >= 0) & (column >= 0) & numbered
    positions = np.flatnonzero(near)
    if len(positions) > count:
        positions = np.sort(np.random.default_rng(_SAMPLE_SEED).choice(positions, count, replace=False))
    numbers = found.table["number"].to_numpy()[positions]
    again = _trained(plan, sweep, numbers, (found.columns.name, found.rows.name))
    calm = dict(zip(again["number"].tolist(), is_calm_by(again, where).tolist(), strict=True))
    before = dict(zip(numbers.tolist(), found.calm[positions].tolist(), strict=True))
    return Nudged(len(before), sum(calm[number] != kept for number, kept in before.items()))


def _trained(plan: Plan, sweep: SweepInfo, numbers: Integers, names: Sequence[str]) -> pd.DataFrame:
    """Return the table of nudged trials. names: the nudged hyperparameters."""
    wanted = frozenset(numbers.tolist())
    settings = TableSettings.of(plan, sweep, runs=False)
    parts = []
    for shard in plan.shards(1, frozenset(range(plan.trials)) - wanted, _SHARD):
        columns = {name: _nudged(column) if name in names else column for name, column in shard.columns.items()}
        nudged: Shard = replace(shard, columns=columns)
        rows = trial_rows(train_shard(nudged, plan.datasets), settings, ids_of(nudged))
        parts.append(rows.to_pandas())
    return pd.concat(parts, ignore_index=True)


def _nudged(column: Array) -> Array:
    return np.asarray(column * (1.0 + NUDGE), dtype=column.dtype) if column.dtype.kind == "f" else column
