"""Hyperparameters of single layers, networks without biases, and drawn batches, from the sweep file to populations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import initial_weights
from engine.arrays import Floats
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.data.variants import load_datasets
from experiments.errors import DataError, SpecError
from experiments.hyperparameters import find_hyperparameter, in_order
from experiments.population import Population
from experiments.source import read_yaml
from experiments.spec import ResolvedSpec, check_spec, load_spec
from experiments.trial_ids import trial_id
from experiments.trials import make_grid
from service.execution.worker import initial

_FILE = """\
name: layers
dataset: {name: random_normal, samples: 12, feature_count: 4, standardize: false}
model:
  hidden: [3]
  bias: false
  gain: [1/sqrt(fan_in), 1/fan_in]
  init_shift.layer1: 0.5
learning_rate.layer2: 0.25
grid:
  learning_rate.layer1: [0.1, 0.2]
"""


def _read(text: str, *assignments: str) -> ResolvedSpec:
    from experiments.source import override

    return check_spec(override(read_yaml(text, "layers.yaml", Path()), assignments))


def _grid(resolved: ResolvedSpec) -> list[Population]:
    return list(make_grid(resolved, load_datasets(resolved.spec.dataset, Path())).populations)


def _weights(resolved: ResolvedSpec, trial: int = 0) -> Floats:
    (population,) = _grid(resolved)
    dataset = load_dataset(resolved.spec.dataset, Path())
    return np.asarray(initial(population.columns, population.architecture, dataset)[trial])


def test_layers_have_hyperparameters_of_their_own() -> None:
    (population,) = _grid(_read(_FILE))
    assert [population.configuration(k)["learning_rate.layer1"] for k in range(2)] == [0.1, 0.2]
    configuration = population.configuration(0)
    assert (configuration["learning_rate.layer2"], configuration["init_shift.layer1"]) == (0.25, 0.5)
    assert "learning_rate" not in configuration  # each layer has its own
    assert configuration["gain"] == ("1/sqrt(fan_in)", "1/fan_in")
    assert configuration["bias"] is False
    model = population.architecture.model((4, 3, 1))
    assert [layer.neurons[0].gain for layer in model.layers] == [0.5, 1 / 3]
    assert [tensor.name for tensor in model.tensors] == ["layer1.weight", "layer2.weight"]
    program = population.architecture.trace(load_dataset(_read(_FILE).spec.dataset, Path()))
    assert set(program.columns) == {"learning_rate.layer1", "learning_rate.layer2"}


def test_a_general_value_holds_for_the_other_layers() -> None:
    text = _FILE.replace("learning_rate.layer2: 0.25\n", "").replace("[3]", "[3, 3]").replace("gain: [1", "gain: [1, 1")
    (population,) = _grid(_read(text, "learning_rate=0.7"))
    assert population.configuration(1)["learning_rate"] == 0.7
    assert population.architecture.own_rates == ("layer1",)


def test_weights_are_scaled_and_shifted_by_layer() -> None:
    plain = _weights(_read(_FILE.replace("  init_shift.layer1: 0.5\n", "")))
    assert _weights(_read(_FILE)).tolist() == [*(plain[:12] + 0.5), *plain[12:]]
    shifted = _weights(_read(_FILE, "model.init_shift=0.25", "model.init_scale.layer2=3"))
    assert shifted.tolist() == [*(plain[:12] + 0.5), *(3.0 * plain[12:] + 0.25)]
    biased = _weights(_read(_FILE, "model.bias=true", "model.init_bias=0.1"))
    assert biased[:12].tolist() == (plain[:12] + 0.5).tolist()
    assert 0 < np.abs(biased[12:15]).max() < 1


def test_drift_is_a_column_and_begins_with_the_initial_weights() -> None:
    plain = _weights(_read(_FILE))
    resolved = _read(_FILE, "model.drift.layer1=0.125", "model.drift=-1")
    (population,) = _grid(resolved)
    assert population.architecture.drifts == ("layer1", "")
    program = population.architecture.trace(load_dataset(resolved.spec.dataset, Path()))
    assert {"drift", "drift.layer1"} < set(program.columns)
    configuration = population.configuration(0)
    assert (configuration["drift"], configuration["drift.layer1"]) == (-1.0, 0.125)
    assert "drift" not in _grid(_read(_FILE))[0].configuration(0)
    expected = initial_weights((4, 3, 1), "xavier_uniform", 0, bias=False, shift=[0.5 + 0.125, -1.0])
    assert _weights(resolved).tolist() == expected.tolist()
    assert plain.tolist() == initial_weights((4, 3, 1), "xavier_uniform", 0, bias=False, shift=[0.5, 0.0]).tolist()
    own = _grid(_read(_FILE, "model.drift.layer1=1", "grid.drift.layer2=[1, 2]"))[0].architecture
    assert own.drifts == ("layer1", "layer2")


def test_assignments_reach_a_layer() -> None:
    resolved = _read(_FILE, "grid.learning_rate.layer1={linspace: [1, 2], points: 2}", "learning_rate.layer2=9")
    assert resolved.axes["learning_rate.layer1"] == [1.0, 2.0]
    assert resolved.fixed["learning_rate.layer2"] == 9.0
    spec = {
        "name": "a",
        "dataset": {"name": "sine"},
        "grid": {"learning_rate.layer1": {"linspace": [1, 2], "points": 2}},
    }
    assert len(load_spec(spec, ("grid.learning_rate.layer1.points=5",)).axes["learning_rate.layer1"]) == 5


def test_each_layer_may_have_its_activation() -> None:
    text = (
        _FILE.replace("[3]", "[3, 2]").replace("gain: [1", "gain: [1, 1")
        + "  activation: [[tanh, relu], relu, [relu, tanh]]\n"
    )
    grid = _grid(_read(text))
    assert [p.architecture.activations for p in grid] == [
        ("tanh", "relu", "identity"), ("relu", "relu", "identity"), ("relu", "tanh", "identity")
    ]  # fmt: skip
    assert [p.configuration(0)["activation"] for p in grid] == [("tanh", "relu"), "relu", ("relu", "tanh")]


def test_ids_of_usual_trials_do_not_depend_on_whether_the_file_says_so() -> None:
    usual = {"name": "a", "dataset": {"name": "sine"}, "model": {"hidden": [2]}, "batch_size": 4}
    said = {**usual, "model": {"hidden": [2], "bias": True, "gain": 1}, "batch_sampling": "shuffle"}
    pairs = [(_grid(load_spec(spec))[0], spec) for spec in (usual, said)]
    ids = {trial_id(population.configuration(0), "data") for population, _ in pairs}
    assert len(ids) == 1
    assert "bias" not in pairs[0][0].params(0)
    assert pairs[1][0].params(0)["bias"] is True
    swept = _grid(load_spec({**usual, "grid": {"bias": [True, False], "gain": [1.0, 0.5]}}))
    assert [(p.params(0)["bias"], p.params(0)["gain"]) for p in swept] == [
        (True, 1.0), (True, 0.5), (False, 1.0), (False, 0.5)
    ]  # fmt: skip
    assert len({trial_id(p.configuration(0), "data") for p in swept}) == 4
    mixed = _grid(load_spec({**usual, "grid": {"gain": [0.5, "1/fan_in"]}}))
    assert [p.params(0)["gain"] for p in mixed] == ["0.5", "1/fan_in"]  # one type in a column
    assert [p.configuration(0)["gain"] for p in mixed] == [0.5, "1/fan_in"]


def test_batches_can_be_drawn_with_replacement() -> None:
    spec = {"name": "a", "dataset": {"name": "sine"}, "batch_size": 4, "batch_sampling": "replacement", "batch_seed": 3}
    (population,) = _grid(load_spec({**spec, "grid": {"seed": {"range": 3}}}))
    assert population.architecture.config.replacement
    assert population.columns["batch_seed"].tolist() == [3, 3, 3]
    assert population.configuration(0)["batch_sampling"] == "replacement"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("learning_rate.layer3=1",), "no network has the layer3; leave it out"),
        (("model.drift=1", "model.drift.layer1=1", "model.drift.layer2=2"), "drift: each layer has its own; leave it"),
        (("model.drift.layer3=1",), "no network has the layer3; leave it out"),
        (("learning_rate=1",), "no trial of this sweep uses learning_rate: each layer has its own; leave it out"),
        (("model.init_bias=1",), "no trial of this sweep uses init_bias: its networks have no biases"),
        (("batch_seed=1",), "no trial of this sweep uses batch_seed: it applies only with batch_size"),
        (("batch_sampling=replacement",), "no trial of this sweep uses batch_sampling: it applies only with"),
        (("model.gain=[1, 2, 3]",), "gain: .* has 3 values for 2 layers, the output's included; give one for each"),
        (("model.activation=[relu, tanh]",), "activation: .* has 2 values for 1 hidden layers; give one for each"),
        (("model.gain=0",), "should be a number other than 0, 1/sqrt"),
        (("model.gain=1/fanin",), "should be a number other than 0"),
        (("model.activation=[relu, tanhh]",), "no activation is called 'tanhh'"),
        (("model.activation=7",), "model.activation should be"),
        (("model.bias=1",), "model.bias should be"),
        (("learning_rate.layer2=-1",), "learning_rate.layer2 should be greater than 0"),
        (("grid.momentum.layer1=[1]",), "momentum"),
        (("model.learning_rate.layer1=1",), "learning_rate.layer1"),
        (("grid.learning_rate.layer2=[1, 2]",), "learning_rate.layer2 is in the grid and outside it"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(change: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _grid(_read(_FILE, *change))


def test_a_wrong_value_of_a_layer_is_refused_with_its_line() -> None:
    with pytest.raises(SpecError, match=r"^layers.yaml:8: learning_rate.layer2 should be greater than 0, not 0"):
        _read(_FILE.replace("0.25", "0"))
    with pytest.raises(SpecError, match=r"^layers.yaml:7: model.init_shift.layer1 should be a number, not 'far'"):
        _read(_FILE.replace("0.5", "far"))


def test_the_table_orders_layers_after_the_general_value() -> None:
    names = ["learning_rate.layer10", "init_scale", "learning_rate.layer2", "learning_rate", "unknown", "activation"]
    assert in_order(names) == [
        "activation",
        "init_scale",
        "learning_rate",
        "learning_rate.layer2",
        "learning_rate.layer10",
    ]
    assert find_hyperparameter("learning_rate.layer0") is None
    assert find_hyperparameter("seed.layer1") is None


def test_random_normal_data_have_no_relation_and_any_size() -> None:
    data = load_dataset(DatasetSpec(name="random_normal", samples=4000, feature_count=3, standardize=False), Path())
    assert data.training_features.shape == (4000, 3)
    assert (data.task, data.output_count, len(data.test_targets)) == ("regression", 1, 0)
    together = np.column_stack([data.training_features, data.training_targets])
    np.testing.assert_allclose(np.cov(together.T), np.eye(4), atol=0.08)
    np.testing.assert_allclose(together.mean(axis=0), 0, atol=0.06)
    one = load_dataset(DatasetSpec(name="random_normal", samples=1, feature_count=16, standardize=False), Path())
    assert one.training_features.shape == (1, 16)
    assert one.training_features.any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "random_normal", "noise": 0.1}, "nothing but noise"),
        ({"name": "sine", "feature_count": 2}, "feature_count applies only to random_normal"),
        ({"name": "sine", "samples": 1}, "sine needs at least 2 samples"),
    ],
)
def test_keys_that_do_not_fit_the_data_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(DatasetSpec.model_validate(spec), Path())


@pytest.mark.parametrize("activation", [["relu"], ["sigmoid", "gelu", "relu"]])
def test_a_single_neuron_has_no_list_of_activations(activation: list[str]) -> None:
    spec = {
        "name": "neuron",
        "dataset": {"name": "or"},
        "loss": "mean_squared_error",
        "grid": {"activation": [activation]},
    }
    with pytest.raises(SpecError, match="for 0 hidden layers; a single neuron takes one name, not a list"):
        _grid(load_spec(spec))
