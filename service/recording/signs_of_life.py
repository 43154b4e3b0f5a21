"""Whether a sweep's driver is at work: the tags that it leaves on the sweep's run while it is, and how they are read.

A driver on this machine is looked for among the processes, by its id and the time at which it started, for ids are
used again; one that is there must have shown itself lately too, unless it was stopped with Ctrl-Z. This process knows
which sweeps it runs: a notebook outlives the sweeps that ended in it.

Of another machine's driver only the time of its last heartbeat is known, by that machine's clock. So the clocks of
machines that share a store should agree within a few minutes; a time that lies ahead counts as now.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from service.recording.infos import SweepInfo
from service.recording.tags import Tag

SECONDS_BETWEEN_BEATS = 20.0
LOST_AFTER_SECONDS = 300.0

_STOPPED = ("T", "t")
_ENDED = ("Z", "X")  # a process that nobody has waited for yet

_under_way: set[str] = set()  # the runs of the sweeps that this process drives


@dataclass(frozen=True)
class Driver:
    """A process and the machine that it runs on. Text is empty where the system doesn't say.

    boot: differs each time that the machine starts. processes: the namespace that `pid` counts in, which differs from
    container to container. started: when the process started, in the system's own ticks.
    """

    host: str
    boot: str
    processes: str
    pid: int
    started: str


def this_driver() -> Driver:
    """This process."""
    return Driver(
        host=socket.gethostname(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        processes=_link("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=_process(os.getpid())[1],
    )


def heartbeat_tags() -> dict[str, str]:
    """What a driver tags the sweep's run with, again and again."""
    return {Tag.HEARTBEAT: str(time.time_ns() // 1_000_000)}


def driver_tags() -> dict[str, str]:
    """What a driver tags the sweep's run with as it begins."""
    return {Tag.DRIVER: json.dumps(asdict(this_driver())), **heartbeat_tags()}


@contextmanager
def driving(sweep: SweepInfo) -> Iterator[None]:
    """While the block runs, this process is at work on the sweep."""
    _under_way.add(sweep.run_id)
    try:
        yield
    finally:
        _under_way.discard(sweep.run_id)


def why_lost(sweep: SweepInfo) -> str:
    """Why a sweep that says it is running is not, in words; empty where it is, or where nothing is known.

    Sweeps of versions that left no signs of life count as running.
    """
    driver = _driver(sweep)
    if driver is None or _is_at_work(driver, sweep):
        return ""
    if _is_here(driver) and driver.pid == os.getpid():
        return "it has ended in this process"
    if _is_here(driver) and not _state(driver):
        return f"process {driver.pid} of this machine is gone"
    return f"no sign of life from process {driver.pid} on {driver.host} for {_quiet_seconds(sweep) / 60:,.0f} minutes"


def who_is_at_work(sweep: SweepInfo) -> str:
    """The driver that a sweep has, in words; empty where it has none, or where nothing is known."""
    driver = _driver(sweep)
    if driver is None or not _is_at_work(driver, sweep):
        return ""
    if _is_here(driver):
        return f"process {driver.pid} of this machine"
    return f"process {driver.pid} on {driver.host}, seen {_quiet_seconds(sweep):,.0f} s ago"


def shown_status(sweep: SweepInfo) -> str:
    """MLflow's status of the sweep's run, or LOST where it says RUNNING and is not."""
    return "LOST" if why_lost(sweep) else sweep.status


def _driver(sweep: SweepInfo) -> Driver | None:
    """The driver of a sweep that says it is running."""
    if sweep.status != "RUNNING" or Tag.HEARTBEAT not in sweep.tags:
        return None
    try:
        return Driver(**json.loads(sweep.tags[Tag.DRIVER]))
    except (KeyError, TypeError, ValueError):
        return None


def _is_at_work(driver: Driver, sweep: SweepInfo) -> bool:
    here = this_driver()
    if driver.host == here.host and driver.boot != here.boot:
        return False  # the machine was started again
    if _is_here(driver):
        state = _state(driver)
        if not state or state in _STOPPED:
            return bool(state)
        if driver.pid == os.getpid():
            return sweep.run_id in _under_way
    return _quiet_seconds(sweep) < LOST_AFTER_SECONDS


def _is_here(driver: Driver) -> bool:
    """Whether this machine's processes can be asked."""
    here = this_driver()
    same = (driver.host, driver.boot, driver.processes) == (here.host, here.boot, here.processes)
    return same and sys.platform != "win32"  # where asking for a process can end it


def _quiet_seconds(sweep: SweepInfo) -> float:
    try:
        return max(0.0, time.time() - int(sweep.tags[Tag.HEARTBEAT]) / 1000)
    except ValueError:
        return 0.0


def _state(driver: Driver) -> str:
    """The state of a driver's process, by Linux's letters; "?" where the system doesn't say, "" where it is gone."""
    try:
        os.kill(driver.pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass  # another user's
    state, started = _process(driver.pid)
    gone = state in _ENDED or (started and driver.started and started != driver.started)
    return "" if gone else state or "?"


def _process(pid: int) -> tuple[str, str]:
    """A process's state and when it started; both empty where the system doesn't say."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return "", ""
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return state, fields[18]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - it leads to no file
    except OSError:
        return ""
