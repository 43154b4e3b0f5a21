"""A step of a recorded trial from inside: its figures are the recorded ones, and those of NumPy."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.data.datasets import load_dataset
from experiments.errors import NotFoundError, UserError
from experiments.spec import load_spec
from service.inspection.explain import explain
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json

_SPEC = {
    "name": "troubled",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.1},
    "model": {"hidden": [3]},
    "steps": 40,
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.1, 30.0, 1e300], "seed": {"range": 6}},
    "record": {"points": 41},
}


@dataclass(frozen=True)
class _Troubled:
    uri: str
    store: Store
    table: pd.DataFrame

    def run(self, outcome: str) -> str:
        """Return the run of the first trial with this outcome."""
        return str(self.table[self.table["outcome"] == outcome]["run_id"].iloc[0])


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> _Troubled:
    uri = f"sqlite:///{tmp_path_factory.mktemp('troubled') / 'mlflow.db'}"
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True)
    return _Troubled(uri, Store(uri), result.table)


@pytest.mark.parametrize("outcome", ["dead", "improving", "diverged"])
def test_norms_and_loss_are_those_that_were_recorded(troubled: _Troubled, outcome: str) -> None:
    trial = troubled.store.find_trial(troubled.run(outcome))
    seen = explain(troubled.store, trial)
    assert seen.replay.loss == dict(troubled.store.curve(trial.run_id, "loss"))[seen.replay.step]
    for name, _, gradient in seen.tensors:
        recorded = dict(troubled.store.curve(trial.run_id, f"grad_norm.{name}"))[seen.replay.step]
        assert math.isclose(gradient, recorded, rel_tol=1e-12, abs_tol=0.0), name


def test_a_dead_unit_is_one_that_relu_shuts_for_every_sample(troubled: _Troubled) -> None:
    """The units are found from the weights alone, in NumPy."""
    trial = troubled.store.find_trial(troubled.run("dead"))
    assert trial.params["activation"] == "relu"
    seen = explain(troubled.store, trial)
    weights = seen.replay.weights
    data = load_dataset(load_spec(_SPEC).spec.dataset, Path())
    before: Any = data.training_features @ weights[:6].reshape(3, 2).T + weights[6:9]
    shut = [bool(unit) for unit in (before <= 0).all(axis=0)]
    assert any(shut)
    assert [unit.zero_share == 1 for unit in seen.units] == shut
    assert [unit.zero_share for unit in seen.units] == pytest.approx(list((before <= 0).mean(axis=0)))
    (sentence,) = [s for s in seen.findings if "hidden units" in s]
    assert sentence.startswith(f"{sum(shut)} of 3 hidden units have a gradient of exactly 0")
    assert f"layer1[{shut.index(True)}]" in sentence


def test_a_diverged_trial_is_explained_at_its_last_finite_step(troubled: _Troubled) -> None:
    trial = troubled.store.find_trial(troubled.run("diverged"))
    seen = explain(troubled.store, trial)
    assert seen.replay.step <= int(trial.tags["gradgrid.last_step"])
    assert re.match(r"it left the finite numbers after step \d+: the learning rate is 1e\+300", seen.findings[0])


def test_any_step_of_the_trial_can_be_explained_and_no_other(troubled: _Troubled) -> None:
    trial = troubled.store.find_trial(troubled.run("improving"))
    assert explain(troubled.store, trial, 40).replay.step == 40
    with pytest.raises(UserError, match="the trial has steps 0 to 40, not 41"):
        explain(troubled.store, trial, 41)
    with pytest.raises(UserError, match="sample 99 is not in the batch of step 0, which has 30 samples"):
        explain(troubled.store, trial, 0).graph(99)


def test_the_command_prints_and_draws_an_explanation(troubled: _Troubled, tmp_path: Path) -> None:
    run = troubled.run("dead")
    at = ("explain", run[:8], "--tracking-uri", troubled.uri)
    result = run_command(*at, "-o", str(tmp_path / "graph.svg"))
    assert result.exit_code == 0, result.stderr
    assert f"run {run}: dead from step" in result.stdout
    assert "layer1.weight" in result.stdout
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8").startswith("<svg")
    assert run_command(*at, "-o", str(tmp_path / "graph.dot"), "--sample", "3").exit_code == 0
    values = run_for_json(*at)
    assert (values["run_id"], values["outcome"], len(values["units"])) == (run, "dead", 3)
    assert values["found"] == values["findings"] != []
    assert all(unit["silent"] == unit["zero_share"] for unit in values["units"])
    wrong = run_command(*at, "-o", "graph.png")
    assert (wrong.exit_code, "end it in .svg or .dot" in wrong.stderr) == (2, True)


def test_a_sweep_is_refused_where_a_trial_is_needed(troubled: _Troubled) -> None:
    with pytest.raises(NotFoundError, match=r"'troubled' is a sweep: give a trial's run"):
        troubled.store.find_trial("troubled")


_VANISHING: dict[str, dict[str, Any]] = {
    "64-8-1": {
        "dataset": {"name": "digits", "classes": ["3", "8"]},
        "model": {"hidden": [8], "activation": "sigmoid"},
        "loss": "mean_squared_error",
        "learning_rate": 1e-5,
        "batch_size": 8,
        "grid": {"init_scale": [0.05, 0.3]},
    },
    "1-1-32-1": {
        "dataset": {"name": "sine", "samples": 60},
        "model": {"hidden": [1, 32], "activation": "sigmoid"},
        "learning_rate": 0.001,
        "grid": {"init_scale": [0.01, 0.3]},
    },
}


@pytest.mark.parametrize("name", _VANISHING)
def test_the_gradient_is_said_to_fade_exactly_for_a_vanishing_trial(name: str, uri: str) -> None:
    """The norm per weight decides; by the norms themselves, the first two networks would have another outcome."""
    spec = load_spec({"name": "a", "steps": 60, "record": {"points": 61}, **_VANISHING[name]})
    table = run_sweep(spec, tracking_uri=uri, inline=True).table
    assert table["outcome"].tolist() == ["vanishing", "stalled"]
    store = Store(uri)
    for run, outcome in zip(table["run_id"], table["outcome"], strict=True):
        found = explain(store, store.find_trial(run)).findings
        assert any("the gradient fades on its way back: per weight" in s for s in found) == (outcome == "vanishing")


def test_a_gradient_that_vanishes_as_a_whole_is_reported(uri: str) -> None:
    """Steps of 10 have saturated every unit, in the first layer as in the last."""
    network = {"dataset": {"name": "moons"}, "model": {"hidden": [4], "activation": "sigmoid"}}
    rule = {"loss": "mean_squared_error", "optimizer": "adam", "learning_rate": 10.0, "steps": 400}
    table = run_sweep(load_spec({"name": "a", **network, **rule}), tracking_uri=uri, inline=True).table
    assert table["outcome"].tolist() == ["vanishing"]
    store = Store(uri)
    sentences = explain(store, store.find_trial(table["run_id"][0])).findings
    assert not any("fades" in sentence for sentence in sentences)
    assert any(re.match(r"the whole gradient has norm \S+; it was \S+ at step 0", sentence) for sentence in sentences)
