"""An audit: train recorded trials again, and compare every recorded figure with what comes out."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from service.execution.plan import Plan
from service.execution.recorded_plan import recorded_plan
from service.execution.records import trial_records, trial_rows
from service.execution.worker import TrainedShard, train_shard
from service.recording.infos import SweepInfo, TrialInfo
from service.recording.store import Store
from service.recording.trial_record import TrialRecord
from service.results.metrics import METRICS

TOLERANCE = 1e-9
"""Relative: as far as NumPy's functions may carry the reference kernel apart on another machine. The compiled kernel's
figures are the same bits everywhere.
"""

_SAMPLE_SEED = 0


@dataclass(frozen=True)
class Difference:
    """A recorded figure that did not come out again. `relative` is nan where there is nothing to compare with.

    allowed: the relative difference up to which it is none.
    """

    run_id: str
    figure: str
    recorded: float
    computed: float
    allowed: float

    @property
    def relative(self) -> float:
        greatest = max(abs(self.recorded), abs(self.computed))
        return abs(self.recorded - self.computed) / greatest if greatest < math.inf else math.nan


@dataclass(frozen=True)
class Verdict:
    """How many trials and figures were compared, and every figure that was not equal to the last bit."""

    trials: int
    figures: int
    differences: tuple[Difference, ...]

    @property
    def significant(self) -> tuple[Difference, ...]:
        """The differences beyond what is allowed, or that can't be measured."""
        return tuple(d for d in self.differences if not d.relative <= d.allowed)


def verify(store: Store, sweep: SweepInfo, *, run_id: str | None = None, sample: int | None = None) -> Verdict:
    """Train a sweep's recorded trials again, one run's alone, or a random `sample` of them, and compare.

    Where not every trial has a run, the rows of its table are compared. Raises SpecError where data or engine are not
    those that the sweep was trained with.
    """
    plan = recorded_plan(store, sweep, "verified")
    if run_id is not None:
        return _verdict(_compared_runs(store, plan, sweep, [t for t in store.trials(sweep) if t.run_id == run_id]))
    if sweep.has_every_run:
        return _verdict(_compared_runs(store, plan, sweep, _sampled(list(store.trials(sweep)), sample)))
    rows = store.table(sweep)
    return _verdict(_compared_rows(plan, _sampled(rows.to_dict("records"), sample)))


_Item = TypeVar("_Item")
_Comparison = tuple[str, float | None, float | None]  # figure, recorded, computed; None where there is none


def _sampled(items: list[_Item], sample: int | None) -> list[_Item]:
    if sample is None or sample >= len(items):
        return items
    return random.Random(_SAMPLE_SEED).sample(items, sample)


def _verdict(compared: Iterable[tuple[str, str, Iterable[_Comparison]]]) -> Verdict:
    """From each trial's run id, kernel and comparisons."""
    found: list[Difference] = []
    trials = figures = 0
    for run_id, kernel, comparisons in compared:
        trials += 1
        allowed = 0.0 if kernel.startswith("compiled") else TOLERANCE
        for figure, recorded, computed in comparisons:
            figures += 1
            if not _equal(recorded, computed):
                found.append(Difference(run_id, figure, _or_nan(recorded), _or_nan(computed), allowed))
    return Verdict(trials, figures, tuple(found))


def _compared_runs(
    store: Store, plan: Plan, sweep: SweepInfo, chosen: Sequence[TrialInfo]
) -> Iterator[tuple[str, str, Iterable[_Comparison]]]:
    trials = {trial.trial: trial for trial in chosen}
    for trained in _trained_again(plan, trials):
        for again in trial_records(trained, plan, sweep):
            trial = trials[again.trial]
            comparisons = _compared(store, trial, again, kept_weights=plan.record.weights == "artifact")
            yield trial.run_id, trial.kernel, comparisons


def _compared_rows(
    plan: Plan, chosen: Sequence[Mapping[Hashable, Any]]
) -> Iterator[tuple[str, str, Iterable[_Comparison]]]:
    rows = {str(row["trial"]): row for row in chosen}
    for trained in _trained_again(plan, rows):
        for again in trial_rows(trained, plan).to_dict("records"):
            row = rows[str(again["trial"])]
            names = [str(name) for name in again if str(name).startswith(METRICS) or name == "last_step"]
            comparisons = [(name, float(row.get(name, math.nan)), float(again[name])) for name in names]
            yield f"trial {row['number']}", trained.history.kernel, comparisons


def _trained_again(plan: Plan, trials: Collection[str]) -> Iterator[TrainedShard]:
    left_out = frozenset(number for number, trial in enumerate(plan.trial_ids) if trial not in trials)
    return (train_shard(shard, plan.dataset) for shard in plan.shards(1, left_out))


def _compared(store: Store, trial: TrialInfo, record: TrialRecord, *, kept_weights: bool) -> Iterator[_Comparison]:
    """Every point of every curve and every final weight."""
    for name in sorted({*record.curves, *trial.metrics}):
        computed = {step: value for step, value, _ in record.curves.get(name, ())}
        recorded = dict(store.curve(trial.run_id, name))
        for step in sorted({*computed, *recorded}):
            yield f"{name} at step {step}", recorded.get(step), computed.get(step)
    if not kept_weights:
        return
    weights = {tensor["name"]: tensor["values"] for tensor in store.final_weights(trial.run_id) or []}
    for tensor in record.weights:
        pairs = zip_longest(weights.get(tensor["name"], []), tensor["values"])
        for index, (kept, value) in enumerate(pairs):
            yield f"{tensor['name']}[{index}]", kept, value


def _equal(recorded: float | None, computed: float | None) -> bool:
    """To the last bit; what is missing is equal to nothing."""
    if recorded is None or computed is None:
        return False
    return recorded == computed or (math.isnan(recorded) and math.isnan(computed))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
