"""An audit: train recorded trials again, and compare every recorded figure with what comes out."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from experiments.errors import SpecError
from service.plan import Plan, make_plan
from service.recording.sweeps import Store, SweepInfo, TrialInfo, differences
from service.records import SweepIdentity, TrialRecord, trial_records
from service.resume import recorded_spec
from service.worker import train_shard

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

    Raises SpecError where data or engine are not those that the sweep was trained with.
    """
    plan = make_plan(recorded_spec(store, sweep))
    differing = differences(sweep, plan.dataset.fingerprint)
    if differing:
        raise SpecError(f"the sweep {sweep.sweep} can't be verified: {' and '.join(differing)} differ(s) by now")
    chosen = _choose(list(store.trials(sweep)), run_id, sample)
    found: list[Difference] = []
    figures = 0
    for record in _trained_again(plan, sweep, chosen):
        trial = chosen[record.trial]
        allowed = 0.0 if trial.tags["gradgrid.kernel"].startswith("compiled") else TOLERANCE
        for figure, recorded, computed in _compared(store, trial, record):
            figures += 1
            if not _equal(recorded, computed):
                found.append(Difference(trial.run_id, figure, _or_nan(recorded), _or_nan(computed), allowed))
    return Verdict(len(chosen), figures, tuple(found))


def _choose(trials: list[TrialInfo], run_id: str | None, sample: int | None) -> dict[str, TrialInfo]:
    if run_id is not None:
        trials = [trial for trial in trials if trial.run_id == run_id]
    elif sample is not None and sample < len(trials):
        trials = random.Random(_SAMPLE_SEED).sample(trials, sample)
    return {trial.tags["gradgrid.trial"]: trial for trial in trials}


def _trained_again(plan: Plan, sweep: SweepInfo, chosen: Mapping[str, TrialInfo]) -> Iterator[TrialRecord]:
    ids = plan.trial_ids()
    left_out = frozenset(number for number, trial in enumerate(ids) if trial not in chosen)
    record = plan.sweepable.spec.record
    identity = SweepIdentity(sweep.sweep, sweep.run_id, plan.name, tuple(plan.sweepable.axes), record)
    for shard in plan.shards(1, left_out):
        yield from trial_records(train_shard(shard, plan.dataset), [ids[n] for n in shard.numbers], identity)


def _compared(store: Store, trial: TrialInfo, record: TrialRecord) -> Iterator[tuple[str, float | None, float | None]]:
    """(figure, recorded, computed) of every point of every curve and every final weight; None where one has none."""
    for name in sorted({*record.curves, *trial.metrics}):
        computed = {step: value for step, value, _ in record.curves.get(name, ())}
        recorded = dict(store.curve(trial.run_id, name))
        for step in sorted({*computed, *recorded}):
            yield f"{name} at step {step}", recorded.get(step), computed.get(step)
    weights = {tensor["name"]: tensor["values"] for tensor in store.final_weights(trial.run_id)}
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
