"""Measure the CPU seconds of each process that takes part in a sweep, and the memory of its driver."""

from __future__ import annotations

import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.service.postgres import Postgres, new_database

DRIVER, WORKERS, RECORDERS, RAY = "driver", "workers", "recorders", "Ray"
SERVER, DATABASE = "server", "database"

_ROOT = Path(__file__).absolute().parent.parent
_PAUSE = 0.1  # seconds between two looks at the processes
_ROLES = {"ray::ShardRecorder": RECORDERS, "ray::": WORKERS}  # the beginnings of titles

Services = Mapping[int, str]
"""Process -> its role, of the services that a store needs; with their descendants."""


@dataclass(frozen=True)
class Usage:
    """What a sweep used.

    wall: seconds from start to exit.
    cpu: role -> CPU seconds.
    driver_memory: the most private memory of the driver, in bytes.
    """

    wall: float
    cpu: Mapping[str, float]
    driver_memory: int


def usage(command: Sequence[str], folder: str, services: Services) -> Usage:
    """Run a command that drives a sweep; return what it used.

    folder: the working folder.
    services: those of the store, which the command does not start.
    """
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    roles: dict[int, str] = {}
    spent: dict[int, float] = {}
    memory = 0
    before = {pid: seconds for service in services for pid, _, seconds in _family(service)}
    began = time.perf_counter()
    log = Path(folder) / "log"
    with log.open("wb") as output:
        driver = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        while driver.poll() is None:
            for pid, title, seconds in _family(driver.pid):
                role = DRIVER if pid == driver.pid else _role(title)
                if role != RAY or pid not in roles:  # a worker's title is another while it starts and ends
                    roles[pid] = role
                spent[pid] = seconds
            for service, role in services.items():
                for pid, _, seconds in _family(service):
                    roles[pid], spent[pid] = role, seconds - before.get(pid, 0.0)
            memory = max(memory, _private_memory(driver.pid))
            time.sleep(_PAUSE)
    assert driver.returncode == 0, log.read_text(encoding="utf-8")[-2000:]
    by_role: dict[str, float] = defaultdict(float)
    for pid, seconds in spent.items():
        by_role[roles[pid]] += seconds
    return Usage(time.perf_counter() - began, by_role, memory)


def _private_memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0


def _role(title: str) -> str:
    return next((role for beginning, role in _ROLES.items() if beginning in title), RAY)


def _family(root: int) -> Iterator[tuple[int, str, float]]:
    """Yield pid, title and CPU seconds of a process and its descendants."""
    try:
        family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            times = process.cpu_times()
            yield process.pid, " ".join(process.cmdline()), times.user + times.system
        except psutil.NoSuchProcess:
            continue


def database_of(postgres: Postgres) -> tuple[str, Services]:
    """Return the address of a new database, and its server."""
    pid = (Path(postgres.folder) / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    return new_database(postgres.address), {int(pid): DATABASE}
