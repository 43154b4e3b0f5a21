"""`gradgrid doctor` examines everything that a sweep needs."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from engine.kernels import reference
from experiments.spec import load_spec
from service.execution.estimate import estimated
from service.execution.local_pool import InlinePool
from service.execution.measured_speed import SpeedFactors, keep_factors, kept_factors, speed_file
from service.execution.plan import make_plan
from service.inspection import doctor, speed
from service.inspection.doctor import Finding
from service.recording.store import Store
from tests.service.conftest import Recorded, run_command


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(recorded: Recorded) -> None:
    well = run_command("doctor", "--tracking-uri", recorded.uri)
    assert well.exit_code == 0, well.stdout
    assert "1 sweep" in well.stdout
    assert "trials in a vector" in well.stdout
    assert "starts on this machine" in well.stdout
    ill = run_command("doctor", "--tracking-uri", "sqlite:////nowhere/m.db", "--address", "127.0.0.1:1")
    assert ill.exit_code == 1
    assert ill.stdout.count("WRONG") == 2
    assert "store: " in ill.stderr
    assert "ray: start Ray there" in ill.stderr
    listed = run_command("doctor", "--tracking-uri", "sqlite:////nowhere/m.db", "--address", "127.0.0.1:1", "--json")
    findings = {finding["subject"]: finding["ok"] for finding in json.loads(listed.stdout)["findings"]}
    assert {name for name, ok in findings.items() if not ok} == {"store", "ray"}
    assert {"python", "mlflow", "numpy", "kernels", "cores"} <= findings.keys()


def test_the_doctor_finds_kernels_that_differ(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference._FORWARD["sub"]
    monkeypatch.setitem(reference._FORWARD, "sub", lambda *operands: right(*operands) * (1.0 + 1e-6))
    result = run_command("doctor", "--tracking-uri", uri, "--address", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "kernels: they differ; set kernel: reference, and report it" in result.stderr


@pytest.fixture
def measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of a few trials, in this process, whose figures are kept in a temporary folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "open_pool", lambda **_: nullcontext(InlinePool()))
    for name, value in {"_SHARD": 5, "_SECONDS": 0.05}.items():
        monkeypatch.setattr(speed, name, value)


@pytest.mark.usefixtures("measurement")
def test_speed_is_measured_and_leaves_an_sqlite_store_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured = speed.measure(None)
    assert measured.workers == measured.recorders == 1
    assert min(measured.trained, measured.recorded, measured.both) > 0
    assert measured.metric_rows == 13 * 25
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"]  # neither a store nor weights
    assert kept_factors(f"sqlite:///{tmp_path}/mlflow.db", None) == measured.factors


@pytest.mark.usefixtures("measurement")
def test_speed_is_measured_in_a_store_that_is_no_file_and_its_sweep_deleted(make_postgres: Callable[[], str]) -> None:
    address = make_postgres()
    measured = speed.measure(address)
    assert measured.recorders == 2
    assert not Store(address).sweeps()


def test_the_doctor_prints_speeds_and_what_bounds_them(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    found = speed.Speed(4, 1, 2000.0, 900.0, 850.4, 325, SpeedFactors(1.0, 1.0, 1.0), "the disk is full")
    monkeypatch.setattr(speed, "measure", lambda *_: found)
    monkeypatch.setattr(doctor, "examine", lambda *_: [Finding("python", True, "3.13")])
    result = run_command("doctor", "--speed", "--tracking-uri", recorded.uri)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["training", "2,000", "4", "workers"] in lines
    assert ["recording", "900", "1", "recorder"] in lines
    assert ["both", "850", "recording", "is", "the", "bound"] in lines
    assert "2 such workers train as many trials as this store records" in result.stderr
    assert "the figures were not kept for later estimates: the disk is full" in result.stderr
    values = json.loads(run_command("doctor", "--speed", "--tracking-uri", recorded.uri, "--json").stdout)["speed"]
    assert values["bound"] == "recording"
    assert values["useful_workers"] == 2
    refused = run_command("doctor", "--speed", "--cluster")
    assert refused.exit_code == 2
    assert "give --address on one of its nodes" in refused.stderr


def test_a_dry_run_uses_the_measured_speed(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = make_plan(load_spec("breast_cancer"))
    usual = estimated(plan, uri, workers=2)
    assert not usual.measured
    keep_factors(uri, None, SpeedFactors(training=10.0, recording=3.0, both=0.5))
    slow = estimated(plan, uri, workers=2)
    assert slow.measured
    assert slow.seconds > usual.seconds
    assert not estimated(plan, uri, workers=2, address="127.0.0.1:1").measured  # other workers
    assert (
        "by the measured speed"
        in run_command("sweep", "breast_cancer", "--dry-run", "--workers", "2", "--tracking-uri", uri).stdout
    )
    speed_file().write_text("{", encoding="utf-8")
    assert kept_factors(uri, None) is None
