"""Neurons, layers and MLPs compute what matrices do."""

import math

import numpy as np
import pytest

from engine import MLP, Layer, Neuron, Parameter
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


def test_an_mlp_computes_products_of_matrices() -> None:
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


def test_weights_can_be_given() -> None:
    parameter = Parameter(4.0)
    model = MLP([1, 1], weights=[parameter, 1.0])
    assert model.parameters()[0] is parameter
    assert model([2.0])[0].value == 9.0
