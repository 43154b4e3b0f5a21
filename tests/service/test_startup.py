"""The beginning and end of a command: its imports, and reading a store without MLflow."""

import json
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from service.recording.connection import resolve
from service.recording.infos import TrialInfo, sweep_info, trial_info
from service.recording.recorded_table import read_table
from service.recording.sqlite_reader import SqliteReader, Unreadable
from service.recording.store import Store
from tests.service.conftest import Recorded


def _modules_after(script: str, *arguments: str, **environment: str) -> set[str]:
    """Return the modules that a process has imported at its end."""
    listed = f"import json, sys\n{script}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", listed, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


_COMMAND = (
    "from service.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code"
)
_TRACKING = {"mlflow", "sqlalchemy", "alembic", "ray", "matplotlib", "bokeh", "sklearn"}


def test_list_imports_neither_mlflow_nor_anything_that_computes(recorded: Recorded) -> None:
    loaded = _modules_after(_COMMAND, "list", "--tracking-uri", recorded.uri)
    assert not loaded & (
        _TRACKING | {"numpy", "pandas", "pyarrow", "scipy", "llvmlite", "pydantic", "requests", "yaml"}
    )


def test_top_imports_no_mlflow(recorded: Recorded) -> None:
    assert not _modules_after(_COMMAND, "top", "small", "--tracking-uri", recorded.uri) & _TRACKING


def test_a_worker_imports_only_what_training_needs() -> None:
    loaded = _modules_after("import service.execution.shard_tables")
    assert not loaded & (_TRACKING | {"pandas", "scipy", "rich", "click", "requests"})


def test_a_recorder_of_a_database_imports_only_what_it_writes_with() -> None:
    script = "import service.execution.shard_recorder, service.recording.sqlite_database"
    assert not _modules_after(script) & (_TRACKING | {"pandas", "scipy", "rich", "click", "requests"})


def test_ray_is_started_before_mlflow_is_imported() -> None:
    """MLflow is imported while Ray starts."""
    assert not _modules_after("import service.run") & (_TRACKING - {"ray"})


def test_a_command_collects_garbage_seldom_and_freezes_the_rest_at_its_end(recorded: Recorded) -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count(), gc.get_threshold()[0]))\n"  # runs last
        f"{_COMMAND}"
    )
    arguments = ("list", "--json", "--tracking-uri", recorded.uri)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}", *arguments], capture_output=True, text=True, check=True
    )
    frozen, threshold = map(int, done.stdout.splitlines()[-1].split())
    assert frozen > 10_000
    assert threshold >= 100_000


def _shown(trial: TrialInfo) -> str:
    """Return all of a trial as text, in which NaN equals NaN."""
    parts = (sorted(part.items()) for part in (trial.params, trial.metrics, trial.tags))
    return f"{trial.run_id} {trial.name} {trial.experiment_id} {trial.outcome} {list(parts)}"


def test_the_store_is_read_without_mlflow_as_with_it(recorded: Recorded) -> None:
    direct, by_client = Store(recorded.uri), Store(recorded.uri, direct=False)
    assert direct.sweeps() == by_client.sweeps()
    sweep = direct.find_sweep("small")
    assert list(map(_shown, direct.trials(sweep))) == list(map(_shown, by_client.trials(sweep)))
    assert len(list(direct.trials(sweep))) == recorded.result.trials
    pd.testing.assert_frame_equal(read_table(direct, sweep), read_table(by_client, sweep))


def test_deleted_runs_are_not_read_and_nan_is_nan(tmp_path: Path, uri: str) -> None:
    client, reader = MlflowClient(uri), SqliteReader(tmp_path / "mlflow.db")
    tags = {"gradgrid.kind": "sweep", "gradgrid.sweep": "s", "gradgrid.spec": "x", "gradgrid.experiment": "0"}
    parents = [client.create_experiment(name) for name in ("x", "y")]
    runs = [client.create_run(parent, tags={**tags, "gradgrid.trial": "t"}).info.run_id for parent in (*parents, "0")]
    for run_id in runs:
        client.log_metric(run_id, "loss", math.nan)
        client.log_metric(run_id, "accuracy", math.inf, step=3)
        client.log_param(run_id, "p", "größe")
    expected = [client.get_run(run_id) for run_id in reversed(runs)]
    assert [str(sweep_info(run)) for run in reader.sweeps()] == [str(sweep_info(run)) for run in expected]
    assert [str(trial_info(run)) for run in reader.trials("0")] == [str(trial_info(expected[0]))]
    client.delete_experiment(parents[0])
    client.delete_run(runs[1])
    assert [run.info.run_id for run in reader.sweeps()] == [runs[2]]
    assert list(reader.trials(parents[1])) == []


def test_mlflow_reads_a_store_that_can_not_be_read_without_it(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    with (
        closing(sqlite3.connect(recorded.uri.removeprefix("sqlite:///"))) as source,
        closing(sqlite3.connect(file)) as to,
    ):
        source.backup(to)
    reader, uri = SqliteReader(file), f"sqlite:///{file}"
    assert reader.sweeps()
    with pytest.raises(Unreadable):
        reader.artifact(recorded.result.sweep_run_id, "nothing.txt")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        with pytest.raises(Unreadable):
            reader.sweeps()
    monkeypatch.setattr(SqliteReader, "_runs", lambda *_: (_ for _ in ()).throw(Unreadable("changed")))
    monkeypatch.setattr(SqliteReader, "artifact", lambda *_: (_ for _ in ()).throw(Unreadable("elsewhere")))
    store = Store(uri)
    sweep = store.find_sweep("small")
    assert len(store.table(sweep)) == len(list(store.trials(sweep))) == recorded.result.trials


def test_a_file_that_is_not_an_mlflow_store_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    sqlite3.connect(file).execute("create table runs (a)").connection.close()
    command = [sys.executable, "-m", "service.cli", "list", "--tracking-uri", f"sqlite:///{file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not an MLflow store" in done.stderr


@pytest.mark.parametrize("variable", [None, "", "sqlite:///elsewhere.db", "http://127.0.0.1:5000"])
@pytest.mark.parametrize("kept", ["nothing", "our artifacts", "an old store"])
def test_the_default_store_is_mlflows(variable: str | None, kept: str) -> None:
    """It is the same in a process that has not imported MLflow, and in this one, which has."""
    if kept != "nothing":
        folder = Path("mlruns/1") if kept == "our artifacts" else Path("mlruns/0")
        folder.mkdir(parents=True)
        (folder / ("run" if kept == "our artifacts" else "meta.yaml")).touch()
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    if variable is not None:
        environment["MLFLOW_TRACKING_URI"] = variable
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environment)
        expected = resolve(mlflow.get_tracking_uri())
    script = "import sys\nfrom service.recording.connection import resolve\nprint(resolve(None))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
