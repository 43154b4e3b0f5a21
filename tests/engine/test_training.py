"""Training comes out where others' does: PyTorch's optimisers, scikit-learn's solutions."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from engine import LOSSES, MLP, OPTIMIZERS, Samples, trace_step, train
from engine.history import Floats
from experiments.datasets import Dataset, load_dataset
from experiments.spec import DatasetSpec

# Weights after 50 steps of torch.optim (PyTorch 2.13.0, float64) on a tanh neuron with the start, data and
# hyperparameters below, mean squared error: `SGD(lr)`, `SGD(lr, momentum)`, `SGD(..., nesterov=True)`, `Adam`.
_PYTORCH = {
    "sgd": (
        {"learning_rate": 0.1},
        [0.38365340838075446, -1.0710362745807442, 1.0180732975221076],
    ),
    "momentum": (
        {"learning_rate": 0.05, "momentum": 0.8},
        [0.7397772443858471, -1.4601595547604156, 1.2609588625389132],
    ),
    "nesterov": (
        {"learning_rate": 0.05, "momentum": 0.8},
        [0.7209580441883244, -1.439501367140823, 1.2494945425023953],
    ),
    "adam": (
        {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
        [0.43431059564042584, -1.069334713427192, 0.9833802396187474],
    ),
}


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_optimisers_follow_pytorch(optimizer: str) -> None:
    hyperparameters, expected = _PYTORCH[optimizer]
    features = np.array([[0.5, -1.0], [1.5, 2.0], [-0.7, 0.3], [0.1, -0.4]])
    targets = np.array([[1.0], [-0.5], [0.25], [2.0]])
    program = trace_step(
        MLP([2, 1], output="tanh"), LOSSES["mean_squared_error"], OPTIMIZERS[optimizer], features=2, targets=1
    )
    columns = {name: np.array([value]) for name, value in hyperparameters.items()}
    start = np.array([[0.3, -0.2, 0.1]])
    history = train(program, start, columns, Samples(features, targets), steps=50, points=2)
    assert history.weights[0].tolist() == pytest.approx(expected, rel=1e-10)


def _fit(dataset: Dataset, loss: str, *, momentum: float, learning_rate: float, steps: int) -> Floats:
    """Coefficients and intercept of one linear neuron, trained with Nesterov's momentum."""
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
