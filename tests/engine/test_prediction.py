"""A trained model's predictions are the kernel's own numbers."""

import numpy as np
import pytest

from engine import ACTIVATIONS, MLP, OPTIMIZERS, Samples, initial_weights, predict, trace_step, train
from engine.kernels.scalar import scalar_factory


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_predictions_are_the_kernels_for_each_sample(kernel: str, dtype: str, activation: str) -> None:
    rng = np.random.default_rng(1)
    widths = (3, 4, 2)
    weights, features = initial_weights(widths, "normal", 0), rng.normal(size=(21, 3))
    predicted = predict(MLP(widths, activation), weights, features, dtype=dtype, kernel=kernel)
    number = scalar_factory(kernel, dtype)
    model = MLP(widths, activation, weights=[number(w) for w in weights])
    expected = [[float(y.value.value) for y in model([number(x) for x in row])] for row in features]
    assert predicted.tolist() == expected


def test_the_loss_of_predictions_is_the_one_that_was_trained_to() -> None:
    samples = Samples(np.array([[1.0, 2.0]]), np.array([[0.25]]))
    model = MLP((2, 3, 1), "gelu")
    program = trace_step(model, lambda p, t: p[0], OPTIMIZERS["sgd"], features=2, targets=1)
    initial = initial_weights((2, 3, 1), "normal", 0)[None]
    history = train(program, initial, {"learning_rate": np.array([0.1])}, samples, steps=5)
    assert predict(model, history.weights[0], samples.features)[0, 0] == history.final("loss")[0]


def test_shapes_are_checked_and_no_samples_have_no_predictions() -> None:
    weights = initial_weights((2, 1), "normal", 0)
    assert predict(MLP((2, 1)), weights, np.empty((0, 2))).shape == (0, 1)
    with pytest.raises(ValueError, match="3 weights"):
        predict(MLP((2, 1)), weights[:2], np.ones((1, 2)))
    with pytest.raises(ValueError, match="samples, features"):
        predict(MLP((2, 1)), weights, np.ones(2))
