"""The spec of a sweep that was recorded, from the store alone."""

from __future__ import annotations

from pathlib import Path

from experiments.source import Source
from experiments.spec import Sweepable, check_spec
from service.recording.infos import SweepInfo
from service.recording.sweeps import Store


def recorded_spec(store: Store, sweep: SweepInfo) -> Sweepable:
    """The spec that a sweep was begun with; relative paths begin where they did then."""
    folder = Path(sweep.tags.get("gradgrid.folder", "."))
    return check_spec(Source(store.spec(sweep), f"the spec of {sweep.sweep}", folder))
