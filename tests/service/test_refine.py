"""`refine`: a map is trained coarsely, then only where its cells differ, and every cell gets the dense map's label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.arrays import Flags, Integers
from experiments.errors import SpecError, SweepInterruptedError
from experiments.spec import load_spec
from service import RecordedSweep, load_sweep, sweep
from service.results.axes import Axis
from service.results.edge import lost_cells, measure_edge
from service.results.refined_table import NOT_TRAINED, with_untrained_cells
from service.results.refinement import UNKNOWN, first_strides, halved, lattice_cells, refined_cells, sources
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting

_Y, _X = np.mgrid[0:100, 0:75]
_MAPS: dict[str, Flags] = {
    "line": 0.4 * _X + _Y > 60,
    "circle": (_X - 30) ** 2 + (_Y - 45) ** 2 < 25**2,
    "corner": (_X > 70) & (_Y > 90),
    "nothing": np.zeros(_X.shape, dtype=bool),
}


def _refined(truth: Flags, coarse: tuple[int, int]) -> tuple[Integers, int]:
    """Return the labels that a refinement of a map gives, and the number of cells that it looked at."""
    labels = np.full(truth.shape, UNKNOWN)
    strides = first_strides(truth.shape, coarse)
    wanted, looked = lattice_cells(truth.shape, strides), 0
    while True:
        assert (labels[wanted] == UNKNOWN).all()  # no cell twice
        labels[wanted] = truth[wanted]
        looked += int(wanted.sum())
        if strides == (1, 1):
            return labels, looked
        wanted, strides = refined_cells(labels, strides), halved(strides)


@pytest.mark.parametrize("name", _MAPS)
def test_smooth_maps_are_found_with_few_cells(name: str) -> None:
    truth = _MAPS[name]
    labels, looked = _refined(truth, (13, 10))
    assert (labels == truth).mean() > 0.999
    assert looked < 0.25 * truth.size
    everything, all_cells = _refined(truth, truth.shape)
    assert (everything == truth).all()
    assert all_cells == truth.size


@pytest.mark.parametrize("name", _MAPS)
def test_cells_without_training_have_the_label_of_their_source(name: str) -> None:
    labels, _ = _refined(_MAPS[name], (13, 10))
    trained = np.zeros(labels.shape, dtype=bool)
    again, strides = np.full(labels.shape, UNKNOWN), first_strides(labels.shape, (13, 10))
    wanted = lattice_cells(labels.shape, strides)
    source = sources(wanted, strides)
    assert (source[wanted] == np.flatnonzero(wanted)).all()
    while True:
        again[wanted] = labels[wanted]
        trained |= wanted
        if strides == (1, 1):
            break
        wanted, strides = refined_cells(again, strides), halved(strides)
    source = sources(trained, first_strides(labels.shape, (13, 10)))
    assert trained.ravel()[source].all()
    assert (labels.ravel()[source] == labels).all()


def test_strides_are_powers_of_two_that_leave_enough_points() -> None:
    assert first_strides((1024, 1024), (64, 64)) == (16, 16)
    assert first_strides((100, 10), (20, 10)) == (4, 1)
    assert lattice_cells((10, 6), (4, 5)).nonzero()[0].tolist() == [0, 0, 4, 4, 8, 8, 9, 9]


_SPEC: dict[str, Any] = {
    "name": "refined",
    "dataset": {"name": "random_normal", "samples": 1, "feature_count": 16, "standardize": False},
    "model": {
        "hidden": [16],
        "activation": "tanh",
        "bias": False,
        "gain": ["sqrt(2/fan_in)", "1/fan_in"],
        "initializer": "normal",
    },
    "loss": "mean_squared_error",
    "steps": 60,
    "grid": {
        "learning_rate.layer1": {"logspace": [0.001, 1e6], "points": 12},
        "learning_rate.layer2": {"logspace": [0.001, 1e6], "points": 10},
    },
    "refine": {"to": 64, "audit": 0.05},
    "record": {"runs": "summary", "weights": "none", "curves": "none", "points": 5},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    folder = tmp_path_factory.mktemp("refined")
    return sweep(_SPEC, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def _dense_spec() -> dict[str, Any]:
    grid = {name: {**axis, "points": 64} for name, axis in _SPEC["grid"].items()}
    return {key: value for key, value in {**_SPEC, "name": "dense", "grid": grid}.items() if key != "refine"}


def test_a_refined_map_has_the_dense_maps_trials_and_labels(found: RecordedSweep) -> None:
    dense = sweep(_dense_spec(), tracking_uri=str(found._store.uri), inline=True).trials
    table = found.trials
    assert 300 < len(table) < 0.4 * len(dense)
    names = ["trial", "outcome", "outcome_step", "last_step", "metrics.loss"]
    same = dense.set_index("number").loc[table["number"], names].reset_index(drop=True)
    assert same.equals(table[names].reset_index(drop=True))
    columns, rows = (Axis(name, tuple(np.unique(dense[f"params.{name}"]))) for name in _SPEC["grid"])
    filled = with_untrained_cells(table, _SPEC)
    assert len(filled) == len(dense) == 64 * 64
    assert (filled["number"] == NOT_TRAINED).sum() == len(dense) - len(table)
    ours, theirs = (lost_cells(some, columns, rows) for some in (filled, dense))
    assert (ours == theirs).mean() > 0.998
    edge = run_for_json("edge", found.id, "--tracking-uri", str(found._store.uri))
    assert edge["pixels"] == measure_edge(ours).pixels > 60


def test_it_says_what_it_spared_and_audits_itself(found: RecordedSweep) -> None:
    metrics = found.info.metrics
    assert metrics["refine_trials"] == 64 * 64
    assert metrics["refine_spared"] == 64 * 64 - len(found.trials)
    untrained = 64 * 64 - len(found.trials) + metrics["refine_audited"]
    assert metrics["refine_audited"] == np.ceil(0.05 * untrained)
    assert metrics["refine_wrong"] <= 0.01 * metrics["refine_audited"]


def test_its_page_shows_the_whole_map(found: RecordedSweep) -> None:
    from service.report.contents import gather

    contents = gather(found._store, found.info)
    assert contents.phases[0].median.shape == (64, 64)
    assert contents.phases[0].is_map
    assert (contents.phases[0].trials == 1).all()
    assert (contents.phases[0].number == NOT_TRAINED).sum() == 64 * 64 - len(found.trials)
    assert sum(contents.outcomes.values()) == len(found.trials)
    shown = run_command("show", found.id, "--tracking-uri", str(found._store.uri)).stdout
    assert "refine_spared" in shown


def test_a_refinement_ends_as_finished_and_one_whose_budget_is_over_as_interrupted(
    found: RecordedSweep, uri: str
) -> None:
    assert found.info.status == "FINISHED"
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, minutes=0.0)
    assert (result.refined, result.trials) == (None, 0)
    info = load_sweep("refined", tracking_uri=uri).info
    assert info.status == "KILLED"
    assert not [name for name in info.metrics if name.startswith("refine_")]


@pytest.mark.parametrize("after", [20, 250])
def test_a_refinement_that_was_interrupted_trains_the_same_trials(found: RecordedSweep, uri: str, after: int) -> None:
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, observer=Interrupting(after), shard_size=30)
    before = len(load_sweep("refined", tracking_uri=uri).trials)
    assert 0 < before < len(found.trials)
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, resume="refined")
    assert result.recorded == len(found.trials) - before
    columns = ["number", "trial", "outcome", "metrics.loss"]
    assert result.table[columns].equals(found.trials[columns])
    assert result.refined is not None
    assert result.refined.metrics["refine_spared"] == found.info.metrics["refine_spared"]


def test_other_axes_are_trained_in_every_cell_and_outcomes_can_decide(uri: str) -> None:
    grid = {**_SPEC["grid"], "seed": {"range": 2}}
    grid = {name: {**axis, "points": 5} if "points" in axis else axis for name, axis in grid.items()}
    spec = {**_SPEC, "grid": grid, "refine": {"to": 17, "by": "outcome", "audit": 0}, "steps": 20}
    result = run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    cells = result.table.groupby([f"params.{name}" for name in _SPEC["grid"]])["params.seed"].nunique()
    assert (cells == 2).all()
    assert result.refined is not None
    assert result.refined.audited == 0
    assert result.refined.spared == 17 * 17 * 2 - len(result.table) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("refine.to=8",), r"refine.to is 8, so grid.learning_rate.layer1 should begin with 2 to 8 points, not 12"),
        (("refine.too=8",), "unknown key 'too'"),
        (("refine.to=2",), "refine.to should be greater than or equal to 4"),
        (("grid.learning_rate.layer1=[1, 2]",), "exactly two axes with points.*it has learning_rate.layer2"),
        (("grid.init_scale={linspace: [1, 2], points: 3}",), "refine needs exactly two axes with points"),
    ],
)  # fmt: skip
def test_a_refinement_that_does_not_fit_is_refused(change: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(_SPEC, change)
