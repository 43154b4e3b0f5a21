"""How many cores this process may use: those that it may run on, and what its control groups let it have of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CONTROLLER = "cpu"


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use, at least one; part of a core that a quota gives counts as one.

    root: where `proc` is looked for, and the folders that it names; for tests.
    """
    quota = min(_quotas(root), default=math.inf)
    cores = _schedulable_cores()
    return cores if quota >= cores else max(1, math.ceil(quota))


def _schedulable_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13: heeds PYTHON_CPU_COUNT too
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """The quota, in cores, of each control group that this process is in, its own and those around it."""
    for mount, inside in _group_folders(root):
        for folder in (inside, *inside.parents):
            yield from _quota(root / mount.relative_to("/") / folder.relative_to("/"))


def _group_folders(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """Where each hierarchy that limits processors is mounted, and where in it this process's group is.

    A container may see its own group as the hierarchy's root while its path is still told from outside.
    """
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups[controllers] = PurePosixPath(path)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        top, place = (PurePosixPath(_unescaped(field)) for field in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        for controllers, group in groups.items():
            unified = kind == "cgroup2" and not controllers
            split = kind == "cgroup" and _CONTROLLER in controllers.split(",") and _CONTROLLER in options.split(",")
            if unified or split:
                inside = group.relative_to(top) if group.is_relative_to(top) else "."
                yield place, PurePosixPath("/") / inside


def _quota(folder: Path) -> Iterator[float]:
    """What a control group's files say: version 2's, then version 1's. None where there is no limit."""
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
    """A path of mountinfo, in which blanks are octal."""
    return field.replace("\\040", " ")
