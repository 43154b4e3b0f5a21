"""Neuron, Layer, MLP: small networks whose every weight is a `Parameter`, and the initialisers that fill them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from engine.draws import normal
from engine.operations import ACTIVATIONS, Scalar, identity
from engine.parameter import Parameter

Floats = np.ndarray[Any, np.dtype[np.float64]]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
"""Fills a (units, inputs) weight matrix."""
Activation = Callable[[Scalar], Any]
"""An operation of the table, or any function written in them."""


def _normal(variance: Callable[[int, int], float]) -> Draw:
    return lambda rng, shape: normal(rng, shape) * math.sqrt(variance(shape[1], shape[0]))


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    # a uniform distribution on +-limit has variance limit^2 / 3
    return lambda rng, shape: rng.uniform(-1.0, 1.0, size=shape) * math.sqrt(3.0 * variance(shape[1], shape[0]))


def _he(fan_in: int, fan_out: int) -> float:
    """He et al., Delving Deep into Rectifiers, 2015, equation 10."""
    return 2.0 / fan_in


def _xavier(fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 12."""
    return 2.0 / (fan_in + fan_out)


def _lecun(fan_in: int, fan_out: int) -> float:
    """LeCun et al., Efficient BackProp, 1998, section 4.6."""
    return 1.0 / fan_in


INITIALIZERS: dict[str, Draw] = {
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
    "xavier_normal": _normal(_xavier),
    "xavier_uniform": _uniform(_xavier),
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "normal": _normal(lambda fan_in, fan_out: 1.0),
    "uniform": _uniform(lambda fan_in, fan_out: 1.0 / 3.0),  # on [-1, 1), as in micrograd
    "zeros": lambda rng, shape: np.zeros(shape),
}
"""How weights are drawn. Biases start at zero."""


@dataclass(frozen=True)
class Tensor:
    """Name and shape of a group of weights; groups stand one after another in the flat order of a model's weights.

    `units`: whether each weight is the bias of a unit that can die, so that its gradient is the unit's own.
    """

    name: str
    shape: tuple[int, ...]
    units: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def layer_tensors(widths: Sequence[int], activations: Sequence[Activation] = ()) -> tuple[Tensor, ...]:
    """The tensors of an MLP of these widths, inputs first: for each layer a (units, inputs) weight and a bias.

    Given the layers' activations, the biases of those that are not linear are marked as units that can die.
    """
    tensors: list[Tensor] = []
    bends = [activation is not identity for activation in activations] or [False] * (len(widths) - 1)
    for number, ((inputs, units), bent) in enumerate(zip(pairwise(widths), bends, strict=True), start=1):
        tensors.append(Tensor(f"layer{number}.weight", (units, inputs)))
        tensors.append(Tensor(f"layer{number}.bias", (units,), units=bent))
    return tuple(tensors)


def initial_weights(widths: Sequence[int], initializer: str | Draw, seed: int, scale: float = 1.0) -> Floats:
    """Draw the weights of an MLP, flat, shape (weights,), from the PCG64 stream of `seed`; the same for the same seed.

    `scale` multiplies every weight. Raises KeyError for an unknown initializer.
    """
    draw = INITIALIZERS[initializer] if isinstance(initializer, str) else initializer
    rng = np.random.Generator(np.random.PCG64(seed))
    parts: list[Floats] = []
    for inputs, units in pairwise(widths):
        parts.append(scale * draw(rng, (units, inputs)).ravel())
        parts.append(np.zeros(units))
    return np.concatenate(parts)


class Neuron:
    """activation(w . x + b)."""

    def __init__(self, weights: Iterable[Scalar], bias: Scalar, activation: Activation = identity) -> None:
        self.weights = [_parameter(w) for w in weights]
        self.bias = _parameter(bias)
        self.activation = activation

    def __call__(self, inputs: Sequence[Scalar]) -> Any:
        """The neuron's output for one sample. Raises ValueError where the number of inputs is not the weights'."""
        total: Any = self.bias
        for weight, x in zip(self.weights, inputs, strict=True):
            total = total + weight * x
        return total if self.activation is identity else self.activation(total)

    def parameters(self) -> list[Parameter]:
        return [*self.weights, self.bias]


class Layer:
    """Neurons side by side that see the same inputs."""

    def __init__(self, neurons: Iterable[Neuron]) -> None:
        self.neurons = list(neurons)

    def __call__(self, inputs: Sequence[Scalar]) -> list[Any]:
        return [neuron(inputs) for neuron in self.neurons]

    def parameters(self) -> list[Parameter]:
        weights = [w for neuron in self.neurons for w in neuron.weights]
        return weights + [neuron.bias for neuron in self.neurons]


class MLP:
    """Layers one after another. `MLP([2, 8, 1])` has two inputs, eight hidden units and one output.

    `activation` is the hidden layers', `output` the last layer's; both by name or as a function of a scalar.
    Weights are drawn by `initializer` from `seed`, or taken from `weights`, flat, in the order of `tensors`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Activation = "tanh",
        output: str | Activation = "identity",
        *,
        initializer: str | Draw = "xavier_uniform",
        seed: int = 0,
        scale: float = 1.0,
        weights: Sequence[Scalar] | Floats | None = None,
    ) -> None:
        layers = len(widths) - 1
        functions = [_activation(output if n == layers - 1 else activation) for n in range(layers)]
        self.tensors = layer_tensors(widths, functions)
        flat = iter(initial_weights(widths, initializer, seed, scale) if weights is None else weights)
        self.layers: list[Layer] = []
        for (inputs, units), function in zip(pairwise(widths), functions, strict=True):
            matrix = [[next(flat) for _ in range(inputs)] for _ in range(units)]
            self.layers.append(Layer([Neuron(row, next(flat), function) for row in matrix]))

    def __call__(self, inputs: Sequence[Scalar]) -> list[Any]:
        """The outputs for one sample, a list as long as the last width."""
        values: Sequence[Any] = inputs
        for layer in self.layers:
            values = layer(values)
        return list(values)

    def parameters(self) -> list[Parameter]:
        """Every weight, in the order of `tensors`."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of every weight."""
        for parameter in self.parameters():
            parameter.zero_grad()


def _parameter(value: Scalar) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


def _activation(chosen: str | Activation) -> Activation:
    return ACTIVATIONS[chosen] if isinstance(chosen, str) else chosen
