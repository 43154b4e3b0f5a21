"""One contract for every way of recording: the same runs, field by field, whichever wrote them."""

import json
import math
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from experiments.errors import StoreError
from service.recording import Recorder
from service.recording import recorders as chooser
from service.recording.bulk_recorder import BulkRecorder, run_id
from service.recording.client_recorder import ClientRecorder
from service.recording.deleted import lost_runs
from service.recording.infos import SweepInfo
from service.recording.rest_recorder import HttpRecorder
from service.recording.runs import TRIAL, Runs
from service.recording.store import Store
from service.recording.trial_record import TrialRecord

_BEGAN = 1_790_000_000_000


def _record(number: int, **changes: Any) -> TrialRecord:
    record = TrialRecord(
        number=number,
        trial=f"trial{number:04}",
        name=f"relu, 0.1, {number}",
        status="FINISHED",
        params={"learning_rate": "0.1", "hidden": "[8, 8]", "seed": str(number)},
        tags={"gradgrid.trial": f"trial{number:04}", "gradgrid.outcome": "finished", "gradgrid.last_step": "20"},
        curves={
            "loss": [(0, 1.5 + number, _BEGAN), (10, 0.1 + 0.2, _BEGAN + 5), (20, 5e-324 * number, _BEGAN + 9)],
            "grad_norm.layer1.weight": [(0, -0.0, _BEGAN), (20, 1e300, _BEGAN + 9)],
        },
        weights=[{"name": "layer1.weight", "shape": [1, 2], "values": [0.1, -3e-17]}],
        start_time=_BEGAN,
        end_time=_BEGAN + 9,
    )
    return replace(record, **changes)


_RECORDS = [
    *(_record(n) for n in range(5)),
    _record(5, status="FAILED", curves={"loss": [(0, 2.0, _BEGAN), (3, math.inf, _BEGAN + 9)]}),
    _record(6, curves={"loss": [(0, math.nan, _BEGAN), (3, -math.inf, _BEGAN), (20, math.nan, _BEGAN + 9)]}),
    _record(7, name="ünïcode ' \" \\ %s ?", params={"note": "a\tb\nc ; drop table runs"}),
]

Kind = tuple[Store, SweepInfo, Recorder]


def _begin(uri: str, backend: str | None = None) -> tuple[Store, SweepInfo]:
    """A sweep of an id of its own: MLflow's client remembers where a run's artifacts are by the run's id alone."""
    store = Store(uri, create=True, backend_uri=backend)
    return store, store.begin(f"20260101-000000-{uuid.uuid4().hex[:8]}", "s", {"name": "s"}, {}, {})


_KINDS = {
    "client": ClientRecorder,
    "bulk": BulkRecorder,
    "postgres": BulkRecorder,
    "http": HttpRecorder,
    "behind http": BulkRecorder,
}


@pytest.fixture(params=list(_KINDS))
def kind(request: pytest.FixtureRequest, uri: str) -> Iterator[Kind]:
    """A store, a sweep and a recorder of each kind."""
    where, backend = uri, None
    if request.param == "postgres":
        where = request.getfixturevalue("make_postgres")()
    elif "http" in request.param:
        server = request.getfixturevalue("tracking_server")
        where, backend = server.uri, server.store if request.param == "behind http" else None
    store, sweep = _begin(where, backend)
    recorder = store.recorder(sweep, {})
    if request.param == "client":
        recorder.close()
        recorder = ClientRecorder(MlflowClient(where), sweep.experiment_id, where, {})
    assert isinstance(recorder, _KINDS[request.param])
    with closing(recorder):
        yield store, sweep, recorder


def _seen(store: Store, sweep: SweepInfo, folder: Path) -> dict[str, Any]:
    """All that MLflow's client tells of a sweep's runs, by trial, without what must differ (ids, places)."""
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


def test_every_kind_writes_what_the_client_writes(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Into a database of the same kind: SQLite keeps no sign of a zero, PostgreSQL does."""
    store, sweep, recorder = kind
    assert sorted(recorder.record(_RECORDS)) == [r.trial for r in _RECORDS]
    recorder.finish()
    other = f"sqlite:///{tmp_path / 'client.db'}"
    if store.uri.startswith("postgresql"):
        other = request.getfixturevalue("make_postgres")()
    peer, peer_sweep = _begin(other)
    list(ClientRecorder(MlflowClient(other), peer_sweep.experiment_id, other, {}).record(_RECORDS))
    ours, theirs = _seen(store, sweep, tmp_path), _seen(peer, peer_sweep, tmp_path)
    assert ours.keys() == theirs.keys()
    for trial, fields in theirs.items():
        for field, value in fields.items():
            assert ours[trial][field] == value, (trial, field)


def test_searching_and_sorting_find_the_same(kind: Kind) -> None:
    store, sweep, recorder = kind
    list(recorder.record(_RECORDS))
    client = MlflowClient(store.uri)

    def found(condition: str, *order: str) -> list[str]:
        runs = client.search_runs([sweep.experiment_id], condition, order_by=list(order))
        return [run.data.tags["gradgrid.trial"] for run in runs]

    assert found("params.seed = '3'") == ["trial0003"]
    assert found("metrics.loss > 1e300") == ["trial0005"]
    assert found("attributes.status = 'FAILED'") == ["trial0005"]
    assert (
        found("tags.`gradgrid.outcome` = 'finished' and metrics.loss < 1e-300", "metrics.loss DESC")[0] == "trial0007"
    )
    assert found("", "metrics.loss ASC")[:2] == ["trial0000", "trial0001"]
    assert found("", "metrics.loss ASC")[-1] == "trial0006"  # NaN comes last
    assert store.find(kind[2].runs["trial0002"][:12]).run_id == kind[2].runs["trial0002"]


def test_a_trial_is_never_there_twice(kind: Kind) -> None:
    store, sweep, recorder = kind
    list(recorder.record(_RECORDS[:3]))
    assert sorted(recorder.record(_RECORDS)) == [r.trial for r in _RECORDS]
    assert len(list(store.trials(sweep))) == len(_RECORDS) == len(set(recorder.runs.values()))


@pytest.mark.parametrize("where", ["uri", "make_postgres"])
def test_bulk_writes_a_trial_once_even_if_it_forgot_or_another_was_first(
    where: str, request: pytest.FixtureRequest
) -> None:
    given = request.getfixturevalue(where)
    store, sweep = _begin(given if isinstance(given, str) else given())
    for part in (_RECORDS[:3], _RECORDS[2:], _RECORDS):
        with closing(store.recorder(sweep, {})) as recorder:  # each begins without knowing of the others
            list(recorder.record(part))
    client = MlflowClient(store.uri)
    assert {t.run_id for t in store.trials(sweep)} == {run_id(sweep.sweep, r.trial, r.number) for r in _RECORDS}
    assert len(client.get_metric_history(run_id(sweep.sweep, "trial0002", 2), "loss")) == 3


def test_users_can_do_with_a_run_what_they_do_with_any_other(kind: Kind) -> None:
    store, sweep, recorder = kind
    list(recorder.record(_RECORDS))
    client = MlflowClient(store.uri)
    run = recorder.runs["trial0001"]
    client.set_tag(run, "mine", "yes")
    client.log_metric(run, "loss", 0.25, step=30)
    client.log_metric(run, "mine", 1.0)
    client.log_param(run, "mine", 2)
    client.log_text(run, "hello", "note.txt")
    client.update_run(run, name="renamed")
    data = client.get_run(run)
    assert (data.info.run_name, data.data.metrics["loss"], data.data.params["mine"]) == ("renamed", 0.25, "2")
    assert {a.path for a in client.list_artifacts(run)} == {"final_weights.json", "note.txt"}
    client.delete_run(run)
    active = client.search_runs([sweep.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    assert run not in {r.info.run_id for r in active}
    client.restore_run(run)
    assert client.get_run(run).info.lifecycle_stage == "active"


def test_the_tables_hold_the_same_rows(tmp_path: Path) -> None:
    """Column by column, what no API shows included; only ids and places may differ."""
    tables = {}
    for kind in ("client", "bulk"):
        uri = f"sqlite:///{tmp_path / kind}.db"
        store, sweep = _begin(uri)
        recorder = store.recorder(sweep, {})
        if kind == "client":
            recorder = ClientRecorder(MlflowClient(uri), sweep.experiment_id, uri, {})
        list(recorder.record(_RECORDS))
        names = {run: trial for trial, run in recorder.runs.items()}
        with sqlite3.connect(tmp_path / f"{kind}.db") as connection:
            connection.row_factory = sqlite3.Row
            for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
                rows = [dict(row) for row in connection.execute(f"select * from {table}")]
                own = [
                    {**row, "run_uuid": names[row["run_uuid"]], "artifact_uri": ""}
                    for row in rows
                    if row["run_uuid"] in names
                ]
                tables[kind, table] = sorted(map(repr, own))
        connection.close()
    for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
        assert tables["bulk", table] == tables["client", table]
        assert len(tables["bulk", table]) >= len(_RECORDS)


def test_the_store_passes_mlflows_own_schema_check(uri: str) -> None:
    import sqlalchemy
    from mlflow.store.db.utils import _verify_schema

    store, sweep = _begin(uri)
    recorder = store.recorder(sweep, {})
    list(recorder.record(_RECORDS))
    recorder.finish()
    recorder.close()
    engine = sqlalchemy.create_engine(uri)
    _verify_schema(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", uri], check=True, capture_output=True)
    assert len(list(store.trials(sweep))) == len(_RECORDS)
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        assert connection.execute("select count(*) from sqlite_stat1 where tbl = 'latest_metrics'").fetchone()[0] > 0
    connection.close()


def test_a_failing_transaction_leaves_nothing_behind(uri: str) -> None:
    store, sweep = _begin(uri)
    recorder = store.recorder(sweep, {})
    twice = [(0, 1.0, _BEGAN), (0, 1.0, _BEGAN)]  # against the primary key
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        list(recorder.record([*_RECORDS, _record(99, curves={"loss": twice})]))
    assert recorder.runs == {}
    assert list(store.trials(sweep)) == []
    assert len(list(recorder.record(_RECORDS))) == len(_RECORDS)


def test_several_write_into_one_store_at_once(uri: str) -> None:
    store, sweep = _begin(uri)
    errors: list[BaseException] = []

    def write(first: int) -> None:
        try:
            for start in range(first, first + 100, 10):
                with closing(store.recorder(sweep, {})) as recorder:
                    list(recorder.record([_record(n) for n in range(start, start + 10)]))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 50, 100)]  # the first two overlap
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(store.trials(sweep))) == 200


def test_where_there_is_no_database_that_is_known_the_client_writes_and_says_why(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sweep = _begin(uri)
    monkeypatch.setattr(chooser, "_database", lambda uri: None)
    recorder = store.recorder(sweep, {})
    assert isinstance(recorder, ClientRecorder)
    assert "the store is no SQLite or PostgreSQL" in recorder.note
    list(recorder.record(_RECORDS[:1]))
    assert len(list(store.trials(sweep))) == 1


def _resumed(kind: Kind) -> tuple[list[str], int]:
    """Resume as a sweep does: discard, restore, and record all that is missing; returns what was restored, and how many
    deleted runs could not be.
    """
    store, sweep, recorder = kind
    store.discard_unfinished(sweep)
    there = {t.tags["gradgrid.trial"]: t.run_id for t in store.trials(sweep)}
    missing = {record.trial for record in _RECORDS} - there.keys()
    restored, lost = store.restore_deleted(sweep, missing, weights=True)
    there.update({t.tags["gradgrid.trial"]: t.run_id for t in restored})
    if isinstance(recorder, ClientRecorder):
        again: Recorder = ClientRecorder(MlflowClient(store.uri), sweep.experiment_id, store.uri, there)
    else:
        again = store.recorder(sweep, there)
    with closing(again):
        assert sorted(again.record(_RECORDS)) == [r.trial for r in _RECORDS]
        again.finish()
    return sorted(t.tags["gradgrid.trial"] for t in restored), lost


def _remove_for_good(store: Store, run: str, request: pytest.FixtureRequest) -> None:
    """As `mlflow gc` does, in the database behind a server too."""
    where = request.getfixturevalue("tracking_server").store if store.uri.startswith("http") else store.uri
    MlflowClient(where)._tracking_client.store._hard_delete_run(run)


def test_deleted_runs_come_back_each_once(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Restored, or recorded again where that is not enough; and a second time there is nothing to do."""
    store, sweep, recorder = kind
    list(recorder.record(_RECORDS))
    client = MlflowClient(store.uri)
    before = _seen(store, sweep, tmp_path)
    runs = dict(recorder.runs)
    deleted, unfinished, bare, gone = (runs[f"trial{n:04}"] for n in (1, 2, 3, 4))
    client.set_tag(deleted, "mine", "yes")
    client.update_run(unfinished, "RUNNING")
    get_artifact_repository(str(client.get_run(bare).info.artifact_uri), tracking_uri=store.uri).delete_artifacts("")  # type: ignore[no-untyped-call]
    for run in (deleted, unfinished, bare, gone):
        client.delete_run(run)
    _remove_for_good(store, gone, request)
    assert len(list(store.trials(sweep))) == len(_RECORDS) - 4
    lost = {deleted, unfinished, bare, gone}
    assert lost_runs(Runs(client), sweep.experiment_id, list(runs.values())) == lost

    assert _resumed(kind) == (["trial0001"], 1)
    back = {t.tags["gradgrid.trial"]: t.run_id for t in store.trials(sweep)}
    assert back["trial0001"] == deleted
    assert client.get_run(deleted).data.tags.pop("mine") == "yes"
    client.delete_tag(deleted, "mine")
    assert _seen(store, sweep, tmp_path) == before
    assert len(client.search_runs([sweep.experiment_id])) == len(_RECORDS)

    assert lost_runs(Runs(client), sweep.experiment_id, list(back.values())) == set()
    whole = len(_RECORDS)
    assert [Runs(client).reach(sweep.experiment_id, TRIAL, n) for n in (1, whole, whole + 1)] == [True, True, False]

    assert _resumed(kind) == ([], 0)
    assert {t.tags["gradgrid.trial"]: t.run_id for t in store.trials(sweep)} == back
    assert len(client.search_runs([sweep.experiment_id])) == len(_RECORDS)


def test_a_run_that_lost_its_tags_is_whole_again_and_keeps_what_is_the_users(uri: str) -> None:
    store, sweep = _begin(uri)
    with closing(store.recorder(sweep, {})) as recorder:
        list(recorder.record(_RECORDS))
        run = recorder.runs["trial0003"]
    client = MlflowClient(uri)
    client.delete_tag(run, "gradgrid.trial")
    client.set_tag(run, "gradgrid.outcome", "mine")
    with closing(store.recorder(sweep, {})) as recorder:
        list(recorder.record(_RECORDS))
    assert len(list(store.trials(sweep))) == len(client.search_runs([sweep.experiment_id])) == len(_RECORDS)
    tags = client.get_run(run).data.tags
    assert (tags["gradgrid.trial"], tags["gradgrid.outcome"]) == ("trial0003", "mine")
    assert len(client.get_metric_history(run, "loss")) == 3


def test_the_users_own_runs_beside_the_trials_are_neither_seen_nor_touched(kind: Kind) -> None:
    store, sweep, recorder = kind
    list(recorder.record(_RECORDS))
    client = MlflowClient(store.uri)
    own = client.create_run(sweep.experiment_id, run_name="mine").info.run_id
    client.log_metric(own, "loss", -1e9)
    store.discard_unfinished(sweep)
    assert client.get_run(own).info.lifecycle_stage == "active"
    assert own not in {t.run_id for t in store.trials(sweep)}
    client.set_terminated(own)
    assert own not in {t.run_id for t in store.best(sweep, "loss", 100)}
    store.delete(sweep)
    assert [run.info.run_id for run in client.search_runs([sweep.experiment_id])] == [own]
    assert client.get_run(sweep.run_id).info.lifecycle_stage == "deleted"


def test_a_run_id_is_that_of_sweep_and_trial_alone() -> None:
    assert run_id("a", "b", 0) == run_id("a", "b", 0)
    assert len({run_id("a", "b", 0), run_id("a", "c", 0), run_id("b", "b", 0)}) == 3
    assert len(run_id("a", "b", 9_999_999)) == 32


def test_run_ids_rise_with_the_trials_number_and_eight_digits_tell_them_apart() -> None:
    ids = [run_id("a", f"trial{n}", n) for n in (0, 1, 255, 256, 65_536, 9_999_999)]
    assert ids == sorted(ids)
    assert len({i[:8] for i in ids}) == len(ids)
