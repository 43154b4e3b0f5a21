"""Count the cores that this process may use, within its CPU affinity and the quotas of its control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CONTROLLER = "cpu"


def available_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use, at least one. Part of a core counts as a core.

    root: the folder that holds `proc` and `sys`, for tests.
    """
    quota = min(_quotas(root), default=math.inf)
    cores = _schedulable_cores()
    return cores if quota >= cores else max(1, math.ceil(quota))


def _schedulable_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13; it reads PYTHON_CPU_COUNT too
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of this process's control groups and of the groups around them."""
    for mount, inside in _group_folders(root):
        for folder in (inside, *inside.parents):
            yield from _quota(root / mount.relative_to("/") / folder.relative_to("/"))


def _group_folders(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Yield, for each hierarchy that limits CPU time, its mount point and this process's group in it.

    In a container the mount may show the container's group as the root, while the group's path starts at the host's.
    """
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups[controllers] = PurePosixPath(path)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        top, mount = (PurePosixPath(_unescaped(field)) for field in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        for controllers, group in groups.items():
            unified = kind == "cgroup2" and not controllers
            split = kind == "cgroup" and _CONTROLLER in controllers.split(",") and _CONTROLLER in options.split(",")
            if unified or split:
                inside = group.relative_to(top) if group.is_relative_to(top) else "."
                yield mount, PurePosixPath("/") / inside


def _quota(folder: Path) -> Iterator[float]:
    """Yield a control group's quota in cores, from the files of version 2 or 1; nothing if it has no limit."""
    for line in _lines(folder / "cpu.max"):
        quota, period = line.split()
        if quota != "max":
            yield int(quota) / int(period)
    limits = zip(_lines(folder / "cpu.cfs_quota_us"), _lines(folder / "cpu.cfs_period_us"), strict=False)
    yield from (int(quota) / int(period) for quota, period in limits if int(quota) > 0)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _unescaped(field: str) -> str:
    """Return a path of mountinfo with blanks for their octal codes."""
    return field.replace("\\040", " ")
