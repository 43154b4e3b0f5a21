"""The spec of a sweep that is to be resumed, from the store alone."""

from __future__ import annotations

from pathlib import Path

from experiments.source import Source
from experiments.spec import Sweepable, check_spec
from service.recording.sweeps import Store


def recorded_spec(sweep: str, tracking_uri: str | None) -> Sweepable:
    """Read the spec that a sweep was begun with. Raises NotFoundError where there is no such sweep."""
    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    folder = Path(found.tags.get("gradgrid.folder", "."))
    return check_spec(Source(store.spec(found), f"the spec of {found.sweep}", folder))
