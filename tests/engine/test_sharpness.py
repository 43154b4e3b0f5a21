"""The sharpness by Lanczos' method is the largest eigenvalue of the Hessian."""

import numpy as np
import pytest

from engine import LOSSES, MLP, OPTIMIZERS, History, Samples, hessian, initial_weights, sharpness, trace_step, train
from engine.arrays import Floats
from engine.sharpness import MOST_WEIGHTS, _largest_eigenvalue


def _samples(features: int, targets: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(rng.standard_normal((40, features)), rng.standard_normal((40, targets)))


def _weights(widths: tuple[int, ...], count: int = 6) -> Floats:
    return np.stack([initial_weights(widths, "he_normal", seed) for seed in range(count)])


@pytest.mark.parametrize(
    ("widths", "activation", "loss"),
    [
        ((2, 1), "tanh", "mean_squared_error"), ((2, 4, 1), "tanh", "mean_squared_error"),
        ((3, 8, 8, 2), "relu", "mean_squared_error"), ((3, 8, 2), "gelu", "mean_squared_error"),
        ((4, 16, 3), "sigmoid", "cross_entropy"),
    ],
)  # fmt: skip
def test_it_is_the_largest_eigenvalue_of_the_hessian(widths: tuple[int, ...], activation: str, loss: str) -> None:
    samples, model, weights = _samples(widths[0], widths[-1]), MLP(widths, activation), _weights(widths)
    if loss == "cross_entropy":
        samples = Samples(samples.features, np.eye(widths[-1])[np.arange(40) % widths[-1]])
    expected = [np.linalg.eigvalsh(hessian(model, LOSSES[loss], point, samples))[-1] for point in weights]
    np.testing.assert_allclose(sharpness(model, LOSSES[loss], weights, samples), expected, rtol=1e-9)


def test_it_does_not_depend_on_the_other_points() -> None:
    samples, model, weights = _samples(2, 1), MLP((2, 6, 1), "tanh"), _weights((2, 6, 1), 20)
    together = sharpness(model, LOSSES["mean_squared_error"], weights, samples)
    alone = [sharpness(model, LOSSES["mean_squared_error"], point[None], samples)[0] for point in weights]
    np.testing.assert_array_equal(together, alone)


def test_a_loss_without_curvature_has_sharpness_0() -> None:
    samples = Samples(np.ones((4, 2)), np.ones((4, 1)))
    assert sharpness(MLP((2, 1)), LOSSES["hinge"], np.full((1, 3), -1.0), samples).tolist() == [0.0]


def test_where_a_derivative_is_not_finite_it_is_nan() -> None:
    weights = np.array([[1e200, 1e200, 1.0], [0.1, 0.2, 0.3]])
    values = sharpness(MLP((2, 1)), lambda y, t: (y[0] - t[0]) ** 4, weights, _samples(2, 1))
    assert np.isnan(values).tolist() == [True, False]


def test_a_network_that_is_too_large_is_refused() -> None:
    widths = (100, 100, 1)
    with pytest.raises(ValueError, match=rf"at most {MOST_WEIGHTS:,} weights, not 10,201"):
        sharpness(MLP(widths), LOSSES["mean_squared_error"], _weights(widths, 1), _samples(100, 1))


def test_the_largest_eigenvalue_of_tridiagonal_matrices() -> None:
    rng = np.random.default_rng(1)
    diagonal, beside = rng.standard_normal((50, 9)), rng.standard_normal((50, 8))
    beside[:5] = 0.0  # matrices of several blocks
    beside[5:10, 3] = 0.0
    matrices = [np.diag(d) + np.diag(b, 1) + np.diag(b, -1) for d, b in zip(diagonal, beside, strict=True)]
    expected = [np.linalg.eigvalsh(matrix)[-1] for matrix in matrices]
    np.testing.assert_allclose(_largest_eigenvalue(diagonal, beside), expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_snapshots_are_the_weights_at_the_recorded_steps(kernel: str, batch_size: int | None) -> None:
    """Half of the trials diverge, some between two recorded steps."""
    widths, trials = (2, 5, 1), 45
    samples, weights, seeds = _samples(2, 1), _weights(widths, trials), np.arange(trials)
    program = trace_step(MLP(widths, "relu"), LOSSES["mean_squared_error"], OPTIMIZERS["sgd"], features=2, targets=1)
    rates = {"learning_rate": np.random.default_rng(0).permutation(np.logspace(-3, 2, trials))}

    def trained(steps: int, points: int, snapshots: bool) -> History:
        return train(
            program, weights, rates, samples, steps=steps, points=points, schedule_steps=40, seeds=seeds,
            batch_size=batch_size, kernel=kernel, snapshots=snapshots,
        )  # fmt: skip

    history, plain = trained(40, 6, True), trained(40, 6, False)
    assert 0.2 < history.diverged.mean() < 0.8
    assert plain.snapshots is None
    assert history.snapshots is not None
    for name, curve in plain.curves.items():
        np.testing.assert_array_equal(history.curves[name], curve)
    np.testing.assert_array_equal(history.weights, plain.weights)
    np.testing.assert_array_equal(history.snapshots[:, -1], plain.weights)
    for point, step in enumerate(history.steps[:-1].tolist()):
        there = history.last_step > step
        assert np.isnan(history.snapshots[~there, point]).all()
        expected = trained(step, 2, False).weights if step else weights
        np.testing.assert_array_equal(history.snapshots[there, point], expected[there])
