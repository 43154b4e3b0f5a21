"""Stores in other places than usual: moved, copied, read-only, behind a path, behind TLS."""

import datetime
import ipaddress
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow import MlflowClient

from experiments.errors import StoreError
from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.recording.rest_recorder import RestRecorder
from service.recording.store import Store
from service.run import run_sweep
from tests.ports import free_port
from tests.service.conftest import TINY, run_command, run_for_json, write_spec
from tests.service.tracking import TrackingServer, flaky, running_server
from tests.service.trial_records import RECORDS, begin_sweep, recorded_runs, write


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, SweepResult]:
    """A user's folder, with a sweep in mlflow.db and mlruns/; the working folder is another one afterwards."""
    folder = tmp_path / "before" / "lab"
    folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        result = run_sweep(load_spec(TINY), inline=True, tracking_uri="sqlite:///mlflow.db")
    assert {path.name for path in folder.iterdir()} >= {"mlflow.db", "mlruns"}
    monkeypatch.chdir(tmp_path)
    return folder, result


def _works(folder: Path, result: SweepResult, tmp_path: Path) -> None:
    """Check that every command that reads works."""
    option = ("--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}")
    assert run_for_json("list", *option)["sweeps"][0]["sweep"] == result.sweep
    assert len(run_for_json("top", "tiny", *option)["top"]) == 3
    assert "The best by loss" in run_command("show", "tiny", *option).stdout
    run = str(result.table["run_id"].iloc[0])
    assert len(run_for_json("show", run[:12], *option)["final_weights"]) == 2
    assert run_for_json("verify", "tiny", *option)["differences"] == []
    page, table = tmp_path / "page.html", tmp_path / "table.parquet"
    for command in (["report", "tiny", "-o", str(page)], ["export", "tiny", "-o", str(table)]):
        done = run_command(*command, *option)
        assert done.exit_code == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(table), result.table, check_exact=True)


@pytest.mark.parametrize("how", ["moved", "copied", "moved up"])
def test_a_store_that_was_moved_with_its_artifacts_works(
    made: tuple[Path, SweepResult], tmp_path: Path, how: str
) -> None:
    old, result = made
    new = old.parent if how == "moved up" else tmp_path / "after"
    kept = sorted(path.relative_to(old) for path in old.rglob("*"))
    if how == "copied":
        shutil.copytree(old, new)
    elif how == "moved":
        old.rename(new)
    else:
        for path in list(old.iterdir()):
            path.rename(new / path.name)
        old.rmdir()
    uri = f"sqlite:///{new / 'mlflow.db'}"
    _works(new, result, tmp_path)
    store, client = Store(uri), MlflowClient(uri)
    gone = str(result.table["run_id"].iloc[1])
    client.delete_run(gone)
    client._tracking_client.store._hard_delete_run(gone)
    shutil.rmtree(new / "mlruns" / result.experiment_id / gone)
    again = run_sweep(load_spec(TINY), inline=True, tracking_uri=uri, resume="tiny")
    pd.testing.assert_frame_equal(again.table, result.table, check_exact=True)
    assert store.final_weights(gone)
    _works(new, result, tmp_path)
    refused = run_command("promote", "tiny", "--name", "m", "--tracking-uri", uri)
    assert refused.exit_code == 1
    assert "the store was moved or copied" in refused.stderr
    if how == "copied":  # nothing was written into the original
        assert sorted(path.relative_to(old) for path in old.rglob("*")) == kept
    else:
        assert not old.exists()
        old.mkdir()
        (old / "mlruns").symlink_to(new / "mlruns")  # as the message says
        assert run_command("promote", "tiny", "--name", "m", "--tracking-uri", uri).exit_code == 0


def test_a_store_without_its_artifacts_says_what_to_do(made: tuple[Path, SweepResult], tmp_path: Path) -> None:
    old, _ = made
    (tmp_path / "after").mkdir()
    for path in old.glob("mlflow.db*"):  # its log too
        path.rename(tmp_path / "after" / path.name)
    shutil.rmtree(old)
    option = ("--tracking-uri", f"sqlite:///{tmp_path / 'after' / 'mlflow.db'}")
    assert run_command("list", *option).exit_code == 0
    for command in (["top", "tiny"], ["resume", "tiny", "--inline"], ["verify", "tiny"]):
        failed = run_command(*command, *option)
        assert failed.exit_code == 1
        assert "if the store was moved, move its artifacts (mlruns) too" in failed.stderr


def _without_privilege() -> list[str]:
    """Return the words that take from root the right to write against permissions."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root, and no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [*_without_privilege(), sys.executable, "-W", "ignore", "-m", "service.cli", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=300)


@pytest.fixture
def locked(made: tuple[Path, SweepResult]) -> Iterator[Path]:
    """The folder, read-only with all its contents."""
    folder, _ = made
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.slow
def test_a_read_only_store_is_read_and_refuses_to_be_written(locked: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in locked.rglob("*")}
    option = ("--tracking-uri", f"sqlite:///{locked / 'mlflow.db'}")
    page = tmp_path / "page.html"
    for command in (
        ["list"],
        ["top", "tiny"],
        ["show", "tiny"],
        ["report", "tiny", "-o", str(page)],
        ["export", "tiny", "-o", str(tmp_path / "table.csv")],
        ["verify", "tiny"],
    ):
        done = _command(*command, *option)
        assert done.returncode == 0, (command, done.stderr)
        if command[0] == "report":
            assert f"not on the sweep's run: the store {locked / 'mlflow.db'} can't be written" in done.stderr
    assert "tiny" in page.read_text(encoding="utf-8")
    spec = tmp_path / "tiny.yaml"
    spec.write_text("{name: tiny, dataset: {name: xor}, steps: 5}")
    for command in (
        ["sweep", str(spec), "--inline"],
        ["resume", "tiny", "--inline"],
        ["delete", "tiny", "--yes"],
        ["promote", "tiny", "--name", "m"],
    ):
        refused = _command(*command, *option)
        assert refused.returncode == 1, command
        assert "can't be written: check" in refused.stderr
        assert "Traceback" not in refused.stderr
    _dashboard_serves(*option)
    assert {path: path.stat().st_mtime_ns for path in locked.rglob("*")} == before


def _dashboard_serves(*option: str) -> None:
    port = free_port()
    program = [*_without_privilege(), sys.executable, "-W", "ignore", "-m", "service.cli", "dashboard"]
    served = subprocess.Popen([*program, "--port", str(port), *option], stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    try:
        assert served.stdout.readline().startswith(f"http://127.0.0.1:{port}/#/experiments/")
        body = {"max_results": 10}
        found = requests.post(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search", json=body, timeout=60
        ).json()
        assert "tiny" in {experiment["name"] for experiment in found["experiments"]}
    finally:
        served.send_signal(signal.SIGINT)
        served.communicate(timeout=60)


def test_a_read_only_store_whose_last_changes_are_in_its_log_says_so(
    made: tuple[Path, SweepResult], tmp_path: Path
) -> None:
    """The store is copied while it is written: without the log it would be an older one."""
    import sqlite3

    folder, _ = made
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("UPDATE experiments SET creation_time = 1")
        connection.commit()
        for name in ("mlflow.db", "mlflow.db-wal"):
            shutil.copy(folder / name, copy / name)
            (copy / name).chmod(0o444)
    copy.chmod(0o555)
    option = ("--tracking-uri", f"sqlite:///{copy / 'mlflow.db'}")
    refused = _command("list", *option)
    copy.chmod(0o755)
    assert refused.returncode == 1
    assert "its last changes are still in mlflow.db-wal" in refused.stderr
    shutil.copytree(folder / "mlruns", copy / "mlruns")
    assert _command("top", "tiny", *option).returncode == 0  # SQLite has room for its files here


def _checked(uri: str, tmp_path: Path) -> None:
    """Check that a sweep is recorded through a server at this address, with its artifacts."""
    store, sweep = begin_sweep(uri)
    with closing(store.recorder(sweep).open()) as recorder:
        assert isinstance(recorder, RestRecorder)
        runs = write(recorder, sweep, RECORDS)
        recorder.finish()
    assert len(recorded_runs(store, sweep, tmp_path)) == len(RECORDS)
    assert store.final_weights(runs["trial0002"]) == RECORDS[2].weights
    assert store.spec(sweep) == {"name": "s"}


@pytest.mark.slow
def test_a_server_behind_a_path_of_a_proxy(tracking_server: TrackingServer, tmp_path: Path) -> None:
    with flaky(tracking_server, prefix="/team/mlflow") as uri:
        for address in (uri, f"{uri}/"):
            _checked(address, tmp_path)
        page = tmp_path / "page.html"
        run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
        assert run_command("report", "tiny", "-o", str(page), "--tracking-uri", uri).exit_code == 0
        assert f"{uri}/#/" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_server_with_a_static_prefix(tmp_path: Path) -> None:
    with running_server(tmp_path, prefix="/team") as server:
        _checked(server.uri, tmp_path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *form) + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.slow
def test_a_server_with_a_certificate_of_its_own(
    tracking_server: TrackingServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with flaky(tracking_server, certificate=certificate) as uri:
        with pytest.raises(StoreError, match=r"not trusted here: set MLFLOW_TRACKING_SERVER_CERT_PATH"):
            Store(uri)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        _checked(uri, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_whose_certificate_is_not_looked_at(
    tracking_server: TrackingServer, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with flaky(tracking_server, certificate=certificate, prefix="/team") as uri:
        _checked(uri, tmp_path)


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:"])
@pytest.mark.parametrize("command", ["sweep {spec} --inline", "list"])
def test_a_store_in_memory_is_refused_before_anything_trains(address: str, command: str, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, TINY)
    result = run_command(*command.format(spec=spec).split(), "--tracking-uri", address)
    assert result.exit_code == 1
    assert f"the store {address} has no file" in result.stderr
