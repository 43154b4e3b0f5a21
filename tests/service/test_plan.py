"""From a spec to shards, and the notes and figures of a dry run."""

import numpy as np
import pytest

from engine import KERNELS, train
from experiments.errors import DataError
from experiments.spec import load_spec
from service.execution.plan import Plan, make_plan
from service.execution.worker import train_shard
from service.results.curves import kept_curves


def _plan(**changes: object) -> Plan:
    return make_plan(load_spec({"name": "a", "dataset": {"name": "moons"}, **changes}))


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_shards_hold_every_trial_once(workers: int) -> None:
    plan = make_plan(load_spec("moons"))
    numbers = [n for shard in plan.shards(workers) for n in shard.numbers]
    assert numbers == list(range(1000))


def test_shards_are_cut_by_cost() -> None:
    small = _plan(grid={"seed": {"range": 50}})
    assert len(list(small.shards(2))) == 1  # tens of milliseconds: not worth a second task
    large = make_plan(load_spec("moons", ("steps=200000",)))
    shards = list(large.shards(2))
    assert len(shards) > 20
    for activation in ("relu", "tanh"):
        sizes = [shard.trials for shard in shards if shard.architecture.activation == activation]
        assert max(sizes) - min(sizes) <= 1
    assert len(list(_plan(grid={"seed": {"range": 5000}}).shards(2))) >= 3  # bounded by what a worker holds


def test_recorded_trials_are_left_out() -> None:
    plan = _plan(grid={"seed": {"range": 10}})
    shards = list(plan.shards(1, done=frozenset({0, 3, 9})))
    assert [n for shard in shards for n in shard.numbers] == [1, 2, 4, 5, 6, 7, 8]
    assert [shard.columns["seed"][0] for shard in shards] == [1]
    assert list(plan.shards(1, done=frozenset(range(10)))) == []


def test_ids_and_configurations_go_with_the_numbers() -> None:
    plan = _plan(model={"hidden": [2]}, grid={"activation": ["relu", "tanh"], "seed": [5, 6]})
    assert len(set(plan.trial_ids)) == 4
    shards = list(plan.shards(1, size=1))
    assert [shard.columns["seed"][0] for shard in shards] == [5, 6, 5, 6]
    assert [shard.architecture.activation for shard in shards] == ["relu", "relu", "tanh", "tanh"]


def test_a_dry_run_gives_the_figures_that_are_recorded() -> None:
    plan = _plan(steps=10, record={"points": 4}, grid={"seed": {"range": 3}})
    (shard,) = plan.shards(1)
    history = train_shard(shard, plan.datasets).history
    record = plan.resolved.spec.record
    assert plan.metric_rows == 3 * 4 * len(kept_curves(history.curves, record))
    assert set(history.curves) - set(kept_curves(history.curves, record)) == {
        "update_ratio.layer1.weight", "update_ratio.layer1.bias"
    }  # fmt: skip
    assert plan.trials == history.trials == 3


def test_a_worker_trains_the_trials_of_its_shard() -> None:
    plan = _plan(grid={"initializer": ["zeros", "normal"], "init_scale": [0.5, 2.0], "seed": [1, 2]}, steps=1)
    (shard,) = plan.shards(1)
    history = train_shard(shard, plan.datasets).history
    zeros = shard.columns["initializer"] == "zeros"
    assert len(np.unique(history.weights[zeros], axis=0)) == 1
    assert len(np.unique(history.weights[~zeros], axis=0)) == 4
    samples = plan.dataset.training("cross_entropy", "identity")
    start = np.zeros((1, 3))
    alone = train(plan.programs[0], start, {"learning_rate": np.array([0.01])}, samples, steps=1, points=25)
    assert (alone.weights == history.weights[zeros][0]).all()


def test_a_data_error_names_the_place_of_the_data_set() -> None:
    with pytest.raises(DataError, match=r"^spec: dataset: no data set is called 'moonz'; did you mean 'moons'"):
        _plan(dataset={"name": "moonz"})


@pytest.mark.parametrize(
    ("changes", "objective"),
    [
        ({}, "test_loss"),
        ({"dataset": {"name": "xor"}}, "loss"),
        ({"grid": {"loss": ["hinge", "cross_entropy"]}}, "test_accuracy"),
    ],
)
def test_trials_are_ranked_by_this_objective(changes: dict[str, object], objective: str) -> None:
    assert _plan(**changes).objective == objective


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moons", "breast_cancer"])
def test_both_kernels_give_a_ready_sweep_the_same_outcomes(name: str) -> None:
    outcomes: dict[str, list[tuple[int, int]]] = {}
    for kernel in KERNELS:
        plan = make_plan(load_spec(name, (f"kernel={kernel}",)))
        histories = [train_shard(shard, plan.datasets).history for shard in plan.shards(1)]
        outcomes[kernel] = [
            pair
            for h in histories
            for pair in zip(h.outcomes.codes.tolist(), h.outcomes.onset_step.tolist(), strict=True)
        ]
    assert len(outcomes["compiled"]) == make_plan(load_spec(name)).trials
    assert outcomes["compiled"] == outcomes["reference"]
