"""The trials of a grid: populations, defaults and identities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import DTYPES, KERNELS
from experiments import trial_ids
from experiments.data.variants import load_datasets
from experiments.population import Population
from experiments.spec import load_spec
from experiments.trial_ids import trial_id
from experiments.trials import make_grid


def _grid(**spec: Any) -> tuple[Population, ...]:
    resolved = load_spec({"name": "a", "dataset": {"name": "xor"}, **spec})
    return make_grid(resolved, load_datasets(resolved.spec.dataset, Path())).populations


def _configurations(grid: Sequence[Population]) -> list[dict[str, Any]]:
    return [p.configuration(trial) for p in grid for trial in range(p.trials)]


def test_the_sweep_is_the_product_of_its_axes_with_every_trial_once() -> None:
    grid = _grid(
        model={"hidden": [2]}, grid={"activation": ["relu", "tanh"], "learning_rate": [0.1, 1.0], "seed": [3, 4]}
    )
    configurations = _configurations(grid)
    assert [(c["activation"], c["learning_rate"], c["seed"]) for c in configurations] == [
        (activation, rate, seed) for activation in ("relu", "tanh") for rate in (0.1, 1.0) for seed in (3, 4)
    ]
    assert len({trial_id(c, "data") for c in configurations}) == 8
    assert [p.first for p in grid] == [0, 4]


def test_trials_that_share_a_program_are_one_population() -> None:
    grid = _grid(grid={"learning_rate": [0.1, 1.0], "initializer": ["zeros", "normal"], "init_scale": [0.5, 1.0]})
    assert [p.trials for p in grid] == [8]


def test_hyperparameters_that_a_trial_has_no_use_for_make_no_copies_of_it() -> None:
    grid = _grid(grid={"optimizer": ["sgd", "momentum"], "momentum": [0.5, 0.9]})
    assert [(c["optimizer"], c.get("momentum")) for c in _configurations(grid)] == [
        ("sgd", None), ("momentum", 0.5), ("momentum", 0.9),
    ]  # fmt: skip
    grid = _grid(grid={"hidden": [[], [2]], "activation": ["relu", "tanh"]})
    assert [(c["hidden"], c.get("activation")) for c in _configurations(grid)] == [
        ((), None), ((2,), "relu"), ((2,), "tanh"),
    ]  # fmt: skip


def test_missing_hyperparameters_have_defaults_of_the_optimiser_or_task() -> None:
    (configuration,) = _configurations(_grid(optimizer="adam"))
    assert configuration == {
        "hidden": (), "output": "identity", "loss": "cross_entropy", "optimizer": "adam", "steps": 100,
        "schedule": "constant", "dtype": "float64", "kernel": "compiled",
        "initializer": "xavier_uniform", "init_scale": 1.0, "learning_rate": 0.001, "seed": 0,
        "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-08,
    }  # fmt: skip
    (configuration,) = _configurations(_grid(dataset={"name": "sine"}))
    assert (configuration["loss"], configuration["learning_rate"]) == ("mean_squared_error", 0.01)


def test_a_single_neurons_activation_is_its_output() -> None:
    outputs = [
        c["output"] for c in _configurations(_grid(loss="mean_squared_error", grid={"activation": ["relu", "sin"]}))
    ]
    assert outputs == ["relu", "sin"]


def _shown(**spec: Any) -> list[tuple[Any, ...]]:
    trials = [p.params(trial) for p in _grid(**{"loss": "mean_squared_error", **spec}) for trial in range(p.trials)]
    return [(list(t["hidden"]), t.get("activation"), t.get("output")) for t in trials]


def test_a_single_neurons_activation_keeps_the_name_that_the_user_gave_it() -> None:
    both = {"hidden": [[], [2]], "activation": ["tanh", "relu"]}
    assert _shown(grid={"activation": ["relu", "sin"]}) == [([], "relu", None), ([], "sin", None)]
    assert _shown(model={"activation": "sin"}) == [([], "sin", None)]
    assert _shown(grid={"output": ["relu", "sin"]}) == [([], None, "relu"), ([], None, "sin")]
    assert _shown() == [([], None, "identity")]
    assert _shown(grid=both) == [
        ([], "tanh", None), ([], "relu", None), ([2], "tanh", "identity"), ([2], "relu", "identity"),
    ]  # fmt: skip
    assert _shown(grid=both, model={"output": "sin"}) == [([], None, "sin"), ([2], "tanh", "sin"), ([2], "relu", "sin")]
    assert _shown(grid=both, loss="cross_entropy") == [
        ([], None, "identity"), ([2], "tanh", "identity"), ([2], "relu", "identity"),
    ]  # fmt: skip


def test_a_single_neurons_identity_is_that_of_older_versions() -> None:
    """The identities are those of older versions."""

    def ids(**spec: Any) -> list[str]:
        return [trial_id(c, "data") for c in _configurations(_grid(loss="mean_squared_error", **spec))]

    both = {"hidden": [[], [2]], "activation": ["tanh", "relu"]}
    assert ids(grid=both) == [
        "4a0c087e8b19db3a1d1bb74f0faa7a89", "23a50d0003820d5cf7f403047b1635ad",
        "7342431e0a922e50820b0c23529276d1", "fa2811e2e6383471a43ad80b4816d824",
    ]  # fmt: skip
    assert ids(model={"output": "tanh"}) == ids(model={"activation": "tanh"}) == ids(grid=both)[:1]
    assert ids(grid={**both, "output": ["sigmoid", "sin"]}) == [
        "361e97d1c852d36b03bcec71b2da1e41", "1506857a7daf5922217c2b4a7c7046d4", "69c4119ba4cdce98c0876b96ee612bec",
        "82e5ebea04f46a0e99f6153cb274f4e4", "ab51024f93b685e58511377d3d0929f7", "d23dac8c98cfd449cb8fbd890afdde92",
    ]  # fmt: skip


def test_a_trials_identity_is_all_that_determines_it() -> None:
    (configuration,) = _configurations(_grid())
    identity = trial_id(configuration, "data")
    assert len(identity) == 32
    assert trial_id(dict(reversed(configuration.items())), "data") == identity
    assert trial_id({**configuration, "seed": 1}, "data") != identity
    assert trial_id(configuration, "other data") != identity


def test_the_version_of_float32_is_part_of_the_identity_of_its_trials_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def identities() -> dict[tuple[str, str], str]:
        return {
            (dtype, kernel): trial_id({"dtype": dtype, "kernel": kernel}, "data")
            for dtype in DTYPES
            for kernel in KERNELS
        }

    before = identities()
    monkeypatch.setattr(trial_ids, "FLOAT32_VERSION", "another")
    assert [key for key, identity in identities().items() if identity != before[key]] == [("float32", "compiled")]
