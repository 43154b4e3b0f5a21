"""Running sweeps and keeping them. From Python: `sweep` runs one, `load_sweep` finds one that was recorded."""

from service.api import RecordedSweep, load_sweep, sweep

__all__ = ["RecordedSweep", "load_sweep", "sweep"]
