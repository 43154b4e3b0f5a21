"""Trial records that every recorder must write alike, and a sweep to write them into.

A record is easier to write down than a table, so tests begin with records.
"""

import itertools
import json
import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from engine.tensors import Tensor
from service.recording.bulk_recorder import run_id
from service.recording.infos import SweepInfo
from service.recording.recorder import Recorder
from service.recording.run_table import RunTable
from service.recording.store import Store
from service.recording.trial_record import TrialRecord

BEGAN = 1_790_000_000_000


def make_record(number: int, **changes: Any) -> TrialRecord:
    record = TrialRecord(
        number=number,
        trial=f"trial{number:04}",
        name=f"relu, 0.1, {number}",
        status="FINISHED",
        params={"learning_rate": "0.1", "hidden": "[8, 8]", "seed": str(number)},
        tags={
            "gradgrid.trial": f"trial{number:04}",
            "gradgrid.number": str(number),
            "gradgrid.outcome": "finished",
            "gradgrid.outcome_step": "0",
            "gradgrid.last_step": "20",
        },
        curves={
            "loss": [(0, 1.5 + number, BEGAN), (10, 0.1 + 0.2, BEGAN + 5), (20, 5e-324 * number, BEGAN + 9)],
            "grad_norm.layer1.weight": [(0, -0.0, BEGAN), (10, 2.5, BEGAN + 5), (20, 1e300, BEGAN + 9)],
        },
        weights=[{"name": "layer1.weight", "shape": [1, 2], "values": [0.1, -3e-17]}],
        start_time=BEGAN,
        end_time=BEGAN + 9,
    )
    return replace(record, **changes)


_MEASURES = ("roc_auc", "test_roc_auc")
"""The metrics of records that have a last point alone."""


def _measured(number: int, training: float, test: float) -> TrialRecord:
    record = make_record(number)
    points = {name: [(20, value, BEGAN + 9)] for name, value in zip(_MEASURES, (training, test), strict=True)}
    return replace(record, curves={**record.curves, **points})


RECORDS = [
    *(make_record(n) for n in range(5)),
    make_record(5, status="FAILED", curves={"loss": [(0, 2.0, BEGAN), (3, math.inf, BEGAN + 9)]}),
    make_record(6, curves={"loss": [(0, math.nan, BEGAN), (3, -math.inf, BEGAN), (20, math.nan, BEGAN + 9)]}),
    make_record(7, name="ünïcode ' \" \\ %s ?", params={"note": "a\tb\nc ; drop table runs"}),
    _measured(8, 0.75, math.nan),
    _measured(9, math.inf, 0.1 + 0.2),
]


def begin_sweep(uri: str, backend: str | None = None) -> tuple[Store, SweepInfo]:
    """Begin a sweep with a new id, because MLflow's client remembers a run's artifacts by the run's id alone."""
    store = Store(uri, create=True, backend_uri=backend)
    identity = f"20260101-000000-{uuid.uuid4().hex[:8]}"
    return store, store.begin(identity, "s", {"name": "s"}, {"gradgrid.objective": "loss"}, {})


def run_table(sweep: SweepInfo, records: Iterable[TrialRecord]) -> RunTable:
    """Return a table of these records: of several, if their curves or params differ."""
    records = list(records)
    names = [name for name in records[0].curves if name not in _MEASURES]
    points = [list(record.curves[names[0]]) for record in records]
    for record in records:
        assert [list(values) for values in (record.curves, record.params)] == [
            list(values) for values in (records[0].curves, records[0].params)
        ]

    def column(name: str) -> list[Any]:
        return [getattr(record, name) for record in records]

    return RunTable.from_columns(
        {
            **{name: column(name) for name in ("number", "trial", "name", "status", "start_time", "end_time")},
            "run_id": [run_id(sweep.sweep, record.trial, record.number) for record in records],
        },
        params={name: [record.params[name] for record in records] for name in records[0].params},
        tags={name: [record.tags[name] for record in records] for name in records[0].tags},
        points=np.array([len(part) for part in points]),
        step=np.array([step for part in points for step, _, _ in part]),
        time=np.array([time for part in points for _, _, time in part]),
        curves={name: np.array([value for r in records for _, value, _ in r.curves[name]]) for name in names},
        measures={
            name: np.array([r.curves[name][0][1] for r in records]) for name in _MEASURES if name in records[0].curves
        },
        weights=np.array([[v for tensor in record.weights for v in tensor["values"]] for record in records]),
        tensors=[Tensor(tensor["name"], tuple(tensor["shape"])) for tensor in records[0].weights],
    )


def tables(sweep: SweepInfo, records: Iterable[TrialRecord]) -> Iterator[RunTable]:
    """Yield the records as tables; neighbours with the same columns share one."""

    def columns(record: TrialRecord) -> tuple[object, ...]:
        return tuple(record.curves), tuple(record.params), tuple(record.tags)

    for _, group in itertools.groupby(records, columns):
        yield run_table(sweep, group)


def write(recorder: Recorder, sweep: SweepInfo, records: Iterable[TrialRecord]) -> dict[str, str]:
    """Record trials; return trial -> run id, sorted by trial."""
    written: dict[str, str] = {}
    for table in tables(sweep, records):
        written.update(zip(table.texts("trial"), recorder.record(table), strict=True))
    return dict(sorted(written.items()))


def recorded_runs(store: Store, sweep: SweepInfo, folder: Path) -> dict[str, Any]:
    """Return a sweep's runs as MLflow's client reads them, by trial, without ids and places, which must differ."""
    client = MlflowClient(store.uri)
    seen = {}
    for run in client.search_runs([sweep.experiment_id], max_results=1000):
        identity = run.info.run_id
        info = run.info
        (artifact,) = client.list_artifacts(identity)
        content = Path(client.download_artifacts(identity, artifact.path, str(folder))).read_text(encoding="utf-8")
        place = client.get_experiment(sweep.experiment_id).artifact_location
        assert info.artifact_uri == f"{place}/{identity}/artifacts"
        seen[run.data.tags["gradgrid.trial"]] = {
            "info": (info.run_name, info.status, info.start_time, info.end_time, info.lifecycle_stage, info.user_id),
            "params": run.data.params,
            "tags": run.data.tags,
            "latest": {k: repr(v) for k, v in run.data.metrics.items()},
            "history": {
                k: sorted((m.step, repr(m.value), m.timestamp) for m in client.get_metric_history(identity, k))
                for k in run.data.metrics
            },
            "artifact": (artifact.path, json.loads(content)),
        }
    return seen
