"""Blocks of a grid: their union, `zip`, `only`, axes that may be left out, and the messages about mistakes in them."""

import itertools
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.data.variants import load_datasets
from experiments.errors import SpecError
from experiments.source import override, read_yaml
from experiments.spec import check_spec, load_spec
from experiments.trial_ids import TrialIds
from experiments.trials import Grid, make_grid

_BASE = "name: a\ndataset: {name: xor}\n"


def _grid(grid: Any, **spec: Any) -> Grid:
    resolved = load_spec({"name": "a", "dataset": {"name": "xor"}, "grid": grid, **spec})
    return make_grid(resolved, load_datasets(resolved.spec.dataset, Path()))


def _trials(grid: Grid, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(values.get(name) for name in names) for p in grid.populations for _, values in p.every_params()]


def _counts(grid: Grid) -> list[tuple[int, int, int, int]]:
    return [(c.block.points, c.unmet, c.equal, c.trials) for c in grid.blocks]


def test_blocks_are_united_in_their_order_and_equal_trials_are_one() -> None:
    grid = _grid(
        [
            {"optimizer": ["sgd", "momentum"], "learning_rate": [0.1, 1.0]},
            {"optimizer": ["sgd", "adam"], "learning_rate": [0.1, 0.001]},
        ]
    )
    assert _trials(grid, "optimizer", "learning_rate") == [
        ("sgd", 0.1), ("sgd", 1.0), ("momentum", 0.1), ("momentum", 1.0),
        ("sgd", 0.001), ("adam", 0.1), ("adam", 0.001),
    ]  # fmt: skip
    assert _counts(grid) == [(4, 0, 0, 4), (4, 0, 1, 3)]
    numbers = [number for p in grid.populations for number in p.numbers_at(np.arange(p.trials)).tolist()]
    assert numbers == list(range(7))


def test_a_union_has_each_id_of_its_blocks_once() -> None:
    blocks: list[dict[str, Any]] = [
        {"learning_rate": {"logspace": [0.01, 1.0], "points": 5}, "seed": {"range": 4}, "clip_norm": [None, 1.0]},
        {"zip": {"learning_rate": [0.1, 0.1, 0.3], "seed": [1, 2, 3]}, "initializer": ["xavier_uniform", "zeros"]},
        {"seed": {"range": [2, 9, 2]}, "learning_rate": [0.1, 1.0], "clip_norm": [1.0, 2.0]},
        {"seed": {"range": [3, -1, -1]}, "clip_norm": [None]},
    ]
    alone = [_ids(_grid(block)) for block in blocks]
    together = _ids(_grid(blocks))
    assert len(set(together)) == len(together)
    assert together == list(dict.fromkeys(itertools.chain(*alone)))


def _ids(grid: Grid) -> list[str]:
    return list(TrialIds(grid, ["data"]))


def test_a_value_outside_the_grid_is_that_of_the_blocks_without_such_an_axis() -> None:
    grid = _grid([{"seed": [1, 2]}, {"learning_rate": [0.3], "seed": [1]}], learning_rate=0.1)
    assert _trials(grid, "learning_rate", "seed") == [(0.1, 1), (0.1, 2), (0.3, 1)]


def test_zip_takes_the_values_of_its_axes_together() -> None:
    grid = _grid({"zip": {"optimizer": ["sgd", "adam"], "learning_rate": [0.1, 0.001]}, "seed": {"range": 2}})
    assert _trials(grid, "optimizer", "learning_rate", "seed") == [
        ("sgd", 0.1, 0), ("sgd", 0.1, 1), ("adam", 0.001, 0), ("adam", 0.001, 1),
    ]  # fmt: skip
    same = _grid({"zip": {"optimizer": ["sgd", "momentum", "sgd"], "momentum": [0.1, 0.2, 0.3]}})
    assert _trials(same, "optimizer", "momentum") == [("sgd", None), ("momentum", 0.2)]
    assert _counts(same) == [(3, 0, 1, 2)]


def test_null_leaves_a_hyperparameter_out() -> None:
    grid = _grid({"clip_norm": [None, 1.0], "batch_size": [2, None]})
    trials = [values for p in grid.populations for _, values in p.every_params()]
    assert [(t.get("clip_norm"), t.get("batch_size")) for t in trials] == [
        (None, 2), (None, None), (1.0, 2), (1.0, None),
    ]  # fmt: skip
    assert ["clip_norm" in t for t in trials] == [False, False, True, True]
    assert _ids(grid)[1] == _ids(_grid({}))[0]


def test_null_and_the_default_are_one_trial() -> None:
    assert _trials(_grid({"learning_rate": [None, 0.01, 0.1]}), "learning_rate") == [(0.01,), (0.1,)]
    assert _trials(_grid({"activation": [None, "tanh", "relu"]}, model={"hidden": [2]}), "activation") == [
        ("tanh",), ("relu",),
    ]  # fmt: skip
    grid = _grid({"optimizer": ["momentum", "rmsprop"], "momentum": [None, 0.5]})
    assert _trials(grid, "optimizer", "momentum") == [
        ("momentum", 0.9), ("momentum", 0.5), ("rmsprop", 0.0), ("rmsprop", 0.5),
    ]  # fmt: skip


def test_points_may_have_other_values_beside_them() -> None:
    grid = _grid({"weight_decay": {"logspace": [0.01, 1.0], "points": 3, "with": [0, None]}})
    assert _trials(grid, "weight_decay") == [(0.0,), (0.01,), (0.1,), (1.0,), (None,)]
    grid = _grid({"init_scale": {"linspace": [1, 2], "points": 2, "with": [0.5]}})
    assert _trials(grid, "init_scale") == [(0.5,), (1.0,), (2.0,)]


_AXES: dict[str, Any] = {
    "optimizer": ["sgd", "momentum", "adam"],
    "momentum": [0.5, 0.9],
    "learning_rate": [0.001, 0.1, 1.0],
    "hidden": [[], [2], [8, 8]],
    "warmup_steps": [None, 5, 20],
    "steps": [10, 30],
}


@pytest.mark.parametrize(
    ("conditions", "meets"),
    [
        (["optimizer=adam"], lambda t: t["optimizer"] == "adam"),
        (["momentum<0.9"], lambda t: t.get("momentum", 1) < 0.9),
        (["momentum!=0.9"], lambda t: t.get("momentum") != 0.9),
        (["momentum=null or learning_rate<=0.1"], lambda t: "momentum" not in t or t["learning_rate"] <= 0.1),
        (["hidden!=[8,8]", "learning_rate >= 0.1"], lambda t: t["hidden"] != (8, 8) and t["learning_rate"] >= 0.1),
        (["hidden=[8, 8] or optimizer=sgd"], lambda t: t["hidden"] == (8, 8) or t["optimizer"] == "sgd"),
        (["warmup_steps!=null"], lambda t: "warmup_steps" in t),
        (["warmup_steps<steps"], lambda t: t.get("warmup_steps", 99) < t["steps"]),
        (["params.optimizer=momentum"], lambda t: t["optimizer"] == "momentum"),
    ],
)
def test_the_trials_that_meet_every_condition_stay(conditions: list[str], meets: Any) -> None:
    every = [values for p in _grid(_AXES).populations for _, values in p.every_params()]
    grid = _grid({**_AXES, "only": conditions})
    kept = [values for p in grid.populations for _, values in p.every_params()]
    assert kept == [values for values in every if meets(values)]
    assert 0 < len(kept) < len(every)
    assert grid.blocks[0].unmet == len(every) - len(kept)


def test_a_condition_may_be_written_alone() -> None:
    assert _trials(_grid({"seed": [1, 2, 3], "only": "seed>1"}), "seed") == [(2,), (3,)]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("[]", "a.yaml:3: grid should be a mapping of keys to values, or a list of such blocks, not []"),
        ("[3]", "a.yaml:3: grid.0 should be a mapping of keys to values, not 3"),
        ("[{seed: [1]}, {sed: [2]}]", "a.yaml:3: no hyperparameter is called 'sed'; did you mean 'seed'?"),
        ("\n- seed: [1]\n- seed:\n  - 1\n  - x", "a.yaml:7: grid.1.seed should be a whole number, not 'x'"),
        ("{zip: [1]}", "a.yaml:3: grid.zip should be a mapping of axes that have one length, not [1]"),
        (
            "{zip: {seed: [1, 2], learning_rate: [0.1]}}",
            "a.yaml:3: grid.zip: axes under zip must have the same length, but seed has 2, learning_rate has 1",
        ),
        ("{seed: [1], zip: {seed: [2]}}", "a.yaml:3: grid.zip.seed is in this block twice, once under zip"),
        ("{zip: {seed: [1, x]}}", "a.yaml:3: grid.zip.seed should be a whole number, not 'x'"),
        ("{seed: [1], only: 3}", "a.yaml:3: grid.only should be a list of conditions such as learning_rate<0.1, not 3"),
        ("{seed: [1], only: []}", "a.yaml:3: grid.only should be a list of conditions"),
        ("\n  seed: [1]\n  only:\n  - seed>0\n  - seed", "a.yaml:7: grid.only.1: 'seed': write NAME OPERATOR VALUE"),
        ("{seed: [1, null]}", "a.yaml:3: grid.seed: null would leave seed out, which is 0: write 0"),
        ("{hidden: [[2], null]}", "a.yaml:3: grid.hidden: null would leave hidden out, which is []: write []"),
        ("{learning_rate: null}", "a.yaml:3: grid.learning_rate: has no values"),
        ("{clip_norm: [null, null]}", "a.yaml:3: grid.clip_norm: None is listed twice"),
        ("{seed: {range: 3, with: [7]}}", "a.yaml:3: grid.seed: range takes no with"),
        (
            "{weight_decay: {logspace: [1, 2], points: 2, with: 0}}",
            "a.yaml:3: grid.weight_decay: with should be a list of values, not 0",
        ),
        ("{weight_decay: {logspace: [1, 2], points: 2, with: [1]}}", "grid.weight_decay: 1.0 is listed twice"),
        ("[{seed: {range: 60000000}}, {seed: {range: 10000000}}]", "the grid has 70,000,000 trials"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(grid: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec(read_yaml(f"{_BASE}grid: {grid}", "a.yaml", Path()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("{seed: [1], only: [sed>0]}", "a.yaml:3: grid.only: 'sed>0': no trial has 'sed'; did you mean 'seed'?"),
        (
            "\n- seed: [1]\n- optimizer: [sgd, adam]\n  only:\n  - optimizer=adm",
            "a.yaml:7: grid.1.only: 'optimizer=adm': no trial has the value 'adm'; did you mean 'adam'?",
        ),
        ("{seed: [1], only: [seed>x]}", "a.yaml:3: grid.only: 'seed>x': 'x' is not a number to compare with"),
        ("{seed: [1], only: [seed<null]}", "a.yaml:3: grid.only: 'seed<null': null can't be compared by <"),
        ("{seed: [1, 2], only: [seed>1, seed<2]}", "a.yaml:3: grid.only: 'seed>1': no trial meets 'seed>1' and 'see"),
        ("[{seed: [1]}, {momentum: [0.9]}]", "a.yaml:3: grid.1.momentum: no trial of this sweep uses momentum"),
        ("{momentum: [null, 0.5]}", "a.yaml:3: grid.momentum: no trial of this sweep uses momentum"),
    ],
)  # fmt: skip
def test_a_mistake_that_only_the_trials_show_is_named_with_its_place(grid: str, message: str) -> None:
    resolved = check_spec(read_yaml(f"{_BASE}grid: {grid}", "a.yaml", Path()))
    with pytest.raises(SpecError) as caught:
        make_grid(resolved, load_datasets(resolved.spec.dataset, Path()))
    assert message in str(caught.value)


def _overridden(*assignments: str) -> Sequence[Any]:
    text = f"{_BASE}grid:\n- {{seed: [1, 2], learning_rate: {{logspace: [0.1, 1], points: 2}}}}\n- {{seed: [7]}}\n"
    resolved = check_spec(override(read_yaml(text, "a.yaml", Path()), assignments))
    return [{name: list(values) for name, values in block.axes.items()} for block in resolved.blocks]


def test_an_override_is_for_every_block_or_for_one() -> None:
    rates = {"learning_rate": [0.1, 1.0]}
    assert _overridden("grid.seed.range=3") == [{"seed": [0, 1, 2], **rates}, {"seed": [0, 1, 2]}]
    assert _overridden("grid.1.seed=[4]") == [{"seed": [1, 2], **rates}, {"seed": [4]}]
    assert _overridden("grid.1.init_scale=[2]")[1] == {"seed": [7], "init_scale": [2.0]}
    assert _overridden("grid.0.learning_rate.values=[3]")[0] == {"seed": [1, 2], "learning_rate": [3.0]}
    assert _overridden("grid=[{seed: [5]}]") == [{"seed": [5]}]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("grid.2.seed=[1]", "--set grid.2.seed=[1]: the grid has 2 blocks, and the first is grid.0"),
        ("grid.1.sed=[1]", "--set grid.1.sed=[1]: no hyperparameter is called 'sed'"),
        ("grid.zip.seed=[x]", "--set grid.zip.seed=[x]: grid.0.zip.seed is in this block twice"),
        ("grid=3", "--set grid=3: grid should be a mapping of keys to values, or a list of such blocks, not 3"),
    ],
)
def test_a_wrong_override_of_a_block_is_named(assignment: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _overridden(assignment)
    assert message in str(caught.value)


def test_a_grid_of_ten_million_trials_takes_little_memory() -> None:
    axes = {"learning_rate": {"logspace": [0.001, 1.0], "points": 500}, "seed": {"range": 20_000}}
    _grid({"seed": {"range": 2}})  # what a first grid imports is no part of the figure
    tracemalloc.start()
    grid = _grid(axes)
    numbers = [0, 9_999_999]
    ids = TrialIds(grid, ["data"])
    assert grid.trials == len(ids) == 10_000_000
    assert [grid.population(n).configuration(n)["seed"] for n in numbers] == [0, 19_999]
    assert ids[0] != ids[9_999_999]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_range_of_one_value_may_have_a_huge_step() -> None:
    """The step would not fit into 64 bits; the second block is compared with the first."""
    grid = _grid(
        [{"seed": {"range": [1, 4]}}, {"seed": {"range": [2, 6, 10**20]}}, {"seed": {"range": [9, 2, -(10**20)]}}]
    )
    assert grid.trials == 4
    assert [values["seed"] for p in grid.populations for _, values in p.every_params()] == [1, 2, 3, 9]


@pytest.mark.parametrize(("name", "values"), [("init_bias", [0.5, 1.0]), ("init_shift", [0.5]), ("batch_seed", [3, 4])])
@pytest.mark.parametrize("first", [True, False])
def test_a_block_with_a_further_hyperparameter_has_trials_of_its_own(name: str, values: list[Any], first: bool) -> None:
    blocks: list[dict[str, Any]] = [{"seed": {"range": 2}}, {"seed": {"range": 2}, name: values}]
    batches = {"batch_size": 4} if name == "batch_seed" else {}
    grid = _grid(blocks if first else blocks[::-1], **batches)
    assert grid.trials == 2 + 2 * len(values)
    found = [values.get(name) for p in grid.populations for _, values in p.every_params()]
    assert sorted(map(str, found)) == sorted(map(str, [None, None, *values, *values]))
