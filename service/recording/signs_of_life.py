"""Tell whether a sweep's driver is at work, by the tags that it writes on the sweep's run.

A driver on this machine is searched among the processes, by its id and its start time, because the system uses ids
again. Its last heartbeat must be recent too, unless Ctrl-Z has stopped it. This process remembers which sweeps it runs:
a notebook outlives its sweeps.

Of a driver on another machine only the last heartbeat is known, by that machine's clock. So the clocks of machines that
share a store must agree within a few minutes. A heartbeat in the future counts as now.
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
_ENDED = ("Z", "X")  # a zombie: its parent has not read its exit code

_under_way: set[str] = set()  # the runs of the sweeps that this process drives


@dataclass(frozen=True)
class Driver:
    """A process and its machine. Texts are empty if the system does not give them.

    host: the machine's name.
    boot: the id of the machine's last start.
    processes: the namespace of process ids, which differs from container to container.
    pid: the process's id.
    started: when the process started, in clock ticks since the machine's start.
    """

    host: str
    boot: str
    processes: str
    pid: int
    started: str


def this_driver() -> Driver:
    """Return the driver that this process is."""
    return Driver(
        host=socket.gethostname(),
        boot=_read("/proc/sys/kernel/random/boot_id"),
        processes=_link("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=_process(os.getpid())[1],
    )


def heartbeat_tags() -> dict[str, str]:
    """Return the tags that a driver writes on the sweep's run at each heartbeat."""
    return {Tag.HEARTBEAT: str(time.time_ns() // 1_000_000)}


def driver_tags() -> dict[str, str]:
    """Return the tags that a driver writes on the sweep's run when it begins."""
    return {Tag.DRIVER: json.dumps(asdict(this_driver())), **heartbeat_tags()}


@contextmanager
def driving(sweep: SweepInfo) -> Iterator[None]:
    """Count this process as the sweep's driver while the block runs."""
    _under_way.add(sweep.run_id)
    try:
        yield
    finally:
        _under_way.discard(sweep.run_id)


def why_lost(sweep: SweepInfo) -> str:
    """Return why a sweep with the status RUNNING has no driver at work; empty if it may have one.

    Sweeps of versions without heartbeats count as running.
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
    """Return the words for the driver that is at work on a sweep; empty if there is none, or if nothing is known."""
    driver = _driver(sweep)
    if driver is None or not _is_at_work(driver, sweep):
        return ""
    if _is_here(driver):
        return f"process {driver.pid} of this machine"
    return f"process {driver.pid} on {driver.host}, seen {_quiet_seconds(sweep):,.0f} s ago"


def shown_status(sweep: SweepInfo) -> str:
    """Return MLflow's status of the sweep's run, but LOST if it is RUNNING without a driver."""
    return "LOST" if why_lost(sweep) else sweep.status


def _driver(sweep: SweepInfo) -> Driver | None:
    """Return the driver of a sweep with the status RUNNING; None if it has no readable tag."""
    if sweep.status != "RUNNING" or Tag.HEARTBEAT not in sweep.tags:
        return None
    try:
        return Driver(**json.loads(sweep.tags[Tag.DRIVER]))
    except (KeyError, TypeError, ValueError):
        return None


def _is_at_work(driver: Driver, sweep: SweepInfo) -> bool:
    here = this_driver()
    if driver.host == here.host and driver.boot != here.boot:
        return False  # the machine has restarted
    if _is_here(driver):
        state = _state(driver)
        if not state or state in _STOPPED:
            return bool(state)
        if driver.pid == os.getpid():
            return sweep.run_id in _under_way
    return _quiet_seconds(sweep) < LOST_AFTER_SECONDS


def _is_here(driver: Driver) -> bool:
    """Return whether the driver is among the processes that this process can see."""
    here = this_driver()
    same = (driver.host, driver.boot, driver.processes) == (here.host, here.boot, here.processes)
    return same and sys.platform != "win32"  # where os.kill(pid, 0) ends the process


def _quiet_seconds(sweep: SweepInfo) -> float:
    try:
        return max(0.0, time.time() - int(sweep.tags[Tag.HEARTBEAT]) / 1000)
    except ValueError:
        return 0.0


def _state(driver: Driver) -> str:
    """Return the state of a driver's process as Linux's letter; "?" if it is unknown, "" if the process is gone."""
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
    """Return a process's state and its start time; both empty if the system does not give them."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return "", ""
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return state, fields[18]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - its target is not a path
    except OSError:
        return ""
