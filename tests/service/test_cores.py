"""The number of cores that a process may use, under quotas of control groups."""

import os
from pathlib import Path

import pytest

from service.execution.cores import available_cores

_UNIFIED = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw"
_SPLIT = "33 31 0:30 {top} /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct"


def _limits(group: str, quota: str, period: str) -> dict[str, str]:
    """Return the files of a control group of version 1."""
    folder = f"sys/fs/cgroup/cpu,cpuacct{group}"
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


def _machine(root: Path, groups: str, mounts: str, limits: dict[str, str]) -> Path:
    """Return a root folder in which a process is in these control groups. limits: file -> its text."""
    for file, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **limits}.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("groups", "mounts", "limits", "expected"),
    [
        ("0::/", _UNIFIED, {}, 64),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "max 100000"}, 64),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2),  # a container that sees its group as root
        ("0::/a/b", _UNIFIED, {"sys/fs/cgroup/a/b/cpu.max": "300000 100000"}, 3),
        (
            "0::/a/b",
            _UNIFIED,
            {"sys/fs/cgroup/a/cpu.max": "150000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"},
            2,
        ),
        ("0::/docker/123", _UNIFIED, {"sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ("0::/", _UNIFIED, {"sys/fs/cgroup/cpu.max": "9900000 100000"}, 64),
        (
            "4:cpu,cpuacct:/docker/123\n0::/docker/123",
            _SPLIT.format(top="/docker/123"),
            _limits("", "200000", "100000"),
            2,
        ),
        (
            "4:cpu,cpuacct:/a/b\n9:memory:/",
            _SPLIT.format(top="/"),
            {**_limits("/a", "50000", "10000"), **_limits("/a/b", "-1", "100000")},
            5,
        ),
        (
            "3:cpuset:/",
            "35 31 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
            {"sys/fs/cgroup/cpuset/cpu.max": "1 1"},
            64,
        ),
    ],
)
def test_a_quota_of_processors_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, mounts: str, limits: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    assert available_cores(_machine(tmp_path, groups, mounts, limits)) == expected


def test_without_control_groups_all_cores_that_may_be_run_on_count(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))
