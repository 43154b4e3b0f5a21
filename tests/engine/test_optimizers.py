"""Training gives the weights of PyTorch's optimisers and the solutions of scikit-learn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from engine import LOSSES, MLP, OPTIMIZERS, SCHEDULES, UPDATE_OPTIONS, Samples, UpdateRule, trace_step, train
from engine.arrays import Floats
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset

_PYTORCH = json.loads((Path(__file__).parent / "pytorch_values.json").read_text(encoding="utf-8"))["cases"]
_DATA = Samples(np.array([[0.5, -1.0], [1.5, 2.0], [-0.7, 0.3], [0.1, -0.4]]), np.array([[1.0], [-0.5], [0.25], [2.0]]))
_START = np.array([[0.3, -0.2, 0.8, 0.5, 0.1, -0.1, 0.6, -0.9, 0.2]])


def _label(case: dict[str, Any]) -> str:
    return " ".join([case["optimizer"], case["schedule"], *sorted(set(case["hyperparameters"]) & set(UPDATE_OPTIONS))])


@pytest.mark.parametrize("case", _PYTORCH, ids=_label)
def test_updates_are_those_of_pytorch(kernel: str, case: dict[str, Any]) -> None:
    """The weights of a 2-2-1 network after 50 steps; `pytorch_values.py` computes them with PyTorch."""
    optimizer, schedule = OPTIMIZERS[case["optimizer"]], SCHEDULES[case["schedule"]]
    own = {*optimizer.hyperparameters, *schedule.hyperparameters}
    rule = UpdateRule(optimizer, schedule, frozenset(UPDATE_OPTIONS) & set(case["hyperparameters"]) - own)
    program = trace_step(MLP([2, 2, 1]), LOSSES["mean_squared_error"], rule, features=2, targets=1)
    columns = {name: np.array([value]) for name, value in case["hyperparameters"].items()}
    history = train(program, _START, columns, _DATA, steps=50, points=2, kernel=kernel)
    assert history.weights[0].tolist() == pytest.approx(case["weights"], rel=1e-11)
    assert set(columns) == set(rule.hyperparameters)


def test_pytorch_has_values_for_every_optimiser_schedule_and_option() -> None:
    assert {case["optimizer"] for case in _PYTORCH} == set(OPTIMIZERS)
    assert {case["schedule"] for case in _PYTORCH} == {*SCHEDULES}
    assert set(UPDATE_OPTIONS) <= {name for case in _PYTORCH for name in case["hyperparameters"]}


def _fit(dataset: Dataset, loss: str, *, momentum: float, learning_rate: float, steps: int) -> Floats:
    """Return coefficients and intercept of one linear neuron, trained with Nesterov's momentum."""
    program = trace_step(
        MLP([dataset.feature_count, 1]), LOSSES[loss], OPTIMIZERS["nesterov"], features=dataset.feature_count, targets=1
    )
    columns = {"learning_rate": np.array([learning_rate]), "momentum": np.array([momentum])}
    start = np.zeros((1, dataset.feature_count + 1))
    history = train(program, start, columns, dataset.training(loss, "identity"), steps=steps, points=2)
    assert history.final("grad_norm")[0] < 1e-6
    weights: Floats = history.weights[0]
    return weights


def _dataset(**chosen: object) -> Dataset:
    return load_dataset(DatasetSpec.model_validate({"test_fraction": 0, **chosen}), Path())


def test_a_linear_neuron_finds_least_squares_on_diabetes() -> None:
    data = _dataset(name="diabetes")
    solution = LinearRegression().fit(data.training_features, data.training_targets)
    weights = _fit(data, "mean_squared_error", momentum=0.9, learning_rate=0.1, steps=3000)
    np.testing.assert_allclose(weights, [*solution.coef_, solution.intercept_], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("chosen", "momentum", "steps"),
    [
        (
            {
                "name": "breast_cancer",
                "features": ["mean radius", "mean texture", "mean perimeter", "mean area", "mean smoothness"],
            },
            0.99,
            20_000,
        ),
        ({"name": "iris", "classes": ["versicolor", "virginica"]}, 0.99, 20_000),
    ],
    ids=["breast_cancer", "iris"],
)
def test_a_sigmoid_neuron_finds_the_maximum_likelihood(chosen: dict[str, object], momentum: float, steps: int) -> None:
    data = _dataset(**chosen)
    solution = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000).fit(
        data.training_features, data.training_targets
    )
    weights = _fit(data, "cross_entropy", momentum=momentum, learning_rate=1.0, steps=steps)
    np.testing.assert_allclose(weights, [*solution.coef_[0], *solution.intercept_], rtol=1e-4, atol=1e-4)
