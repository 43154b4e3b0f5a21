"""Keys and values of other tools: each message gives a line, and the sweep file with that line is right."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import ACTIVATIONS, INITIALIZERS, LOSSES, OPTIMIZERS, SCHEDULES
from experiments.errors import SpecError
from experiments.peer_names import _VALUES, EPOCHS, KEYS, NO_KEYS
from experiments.source import read_yaml
from experiments.spec import load_spec

_SPEC: dict[str, Any] = {
    "name": "a",
    "dataset": {"name": "moons"},
    "grid": {"weight_decay": [0.0, 0.1]},
}
_LINE = re.compile(r"`([^`]+)`( under (\w+):| at the top of the file)?")


def _refused(spec: Mapping[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    return str(caught.value)


def _without(spec: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    mended = copy.deepcopy(dict(spec))
    section = mended
    for key in path[:-1]:
        section = section[key]
    del section[path[-1]]
    return mended


def _mended(spec: Mapping[str, Any], path: tuple[str, ...], message: str) -> dict[str, Any]:
    """Return the sweep file with the lines of a message in place of the wrong key at `path`."""
    mended = _without(spec, path)
    lines = _LINE.findall(message.partition("; write ")[2])
    assert lines, message
    for text, where, named in lines:
        section = named if where else "".join(path[:-1])
        place = mended.setdefault(section, {}) if section else mended
        place.update(read_yaml(text, "line", Path()).data)
    return mended


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("lr",), 0.1, "`learning_rate: 0.1`"),
        (("grid", "lr"), [0.1, 0.2], "`learning_rate: [0.1, 0.2]`"),
        (("model", "lr"), 0.1, "`learning_rate: 0.1` at the top of the file"),
        (("epochs",), 30, "`steps: 30` (without batch_size, an epoch is a step)"),
        (("grid", "epochs"), [10, 20], "`steps: [10, 20]` (without batch_size, an epoch is a step)"),
        (("batch",), 32, "`batch_size: 32`"),
        (("betas",), [0.9, 0.99], "`beta1: 0.9` and `beta2: 0.99`"),
        (("nesterov",), True, "`optimizer: nesterov`"),
        (("criterion",), "MSELoss", "`loss: mean_squared_error`"),
        (("optim",), "torch.optim.AdamW", "`optimizer: adamw`"),
        (("seeds",), 3, "`seed: {range: 3}` under grid:"),
        (("grid", "seeds"), [1, 2], "`seed: [1, 2]`"),
        (("layers",), [8, 8], "`hidden: [8, 8]` under model:"),
        (("model", "hidden_size"), 8, "`hidden: [8]`"),
        (("grid", "units"), [4, 8], "`hidden: [[4], [8]]`"),
        (("model", "act"), "ReLU", "`activation: relu`"),
        (("model", "kernel_initializer"), "glorot_uniform", "`initializer: xavier_uniform`"),
        (("lr_scheduler",), "CosineAnnealingLR", "`schedule: cosine`"),
        (("dataset", "test_size"), 0.2, "`test_fraction: 0.2`"),
        (("dataset", "n_samples"), 50, "`samples: 50`"),
        (("grid", "n_samples"), [50, 60], "`dataset.samples: [50, 60]`"),
        (("num_samples",), 10, "`search: {method: sobol, trials: 10}`"),
        (("n_trials",), 10, "`search: {method: sobol, trials: 10}`"),
        (("scheduler",), "ASHAScheduler", "`search: {method: halving, first: 11}`"),
        (("pruner",), "SuccessiveHalvingPruner", "`search: {method: halving, first: 11}`"),
        (
            ("early_termination",),
            {"type": "hyperband", "min_iter": 3, "eta": 2},
            "`search: {method: hyperband, first: 3, factor: 2}`",
        ),
        (("method",), "bayes", "`search: {method: tpe, trials: 100}`"),
        (("method",), "grid", "`search: {method: grid}`"),
    ],
)
def test_a_key_of_another_tool_gets_its_line(path: tuple[str, ...], value: Any, line: str) -> None:
    spec = copy.deepcopy(_SPEC)
    section = spec
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    message = _refused(spec)
    assert message.startswith("spec: ")
    assert message.endswith(f"; write {line}")
    assert load_spec(_mended(spec, path, message)).stages


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"lr": {"values": [0.1, 0.2]}}, "`grid: {learning_rate: {values: [0.1, 0.2]}}`"),
        (
            {"optimizer": {"value": "Adam"}, "seed": {"values": [1, 2]}},
            "`grid: {optimizer: [adam], seed: {values: [1, 2]}}`",
        ),
        (
            {"learning_rate": {"distribution": "log_uniform_values", "min": 0.01, "max": 1}},
            "`grid: {learning_rate: {loguniform: [0.01, 1]}}` and `search: {method: sobol, trials: 100}`",
        ),
        (
            {"learning_rate": "tune.choice([0.1, 0.2])", "units": [4]},
            "`grid: {learning_rate: [0.1, 0.2], hidden: [[4]]}`",
        ),
    ],
)
def test_the_parameters_of_another_tool_become_a_grid(given: Mapping[str, Any], line: str) -> None:
    spec = {**_without(_SPEC, ("grid",)), "parameters": given}
    message = _refused(spec)
    assert message == f"spec: unknown key 'parameters'; write {line}"
    assert load_spec(_mended(spec, ("parameters",), message)).axes


def test_parameters_without_a_like_axis_are_called_grid() -> None:
    spec = {**_SPEC, "parameters": {"dropout": {"values": [0.1]}}}
    assert _refused(spec) == "spec: unknown key 'parameters'; gradgrid calls it grid"


_OF_KEYS: dict[str, Any] = {
    "name": "b", "description": "text", "dataset": {"name": "moons"}, "model": {"hidden": [3]},
    "grid": {"learning_rate": [0.1]}, "search": {"method": "random", "trials": 3},
    "early_stopping": {"patience": 3}, "record": {"points": 3}, "optimizer": "adam", "loss": "hinge",
    "schedule": "cosine", "dtype": "float32", "hidden": [3], "activation": "relu", "output": "tanh",
    "initializer": "zeros", "bias": True, "path": "a.csv", "target": "t", "features": ["u"], "standardize": True,
    "separator": ";", "class_weight": "balanced", "method": "random", "metric": "loss", "folds": 3, "trials": 3,
    "test_fraction": 0.2, "validation_fraction": 0.2, "noise": 0.1, "learning_rate": 0.1, "momentum": 0.5,
    "beta1": 0.5, "beta2": 0.5, "alpha": 0.5, "epsilon": 0.1, "clip_norm": 1.0, "clip_value": 1.0, "gamma": 0.5,
    "weight_decay": 0.1,
}  # fmt: skip
"""Own key -> a value; a whole number for others."""


@pytest.mark.parametrize("section", KEYS)
def test_every_key_of_the_table_gets_a_line_with_its_own_key(section: str) -> None:
    searches = {"first": "halving", "factor": "halving", "metric": "halving", "batch": "tpe"}
    for name, own in KEYS[section].items():
        spec = _without(_SPEC, ("grid",))
        value = _OF_KEYS.get(own, 3)
        if section == "search":
            method = searches.get(own, "sobol")
            spec["search"] = {"method": method, **({"first": 3} if method == "halving" else {"trials": 3}), name: value}
        elif section:
            spec[section] = {**({"patience": 4} if section == "early_stopping" else spec.get(section, {})), name: value}
        else:
            spec[name] = value
        message = _refused(spec)
        assert re.search(rf"unknown key '{name}'; write `(search: {{method: \w+, )?{own}: ", message), (message, own)


@pytest.mark.parametrize("name", EPOCHS)
def test_with_batches_epochs_are_not_steps(name: str) -> None:
    message = _refused({**_SPEC, "batch_size": 10, name: 30})
    assert message.endswith("gradgrid counts updates: write steps, which are the epochs times the batches of an epoch")


@pytest.mark.parametrize("name", NO_KEYS)
def test_a_key_without_a_like_says_what_to_do(name: str) -> None:
    assert _refused({**_SPEC, name: 1}) == f"spec: unknown key {name!r}; {NO_KEYS[name]}"


@pytest.mark.parametrize(
    ("section", "value", "line"),
    [
        ("search", "random", "`search: {method: random, trials: 100}`"),
        ("search", "asha", "`search: {method: halving, first: 11}`"),
        ("early_stopping", True, "`early_stopping: {patience: 50}`"),
        ("early_stopping", 7, "`early_stopping: {patience: 7}`"),
        ("model", [8, 8], "`model: {hidden: [8, 8]}`"),
        ("dataset", "moons", "`dataset: {name: moons}`"),
        ("dataset", "my.csv", "`dataset: {path: my.csv, target: COLUMN}`"),
    ],
)
def test_a_section_of_one_value_gets_its_line(section: str, value: Any, line: str) -> None:
    message = _refused({**_SPEC, section: value})
    assert message.endswith(f"should be a mapping of keys to values, not {value!r}; write {line}")
    assert load_spec(_mended({**_SPEC, section: value}, (section,), message)).stages


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"method": "asha", "grace_period": 4, "reduction_factor": 2}, "{method: halving, first: 4, factor: 2}"),
        ({"method": "bohb"}, "{method: hyperband, first: 11}"),
        ({"method": "TPESampler", "n_trials": 20, "direction": "minimize"}, "{method: tpe, trials: 20}"),
        ({"method": "grid_search"}, "{method: grid}"),
    ],
)
def test_a_method_of_another_tool_gets_its_line(given: Mapping[str, Any], line: str) -> None:
    spec = {**_SPEC, "search": given}
    message = next(text for text in _refused(spec).splitlines() if "search.method should be" in text)
    assert message.endswith(f"; write `search: {line}`")
    assert load_spec(_mended(spec, ("search",), message)).stages


def test_values_of_other_tools_are_names_that_there_are() -> None:
    own: dict[str, Iterable[str]] = {
        "optimizer": OPTIMIZERS, "loss": LOSSES, "activation": ACTIVATIONS, "initializer": INITIALIZERS,
        "schedule": SCHEDULES, "method": ("grid", "random", "sobol", "halving", "hyperband", "tpe", "cmaes"),
    }  # fmt: skip
    for kind, names in _VALUES.items():
        assert set(names) <= set(own[kind])
    assert _refused({**_SPEC, "loss": "mse"}).endswith("no loss is called 'mse'; write mean_squared_error")
    assert _refused({**_SPEC, "optimizer": "SGD"}).endswith("no optimizer is called 'SGD'; write sgd")
    message = _refused({**_SPEC, "grid": {"activation": ["ReLU"]}})
    assert message.endswith("no activation is called 'ReLU'; write relu")


@pytest.mark.parametrize("value", [np.float64(0.1), object(), {"a": {1: object()}}, [[]], None, "x" * 9999, {}, -1])
def test_any_value_under_another_name_gets_a_message(value: Any) -> None:
    for name in ("lr", "epochs", "seeds", "betas", "layers", "parameters", "scheduler", "n_trials", "data", "nesterov"):
        assert f"unknown key {name!r}" in _refused({**_SPEC, name: value})
        assert "is called" in _refused({**_SPEC, "grid": {name: value}})
    assert "search" in _refused({**_SPEC, "search": {"method": value}})
