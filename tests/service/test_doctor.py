"""`gradgrid doctor` examines everything that a sweep needs."""

import json

import pytest

from engine.kernels import reference
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
