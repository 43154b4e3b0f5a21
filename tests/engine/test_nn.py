import math

import numpy as np
import pytest

from engine import INITIALIZERS, MLP, Layer, Neuron, Parameter, initial_weights
from engine.operations import tanh


def test_a_neuron_is_its_activation_of_the_weighted_sum() -> None:
    neuron = Neuron([0.5, -2.0], 0.25, tanh)
    assert neuron([3.0, 1.0]).value == pytest.approx(math.tanh(0.5 * 3 - 2 * 1 + 0.25))
    assert [p.value for p in neuron.parameters()] == [0.5, -2.0, 0.25]
    with pytest.raises(ValueError, match="shorter"):
        neuron([1.0])


def test_a_layer_holds_its_weights_before_its_biases() -> None:
    layer = Layer([Neuron([1.0, 2.0], 5.0), Neuron([3.0, 4.0], 6.0)])
    assert [p.value for p in layer.parameters()] == [1, 2, 3, 4, 5, 6]
    assert [y.value for y in layer([1.0, 1.0])] == [8.0, 13.0]


def test_an_mlp_computes_what_matrices_do() -> None:
    model = MLP([3, 4, 2], "relu", "sigmoid", seed=5)
    flat = np.array([p.value for p in model.parameters()])
    first, bias, second, last = np.split(flat, np.cumsum([t.size for t in model.tensors])[:-1])
    x = np.array([0.3, -1.2, 0.7])
    hidden = np.maximum(first.reshape(4, 3) @ x + bias, 0)
    expected = 1 / (1 + np.exp(-(second.reshape(2, 4) @ hidden + last)))
    assert [y.value for y in model(list(x))] == pytest.approx(expected.tolist(), rel=1e-14)
    assert [(t.name, t.shape) for t in model.tensors] == [
        ("layer1.weight", (4, 3)),
        ("layer1.bias", (4,)),
        ("layer2.weight", (2, 4)),
        ("layer2.bias", (2,)),
    ]


def test_gradients_of_an_mlp_can_be_zeroed() -> None:
    model = MLP([2, 3, 1])
    model([1.0, 2.0])[0].backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert not any(p.grad for p in model.parameters())


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        ("he_normal", math.sqrt(2 / 300)),
        ("he_uniform", math.sqrt(2 / 300)),
        ("xavier_normal", math.sqrt(2 / 500)),
        ("xavier_uniform", math.sqrt(2 / 500)),
        ("lecun_normal", math.sqrt(1 / 300)),
        ("lecun_uniform", math.sqrt(1 / 300)),
        ("normal", 1.0),
        ("uniform", math.sqrt(1 / 3)),
    ],
)
def test_weights_have_the_spread_of_their_initializer(initializer: str, deviation: float) -> None:
    weights = initial_weights((300, 200), initializer, seed=1)[:-200]
    assert np.std(weights) == pytest.approx(deviation, rel=0.02)
    assert abs(np.mean(weights)) < 0.02 * deviation
    if initializer.endswith("uniform"):
        assert np.abs(weights).max() <= deviation * math.sqrt(3)


def test_biases_and_zeros_start_at_zero_and_scale_multiplies_the_rest() -> None:
    assert not initial_weights((3, 4, 1), "zeros", 0).any()
    weights = initial_weights((3, 4), "normal", 7)
    assert not weights[12:].any()
    assert (initial_weights((3, 4), "normal", 7, scale=0.5) == 0.5 * weights).all()


@pytest.mark.parametrize("initializer", sorted(set(INITIALIZERS) - {"zeros"}))
def test_the_seed_decides(initializer: str) -> None:
    widths = (4, 3, 2)
    assert (initial_weights(widths, initializer, 1) == initial_weights(widths, initializer, 1)).all()
    assert (initial_weights(widths, initializer, 1) != initial_weights(widths, initializer, 2)).any()


def test_weights_can_be_given() -> None:
    parameter = Parameter(4.0)
    model = MLP([1, 1], weights=[parameter, 1.0])
    assert model.parameters()[0] is parameter
    assert model([2.0])[0].value == 9.0
