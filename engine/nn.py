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
    """A unit that computes activation(gain (w . x + b)).

    weights: one for each input, as numbers or Parameters.
    bias: a number or a Parameter; None for a unit without one. Then `bias` is a constant 0, which is not trained.
    activation: a function of a scalar.
    gain: a factor that is not trained.
    """

    def __init__(
        self, weights: Iterable[Scalar], bias: Scalar | None, activation: Activation = identity, gain: float = 1.0
    ) -> None:
        self.weights = [_parameter(w) for w in weights]
        self.bias = _parameter(0.0 if bias is None else bias)
        self.has_bias = bias is not None
        self.activation = activation
        self.gain = gain

    def __call__(self, inputs: Sequence[Scalar]) -> Any:
        """Return the output for one sample. Raises ValueError if the numbers of inputs and weights differ."""
        total: Any = self.bias
        for weight, x in zip(self.weights, inputs, strict=True):
            total = total + weight * x
        if self.gain != 1.0:
            total = total * self.gain
        return total if self.activation is identity else self.activation(total)

    def parameters(self) -> list[Parameter]:
        """Return the weights, then the bias if it has one."""
        return [*self.weights, self.bias] if self.has_bias else list(self.weights)


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
        return weights + [neuron.bias for neuron in self.neurons if neuron.has_bias]


class MLP:
    """A multilayer perceptron: layers one after another.

    widths: units of each layer, inputs first. [2, 8, 1] has two inputs, eight hidden units and one output.
    activation: activation of the hidden layers: a name of ACTIVATIONS, or a function of a scalar; or one for each.
    output: activation of the last layer, likewise.
    bias: whether the units have biases.
    gain: a factor of the sum before the activation, that is not trained: for all layers, or one for each.
    initializer, seed, scale: as in `initial_weights`, which draws the weights.
    weights: (weights,), flat in the order of `tensors`, instead of random ones.

    Raises KeyError for an unknown name, and ValueError for a wrong number of weights, activations or gains.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Activation | Sequence[str | Activation] = "tanh",
        output: str | Activation = "identity",
        *,
        bias: bool = True,
        gain: float | Sequence[float] = 1.0,
        initializer: str | Initializer = "xavier_uniform",
        seed: int = 0,
        scale: float = 1.0,
        weights: Sequence[Scalar] | Floats | None = None,
    ) -> None:
        layers = len(widths) - 1
        names = [activation] * (layers - 1) if isinstance(activation, str) or callable(activation) else activation
        functions = [_activation(name) for name in (*names, output)]
        gains = gain if isinstance(gain, Sequence) else [gain] * layers
        if len(functions) != layers or len(gains) != layers:
            raise ValueError(
                f"a network of {layers} layers needs {layers - 1} activations of hidden layers and {layers} gains, "
                f"not {len(functions) - 1} and {len(gains)}"
            )
        self.tensors = layer_tensors(widths, [function is not identity for function in functions], bias=bias)
        if weights is None:
            weights = initial_weights(widths, initializer, seed, scale, bias=bias)
        groups = [numbers for _, numbers in split(list(weights), self.tensors)]
        matrices, biases = (groups[::2], groups[1::2]) if bias else (groups, [[None] * units for units in widths[1:]])
        self.layers: list[Layer] = []
        for matrix, row, inputs, function, factor in zip(matrices, biases, widths[:-1], functions, gains, strict=True):
            units = [matrix[unit * inputs : (unit + 1) * inputs] for unit in range(len(row))]
            self.layers.append(Layer([Neuron(*pair, function, factor) for pair in zip(units, row, strict=True)]))

    def __call__(self, inputs: Sequence[Scalar]) -> list[Any]:
        """Return the outputs for one sample, one for each unit of the last layer."""
        values: Sequence[Any] = inputs
        for layer in self.layers:
            values = layer(values)
        return list(values)

    def parameters(self) -> list[Parameter]:
        """Return all weights and biases, in the order of `tensors`."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    @property
    def constants(self) -> list[Parameter]:
        """The constant 0 in the place of each missing bias. Its gradient is that of its unit."""
        return [neuron.bias for layer in self.layers for neuron in layer.neurons if not neuron.has_bias]

    def zero_grad(self) -> None:
        """Set the gradient of every weight to 0."""
        for parameter in [*self.parameters(), *self.constants]:
            parameter.zero_grad()


def _parameter(value: Scalar) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _activation(activation: str | Activation) -> Activation:
    return ACTIVATIONS[activation] if isinstance(activation, str) else activation
