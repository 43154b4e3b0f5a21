"""Axes of the data: each combination is a data set of its own, and equal ones are one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold, StratifiedKFold

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import load_dataset
from experiments.data.variants import Datasets, load_datasets
from experiments.errors import DataError, SpecError
from experiments.source import override, read_yaml
from experiments.spec import check_spec, load_spec
from experiments.trial_ids import TrialIds
from experiments.trials import Grid, make_grid


def _load(dataset: dict[str, Any], grid: Any, **spec: Any) -> tuple[Grid, Datasets]:
    resolved = load_spec({"name": "a", "dataset": dataset, "grid": grid, **spec})
    datasets = load_datasets(resolved.spec.dataset, Path())
    return make_grid(resolved, datasets), datasets


def _ids(grid: Grid, datasets: Datasets) -> list[str]:
    return list(TrialIds(grid, [dataset.fingerprint for dataset in datasets.every]))


def test_each_combination_is_a_data_set_and_trials_have_their_ids() -> None:
    """A trial's id depends on its data, not on where the sweep file names them."""
    axes = {"dataset.noise": [0.1, 0.3], "dataset.seed": [0, 1], "seed": [0, 1]}
    grid, datasets = _load({"name": "moons"}, axes)
    assert (grid.trials, len(datasets.every)) == (8, 4)
    params = [values for p in grid.populations for _, values in p.every_params()]
    assert [(t["dataset.noise"], t["dataset.seed"], t["seed"]) for t in params][:5] == [
        (0.1, 0, 0), (0.1, 0, 1), (0.1, 1, 0), (0.1, 1, 1), (0.3, 0, 0),
    ]  # fmt: skip
    alone = _load({"name": "moons", "noise": 0.3, "seed": 1}, {"seed": [0, 1]})
    assert _ids(*alone) == _ids(grid, datasets)[6:]
    assert (
        datasets.every[3].fingerprint == load_dataset(DatasetSpec(name="moons", noise=0.3, seed=1), Path()).fingerprint
    )


def test_equal_data_sets_and_their_trials_are_one() -> None:
    grid, datasets = _load({"name": "xor"}, {"dataset.seed": [0, 1, 2], "seed": [0, 1]})
    assert (grid.trials, len(datasets.every)) == (2, 1)
    assert grid.blocks[0].equal == 4


def test_samples_and_test_fractions_are_axes() -> None:
    grid, datasets = _load({"name": "moons"}, {"dataset.samples": [20, 40], "dataset.test_fraction": [0.25, 0.5]})
    assert [(len(d.training_targets), len(d.test_targets)) for d in datasets.every] == [
        (15, 5), (10, 10), (30, 10), (20, 20),
    ]  # fmt: skip
    assert grid.trials == 4


def test_folds_are_those_of_scikit_learn_and_every_sample_is_tested_once() -> None:
    _, datasets = _load({"name": "iris", "folds": 5, "standardize": False}, {"dataset.fold": {"range": 5}})
    x, y = load_iris(return_X_y=True)
    splits = StratifiedKFold(5, shuffle=True, random_state=0).split(x, y)
    for dataset, (training, test) in zip(datasets.every, splits, strict=True):
        np.testing.assert_array_equal(dataset.training_features, x[np.sort(training)])
        np.testing.assert_array_equal(dataset.test_features, x[np.sort(test)])
        assert np.bincount(dataset.test_targets.astype(int)).tolist() == [10, 10, 10]
    _, datasets = _load({"name": "line", "samples": 11, "folds": 3, "seed": 4}, {"dataset.fold": [2, 0]})
    tests = [test for _, test in KFold(3, shuffle=True, random_state=4).split(np.zeros(11))]
    assert [len(dataset.test_targets) for dataset in datasets.every] == [len(tests[2]), len(tests[0])]


def test_a_fold_may_be_named_outside_the_grid() -> None:
    dataset = load_dataset(DatasetSpec(name="iris", folds=3, fold=2), Path())
    assert len(dataset.test_targets) == 50


def test_conditions_and_zip_and_search_take_them() -> None:
    conditions = ["dataset.noise<0.3", "dataset.noise!=0.1"]
    grid, _ = _load({"name": "moons"}, {"dataset.noise": [0.1, 0.2, 0.3], "seed": [0, 1], "only": conditions})
    assert [t["dataset.noise"] for p in grid.populations for _, t in p.every_params()] == [0.2, 0.2]
    zipped, _ = _load({"name": "moons"}, {"zip": {"dataset.noise": [0.1, 0.2], "dataset.seed": [5, 6]}})
    assert zipped.trials == 2
    grid, datasets = _load(
        {"name": "iris", "folds": 3},
        {"dataset.fold": {"range": 3}, "seed": [0, 1], "learning_rate": {"loguniform": [0.01, 1]}},
        search={"method": "sobol", "trials": 5},
    )
    assert (grid.trials, len(datasets.every)) == (5 * 3 * 2, 3)


def test_facts_of_several_data_sets_bring_them_back() -> None:
    grid, datasets = _load({"name": "iris", "folds": 3}, {"dataset.fold": {"range": 3}})
    again = Datasets.from_facts(datasets.facts)
    for population in grid.populations:
        index = again.index(population.data_params)
        assert again.every[index].fingerprint == datasets.every[population.dataset].fingerprint
        np.testing.assert_array_equal(again.every[index].center, datasets.every[population.dataset].center)
    single = load_datasets(DatasetSpec(name="iris"), Path())
    single.index({})
    assert single.facts == single.every[0].facts


_BASE = "name: a\ndataset: {name: moons}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_BASE + "grid: {dataset.noise: [0.1, -1]}", "a.yaml:3: grid.dataset.noise should be greater"),
        (_BASE + "grid: {dataset.nois: [0.1]}", "'dataset.nois'; did you mean 'dataset.noise'"),
        (
            "name: a\ndataset: {name: moons, noise: 0.2}\ngrid: {dataset.noise: [0.1]}",
            "a.yaml:3: grid.dataset.noise: noise is in the grid and under dataset; remove one of them",
        ),
        (_BASE + "grid: {dataset.fold: [0]}", "a.yaml:3: grid.dataset.fold: there are no folds"),
        (
            "name: a\ndataset: {name: moons, folds: 3}\ngrid: {dataset.test_fraction: [0.1]}",
            "a.yaml:3: grid.dataset.test_fraction: dataset.folds names the test part",
        ),
        (
            "name: a\ndataset: {path: a.csv, target: y}\ngrid: {dataset.noise: [0.1]}",
            "a.yaml:3: grid.dataset.noise: noise is only for toy data sets",
        ),
        ("name: a\ndataset: {name: iris, folds: 3, test_fraction: 0.2}", "a.yaml:2: dataset: folds and test"),
        ("name: a\ndataset: {name: iris, fold: 1}", "a.yaml:2: dataset: fold needs folds, the number of folds"),
    ],
)  # fmt: skip
def test_a_wrong_axis_of_the_data_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec(read_yaml(text, "a.yaml", Path()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "grid", "message"),
    [
        ({"name": "iris"}, {"dataset.noise": [0.1]}, "iris is a real data set, and samples"),
        ({"name": "iris", "folds": 3}, {"seed": [1]}, "folds: 3 needs the axis dataset.fold: {range: 3}, or fold: N"),
        ({"name": "iris", "folds": 3}, {"dataset.fold": [3]}, "fold 3 does not exist: folds: 3 has the folds 0 to 2"),
        ({"name": "iris", "folds": 60}, {"dataset.fold": [3]}, "iris can't be cut into 60 folds: a class of it has 50"),
    ],
)  # fmt: skip
def test_data_that_can_not_be_made_are_refused(dataset: Any, grid: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        _load(dataset, grid)
    assert message in str(caught.value)


def test_the_command_line_names_such_an_axis_as_the_file_does() -> None:
    source = override(
        read_yaml(_BASE, "a.yaml", Path()), ("grid.dataset.noise=[0.1, 0.2]", "grid.dataset.seed.range=3")
    )
    assert {name: list(values) for name, values in check_spec(source).axes.items()} == {
        "dataset.noise": [0.1, 0.2], "dataset.seed": [0, 1, 2],
    }  # fmt: skip
