"""One contract for every recorder: each writes the same runs, field by field."""

import errno
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from experiments.errors import StoreError
from service.recording import direct_database
from service.recording import recorders as chooser
from service.recording.artifact_writers import LocalArtifactWriter
from service.recording.bulk_recorder import BulkRecorder, run_id
from service.recording.client_recorder import ClientRecorder
from service.recording.deleted import lost_runs
from service.recording.infos import SweepInfo
from service.recording.plugin_recorder import PluginRecorder
from service.recording.recorder import Recorder
from service.recording.rest_recorder import RestRecorder
from service.recording.runs import TRIAL, Runs
from service.recording.store import Store
from tests.service.trial_records import BEGAN, RECORDS, begin_sweep, make_record, recorded_runs, write

Kind = tuple[Store, SweepInfo, Recorder]

_KINDS = {
    "client": ClientRecorder,
    "bulk": BulkRecorder,
    "postgres": BulkRecorder,
    "http": RestRecorder,
    "behind http": BulkRecorder,
    "plugin": PluginRecorder,
}


@pytest.fixture(params=list(_KINDS))
def kind(request: pytest.FixtureRequest, uri: str) -> Iterator[Kind]:
    """A store, a sweep and a recorder of each kind."""
    where, backend = uri, None
    if request.param == "postgres":
        where = request.getfixturevalue("make_postgres")()
    elif request.param == "plugin":
        where = request.getfixturevalue("app_server").uri
    elif "http" in request.param:
        server = request.getfixturevalue("tracking_server")
        where, backend = server.uri, server.store if request.param == "behind http" else None
    store, sweep = begin_sweep(where, backend)
    recorder = store.recorder(sweep).open()
    if request.param == "client":
        recorder.close()
        recorder = ClientRecorder(MlflowClient(where), sweep.experiment_id, where)
    assert isinstance(recorder, _KINDS[request.param])
    with closing(recorder):
        yield store, sweep, recorder


def test_every_recorder_writes_the_clients_runs(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The databases are of the same kind: SQLite keeps no sign of a zero, PostgreSQL does."""
    store, sweep, recorder = kind
    assert list(write(recorder, sweep, RECORDS)) == [r.trial for r in RECORDS]
    recorder.finish()
    other = f"sqlite:///{tmp_path / 'client.db'}"
    if store.uri.startswith("postgresql"):
        other = request.getfixturevalue("make_postgres")()
    peer, peer_sweep = begin_sweep(other)
    write(ClientRecorder(MlflowClient(other), peer_sweep.experiment_id, other), peer_sweep, RECORDS)
    ours, theirs = recorded_runs(store, sweep, tmp_path), recorded_runs(peer, peer_sweep, tmp_path)
    assert ours.keys() == theirs.keys()
    for trial, fields in theirs.items():
        for field, value in fields.items():
            assert ours[trial][field] == value, (trial, field)


def test_searching_and_sorting_find_the_same(kind: Kind) -> None:
    store, sweep, recorder = kind
    runs = write(recorder, sweep, RECORDS)
    client = MlflowClient(store.uri)

    def found(condition: str, *order: str) -> list[str]:
        runs = client.search_runs([sweep.experiment_id], condition, order_by=list(order))
        return [run.data.tags["gradgrid.trial"] for run in runs]

    assert found("params.seed = '3'") == ["trial0003"]
    assert found("metrics.loss > 1e300") == ["trial0005"]
    assert found("attributes.status = 'FAILED'") == ["trial0005"]
    assert (
        found("tags.`gradgrid.outcome` = 'finished' and metrics.loss < 1e-300", "metrics.loss DESC")[0] == "trial0009"
    )
    assert found("", "metrics.loss ASC")[:2] == ["trial0000", "trial0001"]
    assert found("", "metrics.loss ASC")[-1] == "trial0006"  # NaN comes last
    assert store.find(runs["trial0002"][:12]).run_id == runs["trial0002"]


def test_a_trial_is_never_recorded_twice(kind: Kind) -> None:
    store, sweep, recorder = kind
    before, runs = write(recorder, sweep, RECORDS[:3]), write(recorder, sweep, RECORDS)
    assert list(runs) == [r.trial for r in RECORDS]
    assert before.items() <= runs.items()
    assert {t.trial: t.run_id for t in store.trials(sweep)} == runs
    assert len(set(runs.values())) == len(RECORDS)


@pytest.mark.parametrize("where", ["uri", "make_postgres"])
def test_bulk_writes_a_trial_once_also_after_another_recorder(where: str, request: pytest.FixtureRequest) -> None:
    given = request.getfixturevalue(where)
    store, sweep = begin_sweep(given if isinstance(given, str) else given())
    for part in (RECORDS[:3], RECORDS[2:], RECORDS):
        with closing(store.recorder(sweep).open()) as recorder:  # each begins without knowing of the others
            write(recorder, sweep, part)
    client = MlflowClient(store.uri)
    assert {t.run_id for t in store.trials(sweep)} == {run_id(sweep.sweep, r.trial, r.number) for r in RECORDS}
    assert len(client.get_metric_history(run_id(sweep.sweep, "trial0002", 2), "loss")) == 3


def test_users_can_change_a_trials_run_like_any_other(kind: Kind) -> None:
    store, sweep, recorder = kind
    run = write(recorder, sweep, RECORDS)["trial0001"]
    client = MlflowClient(store.uri)
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
    """Every column is compared, also those that no API shows; only ids and places may differ."""
    tables = {}
    for kind in ("client", "bulk"):
        uri = f"sqlite:///{tmp_path / kind}.db"
        store, sweep = begin_sweep(uri)
        recorder = store.recorder(sweep).open()
        if kind == "client":
            recorder = ClientRecorder(MlflowClient(uri), sweep.experiment_id, uri)
        names = {run: trial for trial, run in write(recorder, sweep, RECORDS).items()}
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
        assert len(tables["bulk", table]) >= len(RECORDS)


def test_the_store_passes_mlflows_own_schema_check(uri: str) -> None:
    import sqlalchemy
    from mlflow.store.db.utils import _verify_schema

    store, sweep = begin_sweep(uri)
    recorder = store.recorder(sweep).open()
    write(recorder, sweep, RECORDS)
    recorder.finish()
    recorder.close()
    engine = sqlalchemy.create_engine(uri)
    _verify_schema(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", uri], check=True, capture_output=True)
    assert len(list(store.trials(sweep))) == len(RECORDS)
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        assert connection.execute("select count(*) from sqlite_stat1 where tbl = 'latest_metrics'").fetchone()[0] > 0
    connection.close()


def test_a_failing_transaction_leaves_nothing_behind(uri: str) -> None:
    store, sweep = begin_sweep(uri)
    recorder = store.recorder(sweep).open()
    twice = [(0, 1.0, BEGAN), (0, 1.0, BEGAN)]  # against the primary key
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        write(recorder, sweep, [*RECORDS[:5], make_record(99, curves=dict.fromkeys(RECORDS[0].curves, twice))])
    assert list(store.trials(sweep)) == []
    assert len(write(recorder, sweep, RECORDS)) == len(RECORDS)


def test_several_write_into_one_store_at_once(uri: str) -> None:
    store, sweep = begin_sweep(uri)
    errors: list[BaseException] = []

    def write_some(first: int) -> None:
        try:
            for start in range(first, first + 100, 10):
                with closing(store.recorder(sweep).open()) as recorder:
                    write(recorder, sweep, [make_record(n) for n in range(start, start + 10)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write_some, args=(first,)) for first in (0, 50, 100)]  # the first two overlap
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(list(store.trials(sweep))) == 200


def test_the_client_writes_into_an_unknown_database_and_says_why(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, sweep = begin_sweep(uri)
    monkeypatch.setattr(direct_database, "database_address", lambda uri: "")
    monkeypatch.setattr(chooser, "database_address", lambda uri: "")
    recipe = store.recorder(sweep)
    recorder = recipe.open()
    assert isinstance(recorder, ClientRecorder)
    assert "the store is not an SQLite or PostgreSQL" in recipe.note
    write(recorder, sweep, RECORDS[:1])
    assert len(list(store.trials(sweep))) == 1


def _resumed(kind: Kind) -> tuple[list[str], int]:
    """Resume as a sweep does: discard, restore, and record all that is missing.

    Return the trials that were restored, and the number of deleted runs that could not be.
    """
    store, sweep, recorder = kind
    store.discard_unfinished(sweep)
    missing = {record.trial for record in RECORDS} - {t.trial for t in store.trials(sweep)}
    restored, lost = store.restore_deleted(sweep, missing.__contains__, weights=True)
    left = [record for record in RECORDS if record.trial in missing - {t.trial for t in restored}]
    if isinstance(recorder, ClientRecorder):
        again: Recorder = ClientRecorder(MlflowClient(store.uri), sweep.experiment_id, store.uri)
    else:
        again = store.recorder(sweep).open()
    with closing(again):
        assert list(write(again, sweep, left)) == [record.trial for record in left]
        again.finish()
    return sorted(t.trial for t in restored), lost


def _remove_for_good(store: Store, recorder: Recorder, run: str, request: pytest.FixtureRequest) -> None:
    """Remove a run as `mlflow gc` does, in the database behind a server too."""
    server = "app_server" if isinstance(recorder, PluginRecorder) else "tracking_server"
    where = request.getfixturevalue(server).store if store.uri.startswith("http") else store.uri
    MlflowClient(where)._tracking_client.store._hard_delete_run(run)


def test_each_deleted_run_comes_back_once(kind: Kind, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """They are restored, or recorded again if that is not enough. A second time there is nothing to do."""
    store, sweep, recorder = kind
    runs = write(recorder, sweep, RECORDS)
    client = MlflowClient(store.uri)
    before = recorded_runs(store, sweep, tmp_path)
    deleted, unfinished, bare, gone = (runs[f"trial{n:04}"] for n in (1, 2, 3, 4))
    client.set_tag(deleted, "mine", "yes")
    client.update_run(unfinished, "RUNNING")
    get_artifact_repository(str(client.get_run(bare).info.artifact_uri), tracking_uri=store.uri).delete_artifacts("")  # type: ignore[no-untyped-call]
    for run in (deleted, unfinished, bare, gone):
        client.delete_run(run)
    _remove_for_good(store, recorder, gone, request)
    assert len(list(store.trials(sweep))) == len(RECORDS) - 4
    lost = {deleted, unfinished, bare, gone}
    assert lost_runs(Runs(client), sweep.experiment_id, list(runs.values())) == lost

    assert _resumed(kind) == (["trial0001"], 1)
    back = {t.trial: t.run_id for t in store.trials(sweep)}
    assert back["trial0001"] == deleted
    assert client.get_run(deleted).data.tags.pop("mine") == "yes"
    client.delete_tag(deleted, "mine")
    assert recorded_runs(store, sweep, tmp_path) == before
    assert len(client.search_runs([sweep.experiment_id])) == len(RECORDS)

    assert lost_runs(Runs(client), sweep.experiment_id, list(back.values())) == set()
    whole = len(RECORDS)
    assert [Runs(client).reach(sweep.experiment_id, TRIAL, n) for n in (1, whole, whole + 1)] == [True, True, False]

    assert _resumed(kind) == ([], 0)
    assert {t.trial: t.run_id for t in store.trials(sweep)} == back
    assert len(client.search_runs([sweep.experiment_id])) == len(RECORDS)


def test_a_run_that_lost_its_tags_gets_them_back_and_keeps_the_users(uri: str) -> None:
    store, sweep = begin_sweep(uri)
    with closing(store.recorder(sweep).open()) as recorder:
        run = write(recorder, sweep, RECORDS)["trial0003"]
    client = MlflowClient(uri)
    client.delete_tag(run, "gradgrid.trial")
    client.set_tag(run, "gradgrid.outcome", "mine")
    with closing(store.recorder(sweep).open()) as recorder:
        write(recorder, sweep, RECORDS)
    assert len(list(store.trials(sweep))) == len(client.search_runs([sweep.experiment_id])) == len(RECORDS)
    tags = client.get_run(run).data.tags
    assert (tags["gradgrid.trial"], tags["gradgrid.outcome"]) == ("trial0003", "mine")
    assert len(client.get_metric_history(run, "loss")) == 3


def test_the_users_runs_among_the_trials_are_neither_read_nor_changed(kind: Kind) -> None:
    store, sweep, recorder = kind
    write(recorder, sweep, RECORDS)
    client = MlflowClient(store.uri)
    own = client.create_run(sweep.experiment_id, run_name="mine").info.run_id
    client.log_metric(own, "loss", -1e9)
    store.discard_unfinished(sweep)
    assert client.get_run(own).info.lifecycle_stage == "active"
    assert own not in {t.run_id for t in store.trials(sweep)}
    client.set_terminated(own)
    assert own not in {t.run_id for t in store.trials(sweep)}
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


@pytest.mark.parametrize("where", ["uri", "make_postgres"])
def test_no_run_is_there_whose_weights_could_not_be_written(
    where: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and weights are written at the same time, and the weights may fail last."""
    place = request.getfixturevalue(where)
    store, sweep = begin_sweep(place if isinstance(place, str) else place())
    many = {f"param{k}": str(k) for k in range(40)}
    records = [make_record(n, params=many) for n in range(3)]

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with closing(store.recorder(sweep).open()) as recorder:
        assert isinstance(recorder, BulkRecorder)
        with monkeypatch.context() as patched:
            patched.setattr(LocalArtifactWriter, "write_file", fail)
            with pytest.raises(StoreError, match="no space left"):
                write(recorder, sweep, records)
        assert list(store.trials(sweep)) == []
        run_ids = write(recorder, sweep, records).values()
    assert sorted(trial.run_id for trial in store.trials(sweep)) == sorted(run_ids)
    assert all(store.final_weights(run) for run in run_ids)
    assert all(trial.params == many for trial in store.trials(sweep))
