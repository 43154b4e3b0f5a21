"""Searches: the points that they draw are even, the same everywhere, and the beginning of longer ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from experiments.axis import Interval
from experiments.data.variants import load_datasets
from experiments.errors import SpecError
from experiments.search import SearchSpec, interval_values, listed_indices
from experiments.source import read_yaml
from experiments.spec import check_spec, load_spec
from experiments.trial_ids import TrialIds
from experiments.trials import Grid, make_grid

_BASE = "name: a\ndataset: {name: xor}\n"
_AXES: dict[str, Any] = {
    "learning_rate": {"loguniform": [1e-4, 1]},
    "init_scale": {"uniform": [0.5, 2]},
    "optimizer": ["sgd", "momentum", "adam"],
    "momentum": [0.5, 0.9, None],
    "batch_size": {"uniform": [1, 4]},
}


def _grid(method: str, trials: int, axes: Any, **spec: Any) -> Grid:
    search = {"method": method, "trials": trials, **spec.pop("search", {})}
    resolved = load_spec({"name": "a", "dataset": {"name": "xor"}, "search": search, "grid": axes, **spec})
    return make_grid(resolved, load_datasets(resolved.spec.dataset, Path()))


def _ids(grid: Grid) -> list[str]:
    return list(TrialIds(grid, ["data"]))


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_the_first_points_are_those_of_a_shorter_search(method: str) -> None:
    short, long = (_ids(_grid(method, count, {**_AXES, "seed": {"range": 2}})) for count in (50, 200))
    assert len(short) == 100
    assert set(short) <= set(long)
    assert long[:100] == short
    assert len(set(long)) == len(long)


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_trials_have_numbers_in_the_order_of_the_points(method: str) -> None:
    grid = _grid(method, 60, {**_AXES, "seed": {"range": 3}})
    ids = TrialIds(grid, ["data"])
    numbers = sorted(n for p in grid.populations for n in p.numbers_at(np.arange(p.trials)).tolist())
    assert numbers == list(range(grid.trials))
    assert [ids[n] for n in range(grid.trials)] == list(ids)
    seeds = [grid.population(n).configuration(grid.population(n).index_of(n) or 0)["seed"] for n in range(9)]
    assert seeds == [0, 1, 2] * 3


def test_the_points_are_these_on_every_machine() -> None:
    """The numbers were computed once; the first Sobol points without the shift are known."""
    random, sobol = (SearchSpec(method=m, trials=4, seed=7).coordinates(2) for m in ("random", "sobol"))
    assert random.tolist() == _RANDOM
    assert sobol.tolist() == _SOBOL
    unshifted = np.bitwise_xor(sobol, sobol[0]) / 2**32
    assert unshifted.tolist() == [[0, 0], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]
    values = interval_values(sobol[:, 0], Interval(1e-4, 1.0, "loguniform"), whole=False)
    assert [value.hex() for value in values] == _VALUES


_RANDOM = [[2684764585, 3853503932], [3331544671, 967257515], [1289204377, 3751883479], [22614310, 3527149199]]
_SOBOL = [[2684764585, 3853503932], [537280937, 1706020284], [1611022761, 2779762108], [3758506409, 632278460]]
_VALUES = ["0x1.03481b499fedbp-5", "0x1.4be16a9badfd1p-12", "0x1.9ed9c542997c5p-9", "0x1.441a221c07e92p-2"]


@pytest.mark.parametrize("dimension", range(5))
def test_sobol_points_are_even_in_each_dimension(dimension: int) -> None:
    points = SearchSpec(method="sobol", trials=256, seed=3).coordinates(5)[:, dimension]
    assert sorted(points >> np.uint64(24)) == list(range(256))


def test_sobol_points_fill_the_space_more_evenly_than_random_ones() -> None:
    random, sobol = (
        qmc.discrepancy(SearchSpec(method=m, trials=512, seed=1).coordinates(4) / 2**32) for m in ("random", "sobol")
    )
    assert sobol < random / 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["random", "sobol"])
def test_values_have_the_distribution_that_the_form_names(method: str, seed: int) -> None:
    points = SearchSpec(method=method, trials=2000, seed=seed).coordinates(2)  # type: ignore[arg-type]
    logarithmic = interval_values(points[:, 0], Interval(1e-5, 10.0, "loguniform"), whole=False)
    even = interval_values(points[:, 1], Interval(-3.0, 5.0, "uniform"), whole=False)
    assert kstest((np.log10(logarithmic) + 5) / 6, "uniform").pvalue > 0.001
    assert kstest((even + 3) / 8, "uniform").pvalue > 0.001
    exact = 1e-5 * 1e6 ** (points[:, 0] / 2**32)
    np.testing.assert_allclose(logarithmic, exact, rtol=1e-9)


def test_whole_numbers_are_drawn_with_both_ends() -> None:
    points = SearchSpec(method="sobol", trials=4096, seed=3).coordinates(2)
    even = interval_values(points[:, 0], Interval(3, 6, "uniform"), whole=True)
    assert np.unique(even, return_counts=True)[1].tolist() == [1024] * 4
    logarithmic = interval_values(points[:, 1], Interval(1, 7, "loguniform"), whole=True)
    counts = np.unique(logarithmic, return_counts=True)[1] / 4096
    np.testing.assert_allclose(counts, np.diff(np.log(np.arange(1, 9))) / np.log(8), atol=1e-3)
    ends = interval_values(
        np.array([0, 2**32 - 1], dtype=np.uint64), Interval(1e-300, 1e300, "loguniform"), whole=False
    )
    assert ends.tolist() == [1e-300, pytest.approx(1e300, rel=1e-6)]
    assert listed_indices(np.array([0, 2**31, 2**32 - 1], dtype=np.uint64), 3).tolist() == [0, 1, 2]


def test_points_keep_to_their_axes_and_every_seed_is_trained() -> None:
    grid = _grid("sobol", 128, {**_AXES, "seed": [4, 9]})
    trials = [values for p in grid.populations for _, values in p.every_params()]
    assert grid.trials == len(trials) > 200
    assert all(1e-4 <= t["learning_rate"] <= 1 and 0.5 <= t["init_scale"] <= 2 for t in trials)
    assert {t["batch_size"] for t in trials} == {1, 2, 3, 4}
    assert {t["optimizer"] for t in trials} == {"sgd", "momentum", "adam"}
    assert {t.get("momentum") for t in trials} == {0.5, 0.9, None}
    points = {tuple(value for name, value in t.items() if name != "seed") for t in trials}
    assert len(trials) == 2 * len(points)
    assert [(c.block.points, c.trials + c.equal) for c in grid.blocks] == [(256, 256)]


def test_equal_points_of_lists_are_one_trial() -> None:
    grid = _grid("random", 100, {"optimizer": ["sgd", "adam"], "init_scale": [1, 2]})
    assert grid.trials == 4
    assert grid.blocks[0].equal == 96


def test_zip_and_only_are_drawn_from() -> None:
    axes = {
        "zip": {"optimizer": ["sgd", "momentum"], "learning_rate": [0.5, 0.1]},
        "init_scale": {"uniform": [0.5, 2]},
        "only": ["init_scale<1 or optimizer=sgd"],
    }
    grid = _grid("sobol", 64, axes)
    trials = [values for p in grid.populations for _, values in p.every_params()]
    assert {(t["optimizer"], t["learning_rate"]) for t in trials} == {("sgd", 0.5), ("momentum", 0.1)}
    assert all(t["init_scale"] < 1 or t["optimizer"] == "sgd" for t in trials)
    assert grid.blocks[0].unmet + grid.trials == 64
    assert 0 < grid.blocks[0].unmet < 32


def test_another_seed_draws_other_points() -> None:
    first, second = (_ids(_grid("sobol", 16, _AXES, search={"seed": seed})) for seed in (0, 1))
    assert not set(first) & set(second)


def test_each_block_is_searched() -> None:
    grid = _grid("sobol", 8, [{"learning_rate": {"uniform": [0.1, 1]}}, {"init_scale": {"uniform": [0.5, 1]}}])
    assert [c.trials for c in grid.blocks] == [8, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "search: {method: sobl, trials: 3}",
            "a.yaml:3: search.method should be 'grid', 'random', 'sobol', 'halving', 'hyperband', 'tpe', 'cmaes'",
        ),
        ("search: {method: sobol}", "a.yaml:3: search: method sobol needs trials, the number of points"),
        ("search: {trials: 3}", "a.yaml:3: search: method grid trains every point, so it takes no trials"),
        ("search: {method: sobol, trials: 0}", "a.yaml:3: search.trials should be greater than or equal to 1, not 0"),
        ("search: {method: sobol, trials: 3, point: 1}", "a.yaml:3: unknown key 'point'"),
        ("search: {method: sobol, trials: 3}\ngrid: {seed: [1, 2]}", "a.yaml:4: grid: a search by sobol needs an axis"),
        (
            "grid: {learning_rate: {loguniform: [0.1, 1]}}",
            "a.yaml:3: grid.learning_rate: loguniform has no list of values, and every value is to be trained; write",
        ),
    ],
)
def test_a_wrong_search_is_named_with_its_place(text: str, message: str) -> None:
    _check_message(text, message)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("learning_rate: {loguniform: [0, 1]}", "loguniform needs two numbers above 0, not [0, 1]"),
        ("learning_rate: {uniform: [2, 1]}", "uniform should be [least, greatest], and 2 is not less than 1"),
        ("learning_rate: {uniform: 2}", "uniform should be [least, greatest], two finite numbers, not 2"),
        ("learning_rate: {uniform: [1, 2], points: 3}", "uniform takes no points"),
        ("momentum: {uniform: [0.5, 1]}", "grid.momentum should be less than 1, not 1"),
        ("activation: {uniform: [1, 2]}", "uniform draws numbers, and activation is none; write a list"),
        ("steps: {uniform: [1, 2.5]}", "grid.steps should be a whole number, not 2.5"),
        ("steps: {uniform: [0, 5]}", "grid.steps should be greater than or equal to 1, not 0"),
        ("seed: {uniform: [0, 5]}", "grid.seed: uniform has no list of values, and every value is to be trained; list"),
        ("zip: {learning_rate: {uniform: [1, 2]}}", "uniform has no list of values to go together with others"),
    ],
)
def test_a_wrong_continuous_axis_is_named_with_its_place(axis: str, message: str) -> None:
    _check_message(f"search: {{method: sobol, trials: 4}}\ngrid: {{{axis}}}", f"a.yaml:4: grid.{axis.split(':')[0]}")
    _check_message(f"search: {{method: sobol, trials: 4}}\ngrid: {{{axis}}}", message)


def _check_message(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec(read_yaml(_BASE + text, "a.yaml", Path()))
    assert message in str(caught.value)
