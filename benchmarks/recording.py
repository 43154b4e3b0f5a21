"""How many runs a second reach MLflow's store: bulk writing, MlflowClient, and a plain fluent loop.

    python benchmarks/recording.py [--rounds 3] [--postgresql URI]

The same trials (6 curves of 25 points: 150 metric rows; params, tags and final weights) are written into new stores of
the same kind, the ways in turn; figures are medians. `--postgresql` adds an empty PostgreSQL database.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).absolute().parent.parent)  # in this folder engine.py would hide the engine

import numpy as np  # noqa: E402

from service.recording.sweeps import Store  # noqa: E402
from service.records import TrialRecord  # noqa: E402

_CURVES, _POINTS, _SHARD = 6, 25, 200


def _records(count: int) -> list[TrialRecord]:
    rng = np.random.default_rng(0)
    began = time.time_ns() // 1_000_000
    return [
        TrialRecord(
            number=n,
            trial=uuid.uuid4().hex,
            name=f"relu, 0.1, {n}",
            status="FINISHED",
            params={f"param{k}": str(k) for k in range(10)},
            tags={"gradgrid.trial": str(n), "gradgrid.outcome": "finished"},
            curves={
                f"curve{c}": [(12 * p, float(rng.random()), began + p) for p in range(_POINTS)] for c in range(_CURVES)
            },
            weights=[{"name": "layer1.weight", "shape": [1, 3], "values": rng.random(3).tolist()}],
            start_time=began,
            end_time=began + _POINTS,
        )
        for n in range(count)
    ]


def _bulk(uri: str, records: list[TrialRecord]) -> None:
    store = Store(uri, create=True)
    sweep = store.begin(uuid.uuid4().hex[:8], f"s{uuid.uuid4().hex[:8]}", {}, {}, {})
    recorder = store.recorder(sweep, {})
    assert not recorder.note, recorder.note
    for start in range(0, len(records), _SHARD):
        assert list(recorder.record(records[start : start + _SHARD]))
    recorder.close()


def _client(uri: str, records: list[TrialRecord]) -> None:
    from mlflow import MlflowClient

    from service.recording.client import ClientRecorder

    client = MlflowClient(uri)
    experiment = client.create_experiment(uuid.uuid4().hex)
    assert list(ClientRecorder(client, experiment, uri, {}).record(records))


def _fluent(uri: str, records: list[TrialRecord]) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(uuid.uuid4().hex)
    for record in records:
        with mlflow.start_run(run_name=record.name):
            mlflow.log_params(dict(record.params))
            for point in range(_POINTS):
                step = next(iter(record.curves.values()))[point][0]
                mlflow.log_metrics({name: points[point][1] for name, points in record.curves.items()}, step=step)
            mlflow.log_dict({"tensors": list(record.weights)}, "final_weights.json")


_WAYS: dict[str, tuple[Callable[[str, list[TrialRecord]], None], int]] = {
    "plain loop: start_run, log_metrics": (_fluent, 30),
    "MlflowClient: create_run, log_batch, set_terminated": (_client, 100),
    "gradgrid in bulk": (_bulk, 3_000),
}


def _measure(kind: str, uri_of: Callable[[Path], str], rounds: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in _WAYS}
    for _ in range(rounds):
        for name, (write, count) in _WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                uri = uri_of(Path(folder))
                Store(uri, create=True)  # making the tables is not what is measured
                records = _records(count)
                began = time.perf_counter()
                write(uri, records)
                rates[name].append(count / (time.perf_counter() - began))
                os.chdir("/")
        print(f"{kind}: " + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items()), file=sys.stderr)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    slowest = min(medians.values())
    for name, rate in medians.items():
        print(f"| {kind} | {name} | {rate:,.0f} | {rate / slowest:,.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgresql", metavar="URI", help="an empty database, postgresql+psycopg://user@host/name")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| store | way | runs a second (median) | ratio |\n|---|---|---|---|")
    _measure("SQLite", lambda folder: f"sqlite:///{folder / 'mlflow.db'}", arguments.rounds)
    if arguments.postgresql:
        _measure("PostgreSQL", lambda folder: str(arguments.postgresql), arguments.rounds)


if __name__ == "__main__":
    main()
