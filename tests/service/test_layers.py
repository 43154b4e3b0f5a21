"""Networks without biases, with hyperparameters of single layers and drawn batches, through the whole service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.errors import SpecError
from service import RecordedSweep, load_sweep, sweep
from service.inspection.explain import explain
from tests.service.conftest import run_command, run_for_json

_SPEC: dict[str, Any] = {
    "name": "layers",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.1},
    "model": {"hidden": [4, 3], "activation": ["relu", "tanh"], "bias": False, "gain": [1, "1/sqrt(fan_in)", 0.5]},
    "loss": "mean_squared_error",
    "steps": 30,
    "batch_size": 8,
    "batch_sampling": "replacement",
    "grid": {
        "learning_rate.layer1": [0.1, 0.2],
        "learning_rate": [0.1, 1e200],
        "init_shift.layer2": [0.0, 0.5],
        "seed": {"range": 2},
    },
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    folder = tmp_path_factory.mktemp("layers")
    return sweep(_SPEC, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def _uri(found: RecordedSweep) -> str:
    return str(found._store.uri)


def test_the_table_has_the_hyperparameters_of_layers(found: RecordedSweep) -> None:
    params = [name.removeprefix("params.") for name in found.trials if name.startswith("params.")]
    expected = ["hidden", "activation", "output", "initializer", "init_scale", "init_shift.layer2", "bias", "gain"]
    assert [name for name in params if name in expected] == expected
    assert params.index("learning_rate.layer1") == params.index("learning_rate") + 1
    assert set(found.trials["params.activation"]) == {"['relu', 'tanh']"}
    assert set(found.trials["params.gain"]) == {"[1.0, '1/sqrt(fan_in)', 0.5]"}
    assert (found.trials["outcome"] == "diverged").sum() == 8


def test_figures_are_the_same_when_trained_again(found: RecordedSweep) -> None:
    result = run_command("verify", "layers", "--tracking-uri", _uri(found))
    assert result.exit_code == 0
    assert "equal to the last bit" in result.stdout


def test_a_recorded_network_predicts_its_recorded_loss(found: RecordedSweep) -> None:
    best = found.best()
    assert {tensor["name"] for tensor in found.final_weights(best["run_id"]) or ()} == {
        "layer1.weight", "layer2.weight", "layer3.weight"
    }  # fmt: skip
    model = found.model(best["run_id"])
    first, second, third = (
        np.array(t["values"]).reshape(t["shape"]) for t in found.final_weights(best["run_id"]) or ()
    )
    points = np.array([[0.5, 0.25], [-1.0, 0.75]])
    inputs = (points - np.array(model.config["center"])) / np.array(model.config["scale"])
    hidden = np.tanh(0.5 * np.maximum(inputs @ first.T, 0) @ second.T)
    np.testing.assert_allclose(model.outputs(points), 0.5 * hidden @ third.T, rtol=1e-12)


def test_explain_names_units_and_the_rates_of_layers(found: RecordedSweep) -> None:
    store = found._store
    trial = store.find_trial(str(found.best()["run_id"]))
    explanation = explain(store, trial, 3)
    assert [(unit.layer, unit.number) for unit in explanation.units] == [
        *(("layer1", k) for k in range(4)), *(("layer2", k) for k in range(3))
    ]  # fmt: skip
    assert any(unit.gradient != 0 for unit in explanation.units)
    names = [name for name, _, _ in explanation.tensors]
    assert names == ["layer1.weight", "layer2.weight", "layer3.weight"]
    lost = found.trials[found.trials["outcome"] == "diverged"]["run_id"].iloc[0]
    findings = run_for_json("explain", str(lost), "--tracking-uri", _uri(found))["findings"]
    assert "the learning rate is 1e+200, 0.1 in layer1" in findings[0]


def test_the_page_and_the_heat_map_name_layers(found: RecordedSweep, tmp_path: Path) -> None:
    found.report(keep=False).write(tmp_path / "page.html")
    assert "learning rate of layer 1" in (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = run_command("show", "layers", "--tracking-uri", _uri(found)).stdout
    assert "learning rate of layer 1" in shown
    assert len(load_sweep("layers", tracking_uri=_uri(found)).trials) == 16


def test_a_drawn_batch_is_not_larger_than_the_data(uri: str) -> None:
    spec = {**_SPEC, "batch_size": 31}
    with pytest.raises(SpecError, match="batch_size: a batch that is drawn with replacement has at most 30 samples"):
        sweep(spec, tracking_uri=uri, inline=True)
