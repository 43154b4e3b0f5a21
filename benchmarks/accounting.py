"""CPU milliseconds a trial in each process of a sweep, and what bounds a larger cluster.

    python benchmarks/accounting.py [--rounds 3] [--only SQLite|PostgreSQL|server]

A small and a large sweep of moons 2-8-8-1 (300 steps, 150 samples, 13 curves of 25 points: 325 metric rows a trial) run
on two workers. A process's share is the difference of its CPU seconds between the two, divided by the difference of
their trials: what starting takes is left out. Figures are medians of the rounds. `server` is an MLflow server with
gradgrid's app before a PostgreSQL database; it serves the artifacts too.

The second table follows from the first: as many trials a second as the slowest of the processes can do, if each
recorder and each of the database's connections has a core.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(_ROOT)  # else engine.py of this folder would hide the engine

import yaml  # noqa: E402

from benchmarks.folders import new_folder  # noqa: E402
from benchmarks.resources import (  # noqa: E402
    DATABASE,
    DRIVER,
    RAY,
    RECORDERS,
    SERVER,
    WORKERS,
    Services,
    Usage,
    database_of,
    usage,
)
from tests.service.postgres import Postgres, binaries, running_postgres  # noqa: E402
from tests.service.tracking import running_server  # noqa: E402

_SMALL, _LARGE = 10, 50  # seeds
TRIALS_A_SEED = 4 * 50
_CORES = (2, 8, 32, 128)

_KINDS = ("SQLite", "PostgreSQL", "server")
_WRITERS = {"SQLite": 1, "PostgreSQL": 2, "server": 2}  # recorders, and as many connections of the database

Store = Callable[[], AbstractContextManager[tuple[str, Services]]]
"""Makes a new store; its address, and the services that it needs."""


def spec(seeds: int) -> dict[str, Any]:
    """Return a sweep of 200 trials a seed."""
    return {
        "name": "accounting",
        "dataset": {"name": "moons", "samples": 200, "test_fraction": 0.25},
        "model": {"hidden": [8, 8]},
        "loss": "mean_squared_error",
        "steps": 300,
        "grid": {
            "activation": ["tanh", "relu", "sigmoid", "gelu"],
            "learning_rate": {"logspace": [0.01, 1.0], "points": 50},
            "seed": {"range": seeds},
        },
        "record": {"points": 25},
    }


def _measure(seeds: int, uri: str, folder: str, services: Services) -> Usage:
    """Run a sweep; return what it used. services: those of the store."""
    (Path(folder) / "sweep.yaml").write_text(yaml.safe_dump(spec(seeds)), encoding="utf-8")
    command = [sys.executable, "-m", "service.cli", "sweep", "sweep.yaml", "--workers", "2", "--tracking-uri", uri]
    return usage(command, folder, services)


def _round(store: Store) -> tuple[dict[str, float], float]:
    """Return CPU milliseconds a trial by role, and the wall seconds of the large sweep."""
    used = []
    for seeds in (_SMALL, _LARGE):
        with store() as (uri, services):
            used.append(_measure(seeds, uri, new_folder(), services))
    small, large = used
    more = TRIALS_A_SEED * (_LARGE - _SMALL)
    return {role: 1000 * (large.cpu[role] - small.cpu.get(role, 0.0)) / more for role in large.cpu}, large.wall


@contextmanager
def _store(kind: str, postgres: Postgres | None) -> Iterator[tuple[str, Services]]:
    """Yield a new store of a kind."""
    folder = new_folder()
    if kind == "SQLite":
        yield f"sqlite:///{folder}/mlflow.db", {}
        return
    assert postgres is not None, "PostgreSQL is not installed"
    uri, services = database_of(postgres)
    if kind == "PostgreSQL":
        yield uri, services
        return
    with running_server(Path(folder), store=uri, app=True, workers=2) as server:
        assert server.process is not None
        yield server.uri, {**services, server.process.pid: SERVER}


def _bounds(shares: Mapping[str, float], cores: int, recorders: int) -> dict[str, float]:
    """Return the trials a second that each role can do. shares: CPU milliseconds a trial."""
    many = {WORKERS: cores, RECORDERS: recorders, DRIVER: 1, SERVER: recorders, DATABASE: recorders}
    return {role: 1000 * many[role] / share for role, share in shares.items() if role in many and share > 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=_KINDS)
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else _KINDS
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    shares: dict[str, dict[str, float]] = {}
    with running_postgres() if binaries() else nullcontext() as postgres:
        names = (DRIVER, WORKERS, RECORDERS, SERVER, DATABASE, RAY)
        print(f"| store | {' | '.join(names)} | seconds for 10,000 trials |\n|---{'|---' * (len(names) + 1)}|")
        for kind in kinds:
            rounds = [_round(partial(_store, kind, postgres)) for _ in range(arguments.rounds)]
            found = {role for by_role, _ in rounds for role in by_role}
            shares[kind] = {role: statistics.median(r.get(role, 0.0) for r, _ in rounds) for role in found}
            wall = statistics.median(wall for _, wall in rounds)
            shown = " | ".join(f"{shares[kind].get(name, 0.0):.2f}" for name in names)
            print(f"| {kind} | {shown} | {wall:.1f} |", flush=True)
    print("\n| store | worker cores | trials a second | bound |\n|---|---|---|---|")
    for kind, of_kind in shares.items():
        for cores in _CORES:
            bounds = _bounds(of_kind, cores, recorders=_WRITERS[kind])
            bound = min(bounds, key=lambda role: bounds[role])
            print(f"| {kind} | {cores} | {bounds[bound]:,.0f} | {bound} |")


if __name__ == "__main__":
    main()
