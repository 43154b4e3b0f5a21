"""An audit: recorded trials are trained again, and every figure is compared with the recorded one."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from service.execution.plan import Plan
from service.execution.recorded_plan import recorded_plan
from service.execution.shard_tables import TableSettings, ids_of, run_table, trial_rows
from service.execution.worker import TrainedShard, train_shard
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.store import Store
from service.recording.trial_record import TrialRecord
from service.results.metrics import METRICS

TOLERANCE = 1e-9
"""The relative difference that is allowed for the reference kernel, because NumPy's functions differ between machines.
The compiled kernel's figures are the same bits everywhere.
"""

_SAMPLE_SEED = 0


@dataclass(frozen=True)
class Difference:
    """A recorded figure that was computed differently.

    run_id: the trial's run.
    figure: the figure's name, such as `loss at step 2`.
    recorded, computed: its two values; NaN if one is missing.
    allowed: the relative difference that is accepted.
    """

    run_id: str
    figure: str
    recorded: float
    computed: float
    allowed: float

    @property
    def relative(self) -> float:
        """The relative difference; NaN if a value is missing, infinite or NaN."""
        if not (math.isfinite(self.recorded) and math.isfinite(self.computed)):
            return math.nan
        return abs(self.recorded - self.computed) / max(abs(self.recorded), abs(self.computed))


@dataclass(frozen=True)
class Verdict:
    """The result of an audit.

    trials, figures: how many were compared.
    differences: the figures that are not equal to the last bit.
    """

    trials: int
    figures: int
    differences: tuple[Difference, ...]

    @property
    def significant(self) -> tuple[Difference, ...]:
        """The differences that are larger than allowed, or that can't be measured."""
        return tuple(d for d in self.differences if not d.relative <= d.allowed)


def verify(store: Store, sweep: SweepInfo, *, run_id: str | None = None, sample: int | None = None) -> Verdict:
    """Train a sweep's recorded trials again and compare. If some trials have no run, their rows of the table are used.

    store: where the sweep is recorded.
    sweep: the sweep.
    run_id: the run of the only trial to verify; None for all.
    sample: the number of random trials to verify; None for all.
    Raises SpecError if the data or the engine have changed since.
    """
    plan = recorded_plan(store, sweep, "verified")
    if run_id is not None:
        return _verdict(_compared_runs(store, plan, sweep, [t for t in store.trials(sweep) if t.run_id == run_id]))
    if sweep.has_every_run:
        return _verdict(_compared_runs(store, plan, sweep, _sampled(list(store.trials(sweep)), sample)))
    rows = store.table(sweep)
    return _verdict(_compared_rows(plan, sweep, _sampled(rows.to_dict("records"), sample)))


_Item = TypeVar("_Item")
_Comparison = tuple[str, float | None, float | None]
"""Figure, recorded value and computed value; None if one is missing."""
_Compared = tuple[str, str, Iterable[_Comparison]]
"""Run id, kernel and comparisons of a trial."""


def _sampled(items: list[_Item], sample: int | None) -> list[_Item]:
    if sample is None or sample >= len(items):
        return items
    return random.Random(_SAMPLE_SEED).sample(items, sample)


def _verdict(compared: Iterable[_Compared]) -> Verdict:
    differences: list[Difference] = []
    trials = figures = 0
    for run_id, kernel, comparisons in compared:
        trials += 1
        allowed = 0.0 if kernel.startswith("compiled") else TOLERANCE
        for figure, recorded, computed in comparisons:
            figures += 1
            if not _equal(recorded, computed):
                differences.append(Difference(run_id, figure, _or_nan(recorded), _or_nan(computed), allowed))
    return Verdict(trials, figures, tuple(differences))


def _compared_runs(store: Store, plan: Plan, sweep: SweepInfo, infos: Sequence[TrialInfo]) -> Iterator[_Compared]:
    trials = {info.trial: info for info in infos}
    for trained in _trained_again(plan, trials):
        ids = ids_of(trained.shard)
        for record in run_table(trained, TableSettings.of(plan, sweep), ids).records():
            trial = trials[record.trial]
            comparisons = _comparisons(store, trial, record, with_weights=plan.record.weights == "artifact")
            yield trial.run_id, trial.kernel, comparisons


def _compared_rows(plan: Plan, sweep: SweepInfo, recorded: Sequence[Mapping[Hashable, Any]]) -> Iterator[_Compared]:
    rows = {str(row["trial"]): row for row in recorded}
    for trained in _trained_again(plan, rows):
        ids = ids_of(trained.shard)
        for computed in trial_rows(trained, TableSettings.of(plan, sweep), ids).to_pylist():
            row = rows[str(computed["trial"])]
            names = [str(name) for name in computed if str(name).startswith(METRICS) or name == "last_step"]
            comparisons = [(name, float(row.get(name, math.nan)), float(computed[name])) for name in names]
            yield f"trial {row['number']}", trained.history.kernel, comparisons


def _trained_again(plan: Plan, trials: Collection[str]) -> Iterator[TrainedShard]:
    skipped = frozenset(number for number, trial in enumerate(plan.trial_ids) if trial not in trials)
    return (train_shard(shard, plan.datasets, plan.record.measures) for shard in plan.shards(1, skipped))


def _comparisons(store: Store, trial: TrialInfo, record: TrialRecord, *, with_weights: bool) -> Iterator[_Comparison]:
    """Yield every point of every curve and, if they were recorded, every final weight."""
    for name in sorted({*record.curves, *trial.metrics}):
        computed = {step: value for step, value, _ in record.curves.get(name, ())}
        recorded = dict(store.curve(trial.run_id, name))
        for step in sorted({*computed, *recorded}):
            yield f"{name} at step {step}", recorded.get(step), computed.get(step)
    if not with_weights:
        return
    weights = {tensor["name"]: tensor["values"] for tensor in store.final_weights(trial.run_id) or []}
    for tensor in record.weights:
        pairs = zip_longest(weights.get(tensor["name"], []), tensor["values"])
        for index, (recorded_value, value) in enumerate(pairs):
            yield f"{tensor['name']}[{index}]", recorded_value, value


def _equal(recorded: float | None, computed: float | None) -> bool:
    """Return whether two values are the same number or both NaN; a missing value equals nothing."""
    if recorded is None or computed is None:
        return False
    return recorded == computed or (math.isnan(recorded) and math.isnan(computed))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
