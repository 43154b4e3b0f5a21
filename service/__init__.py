"""Run and record sweeps. In Python, `sweep` runs a sweep and `load_sweep` finds a recorded one."""

from service.api import RecordedSweep, load_sweep, sweep

__all__ = ["RecordedSweep", "load_sweep", "sweep"]
