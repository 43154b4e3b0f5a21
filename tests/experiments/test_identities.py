"""Trials keep their ids and their numbers: these were recorded before a grid could have blocks."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import Parts
from engine.arrays import Array
from experiments.data.variants import load_datasets
from experiments.spec import load_spec
from experiments.trial_ids import TrialIds, trial_id, trial_ids
from experiments.trials import make_grid

_XOR: dict[str, Any] = {"name": "a", "dataset": {"name": "xor"}}
_OPTIONS = {
    "optimizer": ["sgd", "momentum", "adamw"], "momentum": [0.5, 0.9], "weight_decay": [0.0, 0.1],
    "clip_norm": [1.0, 2.0], "seed": {"range": 3},
}  # fmt: skip
_STRUCTURES = {
    "seed": [3, 1], "hidden": [[], [2], [2, 2]], "batch_size": [2, 4], "activation": ["tanh", "relu"],
    "output": ["identity", "sigmoid"], "steps": [5, 7], "learning_rate": {"logspace": [0.001, 1.0], "points": 4},
}  # fmt: skip
_SCHEDULES = {
    "schedule": ["constant", "step", "cosine", "warmup"], "gamma": [0.1, 0.5], "warmup_steps": [5, 10],
    "initializer": ["zeros", "normal"], "init_scale": {"linspace": [0.5, 2.0], "points": 3},
}  # fmt: skip


def _ids(spec: str | Mapping[str, Any]) -> TrialIds:
    resolved = load_spec(spec)
    datasets = load_datasets(resolved.spec.dataset, Path())
    grid = make_grid(resolved, datasets)
    return TrialIds(grid, [dataset.fingerprint for dataset in datasets.every])


@pytest.mark.parametrize(
    ("spec", "trials", "digest"),
    [
        ("breast_cancer", 280, "0af3b3849fbbb2b6919b881727df7d71"),
        ("deep", 1240, "0e1543e0167b068cfc990007fa307ab1"),
        ("moons", 1000, "208650c97337be418b286466830598d0"),
        ("notebook", 120, "a83de607bf65e2f4179178b09388704b"),
        ("sine", 480, "f0a4afbf55290f3ffb14b884819edfcd"),
        ("xor", 960, "9836656d51bc7a56d95c3eb2b4a0421f"),
        ({**_XOR, "model": {"hidden": [2]}, "grid": _OPTIONS}, 48, "bc54403511fd44e3f95bd42038461f70"),
        ({**_XOR, "loss": "mean_squared_error", "grid": _STRUCTURES}, 320, "9958ed0853ee599f9bdbb1648c31243b"),
        ({**_XOR, "grid": _SCHEDULES}, 60, "42037b92517393c29ad46918f44dc4e0"),
    ],
)
def test_ids_and_numbers_are_those_of_older_versions(spec: str | Mapping[str, Any], trials: int, digest: str) -> None:
    ids = list(_ids(spec))
    assert len(ids) == trials
    assert hashlib.sha256("".join(ids).encode()).hexdigest()[:32] == digest


def test_an_id_is_the_same_alone_and_in_a_list() -> None:
    ids = _ids({**_XOR, "grid": _SCHEDULES})
    assert len(ids) == 60
    assert [ids[number] for number in reversed(range(60))] == list(ids)[::-1]
    assert ids[5:8] == list(ids)[5:8]
    with pytest.raises(IndexError):
        ids[60]


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.1, -0.0, 0.0, 1e-300]), np.array([3, 3, 3, 3]), np.array([0.1, np.inf, np.nan, 2.0]),
        np.array(["%s", "a\"b", "é", "a"]), np.array([None, 1.0, 1, True], dtype=object),
        np.array([2**62, -1, 0, 5]), np.array([True, False, True, True]),
    ],
    ids=["floats", "equal", "not finite", "texts", "mixed", "integers", "flags"],
)  # fmt: skip
def test_ids_of_many_trials_are_those_of_each(column: Array) -> None:
    parts = Parts(
        "from engine.parts import initializer\n@initializer\ndef mine(rng, shape):\n    return rng.random(shape)"
    )
    columns = {"batch_seed": column, "initializer": np.array(["zeros", "mine", "zeros", "mine"])}
    shared = {"activation": ("tanh", "relu"), "hidden": (2, 2), "output": "50% %s", "dtype": "float32"}
    each = [{name: values.tolist()[trial] for name, values in columns.items()} for trial in range(4)]
    expected = [trial_id({**shared, **values}, "data", parts) for values in each]
    assert trial_ids(shared, columns, "data", parts) == expected
    assert trial_ids(shared, columns, "data") != expected
