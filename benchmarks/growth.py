"""What a trial costs, and how much memory the driver takes, as a sweep grows from 10,000 to 1,000,000 trials.

    python benchmarks/growth.py [--largest 1000000] [--points 5] [--only SQLite|PostgreSQL|summary]

Each trial is a neuron 2-1, 200 steps. It has three curves and no weights; with 5 points a curve, a million trials are
15 million metric rows. `summary` records rows of a Parquet file instead of runs. A trial's cost is the wall time that a
sweep takes longer than one of 1,000 trials, for each of its further trials. It takes an hour.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(_ROOT)  # else engine.py of this folder would hide the engine

import yaml  # noqa: E402

from benchmarks.folders import new_folder  # noqa: E402
from benchmarks.resources import Services, Usage, database_of, usage  # noqa: E402
from tests.service.postgres import Postgres, binaries, running_postgres  # noqa: E402

_KINDS = ("SQLite", "PostgreSQL", "summary")
_SMALLEST = 1_000


def _spec(trials: int, points: int, runs: str) -> dict[str, Any]:
    return {
        "name": "growth",
        "dataset": {"name": "moons", "test_fraction": 0},
        "loss": "mean_squared_error",
        "steps": 200,
        "model": {"output": "tanh"},
        "grid": {
            "learning_rate": {"logspace": [0.001, 1.0], "points": trials // 100},
            "seed": {"range": 100},
        },
        "record": {"points": points, "gradients": "norm", "health": "none", "weights": "none", "runs": runs},
    }


@contextmanager
def _store(kind: str, postgres: Postgres | None) -> Iterator[tuple[str, str, Services]]:
    """Yield a working folder, a new store, and the services that it needs."""
    folder = new_folder()
    if kind == "PostgreSQL":
        assert postgres is not None, "PostgreSQL is not installed"
        yield folder, *database_of(postgres)
    else:
        yield folder, f"sqlite:///{folder}/mlflow.db", {}


def _measure(kind: str, trials: int, points: int, postgres: Postgres | None) -> Usage:
    """Run a sweep of this size into a new store."""
    with _store(kind, postgres) as (folder, uri, services):
        spec = _spec(trials, points, "summary" if kind == "summary" else "all")
        (Path(folder) / "sweep.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        command = [sys.executable, "-m", "service.cli", "sweep", "sweep.yaml", "--workers", "2"]
        return usage([*command, "--tracking-uri", uri], folder, services)


def _print_rows(kind: str, points: int, sizes: list[int], postgres: Postgres | None) -> None:
    """Run sweeps of these sizes, and print a line for each but the first, whose cost is that of starting."""
    few = _measure(kind, sizes[0], points, postgres)
    first_cost = None
    for trials in sizes[1:]:
        many = _measure(kind, trials, points, postgres)
        cost = 1000 * (many.wall - few.wall) / (trials - sizes[0])
        first_cost = first_cost or cost
        memory, more = many.driver_memory / 2**20, (many.driver_memory - few.driver_memory) / 2**20
        shown = f"{many.wall:,.1f} | {cost:.3f} | {cost / first_cost:.2f} | {memory:,.0f} | {more:+,.0f}"
        print(f"| {kind} | {trials:,} | {shown} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--points", type=int, default=5, help="of a curve")
    parser.add_argument("--only", choices=_KINDS, action="append")
    arguments = parser.parse_args()
    kinds = arguments.only or _KINDS
    sizes = [_SMALLEST]
    while sizes[-1] < arguments.largest:
        sizes.append(10 * sizes[-1])
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| recorded in | trials | seconds | ms a trial | relative | driver's memory, MiB | more than for 1,000 |")
    print("|---|---|---|---|---|---|---|")
    with running_postgres() if "PostgreSQL" in kinds and binaries() else nullcontext() as postgres:
        for kind in kinds:
            _print_rows(kind, arguments.points, sizes, postgres)


if __name__ == "__main__":
    main()
