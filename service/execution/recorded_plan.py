"""The spec and plan of a sweep that was recorded, from the store alone."""

from __future__ import annotations

from pathlib import Path

from engine import Trial
from experiments.data.frames import frame_of_bytes
from experiments.errors import SpecError
from experiments.source import Source
from experiments.spec import Sweepable, check_spec
from service.execution.plan import Plan, make_plan
from service.execution.worker import initial, program_columns
from service.recording.infos import SweepInfo, identity_mismatches
from service.recording.store import Store


def recorded_spec(store: Store, sweep: SweepInfo) -> Sweepable:
    """The spec that a sweep was begun with; relative paths begin where they did then.

    Raises UntrustedPartsError where it brings code along that the user has not run before.
    """
    folder = sweep.folder
    spec, parts = store.spec(sweep), store.parts(sweep)
    if parts:
        name = str(spec.get("parts")) if isinstance(spec, dict) else ""
        store.trust.check(parts, Path(name).name, f"the sweep {sweep.spec}/{sweep.sweep}", folder / name)
    frame = (lambda: frame_of_bytes(store.frame(sweep))) if sweep.has_frame else None
    origin = f"the spec of {sweep.sweep}"
    return check_spec(Source(spec, origin, folder, parts=parts, frame=frame))


def recorded_plan(store: Store, sweep: SweepInfo, purpose: str) -> Plan:
    """The plan that a sweep was run by. Raises SpecError, saying `purpose`, where data or engine have changed since."""
    plan = make_plan(recorded_spec(store, sweep))
    differing = identity_mismatches(sweep, plan.dataset.fingerprint)
    if differing:
        raise SpecError(f"the sweep {sweep.sweep} can't be {purpose}: {' and '.join(differing)} differ(s) by now")
    return plan


def planned_trial(plan: Plan, number: int) -> Trial:
    """The trial of this number, as the engine needs it."""
    population = plan.population(number)
    architecture, data = population.architecture, plan.dataset
    place = slice(number - population.first, number - population.first + 1)
    columns = {name: column[place] for name, column in population.columns.items()}
    return Trial(
        model=architecture.model(architecture.widths(data)),
        loss=architecture.parts.loss(architecture.loss),
        rule=architecture.rule,
        hyperparameters={name: float(column[0]) for name, column in program_columns(columns).items()},
        initial=initial(columns, architecture, data)[0],
        samples=data.training(architecture.loss, architecture.output),
        config=architecture.config,
        seed=int(columns["seed"][0]),
    )
