"""The spec and plan of a sweep that was recorded, from the store alone."""

from __future__ import annotations

from pathlib import Path

from experiments.errors import SpecError
from experiments.source import Source
from experiments.spec import Sweepable, check_spec
from service.plan import Plan, make_plan
from service.recording.infos import SweepInfo, differences
from service.recording.sweeps import Store


def recorded_spec(store: Store, sweep: SweepInfo) -> Sweepable:
    """The spec that a sweep was begun with; relative paths begin where they did then."""
    folder = Path(sweep.tags.get("gradgrid.folder", "."))
    return check_spec(Source(store.spec(sweep), f"the spec of {sweep.sweep}", folder, parts=store.parts(sweep)))


def recorded_plan(store: Store, sweep: SweepInfo, purpose: str) -> Plan:
    """The plan that a sweep was run by. Raises SpecError, saying `purpose`, where data or engine have changed since."""
    plan = make_plan(recorded_spec(store, sweep))
    differing = differences(sweep, plan.dataset.fingerprint)
    if differing:
        raise SpecError(f"the sweep {sweep.sweep} can't be {purpose}: {' and '.join(differing)} differ(s) by now")
    return plan
