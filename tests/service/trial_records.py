"""Trial records that every recorder must write alike, and a sweep to write them into."""

import json
import math
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from service.recording import Recorder
from service.recording.infos import SweepInfo
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
            "grad_norm.layer1.weight": [(0, -0.0, BEGAN), (20, 1e300, BEGAN + 9)],
        },
        weights=[{"name": "layer1.weight", "shape": [1, 2], "values": [0.1, -3e-17]}],
        start_time=BEGAN,
        end_time=BEGAN + 9,
    )
    return replace(record, **changes)


RECORDS = [
    *(make_record(n) for n in range(5)),
    make_record(5, status="FAILED", curves={"loss": [(0, 2.0, BEGAN), (3, math.inf, BEGAN + 9)]}),
    make_record(6, curves={"loss": [(0, math.nan, BEGAN), (3, -math.inf, BEGAN), (20, math.nan, BEGAN + 9)]}),
    make_record(7, name="ünïcode ' \" \\ %s ?", params={"note": "a\tb\nc ; drop table runs"}),
]


def begin_sweep(uri: str, backend: str | None = None) -> tuple[Store, SweepInfo]:
    """Begin a sweep with a new id, because MLflow's client remembers a run's artifacts by the run's id alone."""
    store = Store(uri, create=True, backend_uri=backend)
    identity = f"20260101-000000-{uuid.uuid4().hex[:8]}"
    return store, store.begin(identity, "s", {"name": "s"}, {"gradgrid.objective": "loss"}, {})


def write(recorder: Recorder, records: Iterable[TrialRecord]) -> dict[str, str]:
    """Record trials; return trial -> run id, sorted by trial."""
    return {trial: str(run_id) for trial, run_id in sorted(recorder.record(list(records)))}


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
