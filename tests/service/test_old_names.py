"""A single neuron's activation goes by the name that the user gave it, also in sweeps of older versions."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.result import SweepResult
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "neuron",
    "dataset": {"name": "sine", "samples": 30},
    "steps": 20,
    "grid": {"hidden": [[], [2]], "activation": ["tanh", "relu"], "seed": {"range": 3}},
    "record": {"points": 3},
}
_RUNS = ["all", "summary"]


def _run(uri: str, runs: str = "all", **changes: Any) -> SweepResult:
    spec = {**_SPEC, "record": {"points": 3, "runs": runs}, **changes}
    return run_sweep(load_spec(spec), tracking_uri=uri, inline=True, shard_size=1)


def _record_as_before(patch: pytest.MonkeyPatch, uri: str, runs: str, *, whole: bool = True) -> None:
    """Record as older versions did: the activation of a single neuron as its output."""
    spec = load_spec({**_SPEC, "record": {"points": 3, "runs": runs}})
    with patch.context() as old:
        old.setattr("experiments.architecture.is_neuron", lambda *_: False)
        if whole:
            run_sweep(spec, tracking_uri=uri, inline=True)
            return
        with pytest.raises(SweepInterruptedError):
            run_sweep(spec, tracking_uri=uri, inline=True, shard_size=1, observer=Interrupting(1))


def _names(table: pd.DataFrame) -> set[tuple[Any, ...]]:
    shown = table[["params.hidden", "params.activation", "params.output"]].astype(object)
    return set(shown.where(shown.notna(), None).itertuples(index=False, name=None))


_EXPECTED = {
    ("[]", "tanh", None), ("[]", "relu", None), ("[2]", "tanh", "identity"), ("[2]", "relu", "identity"),
}  # fmt: skip


def test_params_names_and_table_call_it_activation(uri: str) -> None:
    result = _run(uri)
    assert _names(result.table) == _EXPECTED
    store = Store(uri)
    for trial in store.trials(store.find_sweep("neuron")):
        single = trial.params["hidden"] == "[]"
        assert trial.params["activation"] in ("tanh", "relu")
        assert ("output" in trial.params) != single
    names = {run.info.run_name for run in MlflowClient(uri).search_runs([result.experiment_id])}
    assert {"[], tanh, 0", "[], relu, 2", "[2], relu, 1"} <= names


def test_a_single_neuron_alone_has_one_axis_by_its_name(uri: str) -> None:
    table = _run(uri, grid={"activation": ["tanh", "relu"], "seed": [0, 1]}).table
    assert "params.output" not in table
    entries = run_for_json("top", "neuron", "--tracking-uri", uri)["entries"]
    assert [set(entry["params"]) for entry in entries] == [{"activation"}] * 2
    assert "activation" in run_command("top", "neuron", "--tracking-uri", uri).stdout
    page = Path("neuron.html")
    assert run_command("report", "neuron", "-o", str(page), "--tracking-uri", uri).exit_code == 0
    assert "<th>activation" in page.read_text(encoding="utf-8")
    assert "<th>output" not in page.read_text(encoding="utf-8")


def test_an_output_that_the_user_gave_stays_output(uri: str) -> None:
    table = _run(uri, grid={"output": ["tanh", "relu"], "seed": [0, 1]}).table
    assert "params.activation" not in table
    entries = run_for_json("top", "neuron", "--tracking-uri", uri)["entries"]
    assert [set(entry["params"]) for entry in entries] == [{"output"}] * 2


@pytest.mark.parametrize("runs", _RUNS)
def test_a_sweep_of_an_older_version_is_read_as_it_was_written(
    uri: str, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record_as_before(monkeypatch, uri, runs)
    at = ("--tracking-uri", uri)
    assert _names(load_sweep("neuron", tracking_uri=uri).trials) == _EXPECTED
    entries = run_for_json("top", "neuron", *at)["entries"]
    assert len(entries) == 4
    assert all(entry["trials"] == 3 and entry["params"]["activation"] for entry in entries)
    best = run_for_json("top", "neuron", "--where", "activation=relu", "--where", "hidden=[]", "--trials", *at)
    assert [entry["params"]["seed"] for entry in best["entries"]] != []
    assert {trial["params"]["activation"] for trial in run_for_json("top", "neuron", *at)["top"]} == {"tanh", "relu"}
    assert run_command("show", "neuron", *at).exit_code == 0
    assert run_command("verify", "neuron", *at).exit_code == 0
    assert run_command("report", "neuron", "-o", "page.html", *at).exit_code == 0
    assert "neuron" in run_command("list", *at).stdout


def test_a_trial_of_an_older_version_is_explained_and_promoted(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _record_as_before(monkeypatch, uri, "all")
    store = Store(uri)
    trial = next(t for t in store.trials(store.find_sweep("neuron")) if t.params["hidden"] == "[]")
    at = ("--tracking-uri", uri)
    assert run_command("explain", trial.run_id, *at).exit_code == 0
    assert run_command("promote", trial.run_id, "--name", "old", *at).exit_code == 0


@pytest.mark.parametrize("runs", _RUNS)
def test_a_half_done_sweep_of_an_older_version_is_resumed(
    uri: str, runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _record_as_before(monkeypatch, uri, runs, whole=False)
    spec = load_spec({**_SPEC, "record": {"points": 3, "runs": runs}})
    resumed = run_sweep(spec, tracking_uri=uri, inline=True, resume="neuron").table
    whole = _run(f"sqlite:///{tmp_path / 'other.db'}", runs).table
    assert_same_trials(resumed, whole)
    assert _names(load_sweep("neuron", tracking_uri=uri).trials) == _EXPECTED
