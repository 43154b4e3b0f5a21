"""Restore the spec and the plan of a recorded sweep from the store alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine import Trial
from experiments.data.frames import frame_of_bytes
from experiments.errors import SpecError
from experiments.extensions import with_extension
from experiments.source import SpecSource
from experiments.spec import ResolvedSpec, check_spec
from experiments.stopping import stops_trials
from service.execution.plan import Plan, make_plan, plan_with_points
from service.execution.worker import batch_seeds, initial, program_columns
from service.recording.infos import SweepInfo, TrialInfo, identity_mismatches
from service.recording.store import Store


def recorded_spec(store: Store, sweep: SweepInfo) -> ResolvedSpec:
    """Return the spec that a sweep began with. Its relative paths start from the same folder as then.

    Raises UntrustedPartsError if the sweep has custom code that the user has not run before.
    """
    return check_spec(_source(store, sweep))


def extended_spec(store: Store, sweep: SweepInfo, assignments: Sequence[str]) -> ResolvedSpec:
    """Return the spec of a sweep with one more extension.

    assignments: what is different in the new trials, `key=value` as for `--set`.
    Raises SpecError if an assignment is wrong, or if no trial would be new; UntrustedPartsError.
    """
    resolved = check_spec(with_extension(_source(store, sweep), assignments))
    plan = make_plan(resolved)
    if not any(counts.trials for counts in plan.grid.blocks if counts.block.extension == len(resolved.stages) - 1):
        every = " ".join(f"--set {assignment}" for assignment in assignments)
        raise SpecError(f"{every}: the sweep {sweep.sweep} has all of these trials")
    return resolved


def _source(store: Store, sweep: SweepInfo) -> SpecSource:
    folder = sweep.folder
    spec, parts = store.spec(sweep), store.parts(sweep)
    if parts:
        name = str(spec.get("parts")) if isinstance(spec, dict) else ""
        store.trust.check(parts, Path(name).name, f"the sweep {sweep.spec}/{sweep.sweep}", folder / name)
    frame = (lambda: frame_of_bytes(store.frame(sweep))) if sweep.has_frame else None
    origin = f"the spec of {sweep.sweep}"
    return SpecSource(spec, origin, folder, parts=parts, frame=frame)


def recorded_plan(store: Store, sweep: SweepInfo, purpose: str) -> Plan:
    """Return the plan of a sweep.

    purpose: the participle for the message of the SpecError that it raises if data or engine have changed.
    """
    plan = with_decisions(make_plan(recorded_spec(store, sweep)), store, sweep)
    mismatches = identity_mismatches(sweep, plan.dataset.fingerprint)
    if mismatches:
        raise SpecError(
            f"the sweep {sweep.sweep} can't be {purpose}: {' and '.join(mismatches)} changed since it began"
        )
    return plan


def with_decisions(plan: Plan, store: Store, sweep: SweepInfo) -> Plan:
    """Return a sweep's plan with what was decided while it ran: the points that were asked for, or trials' steps."""
    if plan.resolved.last_search.asks and (known := store.points(sweep)) is not None:
        return plan_with_points(plan, known[0])
    return replace(plan, steps=store.steps(sweep)) if stops_trials(plan.resolved.spec) else plan


def _number(plan: Plan, trial: TrialInfo) -> int:
    """Return the number of a recorded trial. An older version may have given it another one."""
    ids = plan.trial_ids
    if trial.number < plan.trials and ids[trial.number] == trial.trial:
        return trial.number
    found = next((number for number, of_number in enumerate(ids) if of_number == trial.trial), None)
    if found is None:
        raise SpecError(f"the sweep {trial.sweep} has no trial {trial.trial} in its plan any more")
    return found


def planned_trial(plan: Plan, trial: TrialInfo) -> Trial:
    """Return a recorded trial in the form that the engine takes.

    plan: of its sweep. Raises SpecError if the plan does not have it.
    """
    number = _number(plan, trial)
    population = plan.population(number)
    architecture, data = population.architecture, plan.datasets[population.dataset]
    columns = population.at(np.array([population.index_of(number)]))
    return Trial(
        model=architecture.model(architecture.widths(data)),
        loss=architecture.loss_of(data),
        rule=architecture.rule,
        hyperparameters={name: float(column[0]) for name, column in program_columns(columns).items()},
        initial=initial(columns, architecture, data)[0],
        samples=data.training(architecture.loss, architecture.output),
        config=plan.config_of(number),
        seed=int(batch_seeds(columns)[0]),
    )
