"""Neuron, Layer, MLP: small networks whose every weight is a `Parameter`.

>>> model = MLP([2, 3, 1], activation="relu", seed=1)
>>> len(model.parameters())
13
>>> (output,) = model([0.5, -1.0])
>>> output.backward()
>>> model.parameters()[-1].grad  # of the output's bias
1.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from engine.arrays import Floats
from engine.initializers import Initializer, initial_weights
from engine.operations import ACTIVATIONS, Scalar, identity
from engine.parameter import Parameter
from engine.tensors import layer_tensors, split

Activation: TypeAlias = Callable[[Scalar], Any]
"""An operation of the table, or any function of a scalar that is written in operations."""


class Neuron:
    """A unit that computes activation(w . x + b).

    weights: one for each input, as numbers or Parameters.
    bias: a number or a Parameter.
    activation: a function of a scalar.
    """

    def __init__(self, weights: Iterable[Scalar], bias: Scalar, activation: Activation = identity) -> None:
        self.weights = [_parameter(w) for w in weights]
        self.bias = _parameter(bias)
        self.activation = activation

    def __call__(self, inputs: Sequence[Scalar]) -> Any:
        """Return the output for one sample. Raises ValueError if the numbers of inputs and weights differ."""
        total: Any = self.bias
        for weight, x in zip(self.weights, inputs, strict=True):
            total = total + weight * x
        return total if self.activation is identity else self.activation(total)

    def parameters(self) -> list[Parameter]:
        """Return the weights, then the bias."""
        return [*self.weights, self.bias]


class Layer:
    """Neurons with the same inputs."""

    def __init__(self, neurons: Iterable[Neuron]) -> None:
        self.neurons = list(neurons)

    def __call__(self, inputs: Sequence[Scalar]) -> list[Any]:
        """Return the output of each neuron for one sample."""
        return [neuron(inputs) for neuron in self.neurons]

    def parameters(self) -> list[Parameter]:
        """Return the weights of all neurons, then their biases."""
        weights = [w for neuron in self.neurons for w in neuron.weights]
        return weights + [neuron.bias for neuron in self.neurons]


class MLP:
    """A multilayer perceptron: layers one after another.

    widths: units of each layer, inputs first. [2, 8, 1] has two inputs, eight hidden units and one output.
    activation: activation of the hidden layers: a name of ACTIVATIONS, or a function of a scalar.
    output: activation of the last layer, likewise.
    initializer, seed, scale: as in `initial_weights`, which draws the weights.
    weights: (weights,), flat in the order of `tensors`, instead of random ones.

    Raises KeyError for an unknown name, and ValueError for a wrong number of weights.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Activation = "tanh",
        output: str | Activation = "identity",
        *,
        initializer: str | Initializer = "xavier_uniform",
        seed: int = 0,
        scale: float = 1.0,
        weights: Sequence[Scalar] | Floats | None = None,
    ) -> None:
        layers = len(widths) - 1
        functions = [_activation(output if n == layers - 1 else activation) for n in range(layers)]
        self.tensors = layer_tensors(widths, [function is not identity for function in functions])
        flat = list(initial_weights(widths, initializer, seed, scale) if weights is None else weights)
        groups = [numbers for _, numbers in split(flat, self.tensors)]
        self.layers: list[Layer] = []
        for matrix, biases, inputs, function in zip(groups[::2], groups[1::2], widths[:-1], functions, strict=True):
            rows = [matrix[unit * inputs : (unit + 1) * inputs] for unit in range(len(biases))]
            self.layers.append(Layer([Neuron(row, bias, function) for row, bias in zip(rows, biases, strict=True)]))

    def __call__(self, inputs: Sequence[Scalar]) -> list[Any]:
        """Return the outputs for one sample, one for each unit of the last layer."""
        values: Sequence[Any] = inputs
        for layer in self.layers:
            values = layer(values)
        return list(values)

    def parameters(self) -> list[Parameter]:
        """Return all weights and biases, in the order of `tensors`."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def zero_grad(self) -> None:
        """Set the gradient of every weight to 0."""
        for parameter in self.parameters():
            parameter.zero_grad()


def _parameter(value: Scalar) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _activation(activation: str | Activation) -> Activation:
    return ACTIVATIONS[activation] if isinstance(activation, str) else activation
