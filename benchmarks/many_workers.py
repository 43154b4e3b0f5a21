"""A sweep on 64 workers whose training is a sleep: what bounds it when training has all the cores that it can use?

    python benchmarks/many_workers.py [--workers 64] [--milliseconds 1.7] [--trials 20000]

The workers are real Ray tasks. A task sleeps as long as its trials take on a core of its own, and then makes their
tables from the curves of networks that it has trained once. Recorders, driver and PostgreSQL are real, and share this
machine's cores with the making of tables. The printed shares say how busy the driver is.

The sweep is that of accounting.py, which measures the milliseconds of a trial.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

_ROOT = Path(__file__).absolute().parent.parent
sys.path[0] = str(_ROOT)  # else engine.py of this folder would hide the engine

from benchmarks.accounting import TRIALS_A_SEED, spec  # noqa: E402
from benchmarks.resources import DRIVER, database_of, usage  # noqa: E402
from experiments.data.datasets import Dataset  # noqa: E402
from experiments.spec import load_spec  # noqa: E402
from service.execution import cluster  # noqa: E402
from service.execution.shard import Shard  # noqa: E402
from service.execution.shard_tables import ShardSummary, ShardTables, TableSettings  # noqa: E402
from service.run import run_sweep  # noqa: E402
from tests.service.postgres import running_postgres  # noqa: E402

_SHARD = 250  # trials


def _sleep_and_make_tables(
    shard: Shard, datasets: Sequence[Dataset], settings: TableSettings
) -> tuple[ShardSummary, ShardTables]:
    """Do what a worker's task does, with a sleep for the training. The first task of a process trains."""
    import time
    from unittest.mock import patch

    from engine import train
    from service.execution import worker
    from service.execution.shard_tables import train_tables

    trained: dict[int, Any] = vars(worker).setdefault("trained", {})
    milliseconds = float(os.environ["GRADGRID_BENCHMARK_MILLISECONDS"])

    def asleep(*arguments: Any, **options: Any) -> Any:
        if shard.trials not in trained:
            trained[shard.trials] = train(*arguments, **options)
        time.sleep(shard.trials * milliseconds / 1000)
        return trained[shard.trials]

    with patch.object(worker, "train", asleep):
        return train_tables(shard, datasets, settings)


def _drive(uri: str, workers: int, trials: int) -> None:
    resolved = load_spec(spec(trials // TRIALS_A_SEED))
    with patch.object(cluster, "train_tables", _sleep_and_make_tables):
        result = run_sweep(resolved, tracking_uri=uri, workers=workers, shard_size=_SHARD)
    assert result.trials == trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--milliseconds", type=float, default=1.7, help="of a core, to train a trial")
    parser.add_argument("--trials", type=int, default=20_000, help="of the larger of two sweeps")
    parser.add_argument("--drive", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        _drive(arguments.drive, arguments.workers, arguments.trials)
        return
    os.environ["GRADGRID_BENCHMARK_MILLISECONDS"] = str(arguments.milliseconds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{arguments.workers} workers, {1000 * arguments.workers / arguments.milliseconds:,.0f} trials a second\n")
    measured = []
    with running_postgres() as postgres:
        for trials in (arguments.trials // 5, arguments.trials):
            with tempfile.TemporaryDirectory() as folder:
                uri, services = database_of(postgres)
                options = ["--workers", str(arguments.workers), "--trials", str(trials), "--drive", uri]
                measured.append(usage([sys.executable, __file__, *options], folder, services))
    few, many = measured
    more, seconds = arguments.trials - arguments.trials // 5, many.wall - few.wall
    print(f"{more / seconds:,.0f} trials a second\n")
    print("| process | CPU ms a trial | share of a core | trials a second that it alone could do |\n|---|---|---|---|")
    for role, spent in sorted(many.cpu.items(), key=lambda pair: -pair[1]):
        spent -= few.cpu.get(role, 0.0)
        alone = f"{more / spent:,.0f}" if role == DRIVER else ""
        print(f"| {role} | {1000 * spent / more:.2f} | {spent / seconds:.2f} | {alone} |")


if __name__ == "__main__":
    main()
