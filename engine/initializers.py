"""Initialisers: functions that draw the first weights of a network.

A layer has n inputs (fan in) and m units (fan out). A rule gives the variance of a weight. The weights are drawn from a
normal or a uniform distribution with mean 0 and this variance.

>>> initial_weights([2, 1], "he_uniform", seed=0).round(3)
array([ 0.474, -0.797,  0.   ])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from engine.arrays import Floats
from engine.rng import standard_normal

Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, int]], Floats]
"""(random generator, shape (units, inputs)) -> a weight matrix of this shape."""


def _normal(variance: Callable[[int, int], float]) -> Initializer:
    return lambda rng, shape: standard_normal(rng, shape) * math.sqrt(variance(shape[1], shape[0]))


def _uniform(variance: Callable[[int, int], float]) -> Initializer:
    # a uniform distribution from -limit to limit has variance limit^2 / 3
    return lambda rng, shape: rng.uniform(-1.0, 1.0, size=shape) * math.sqrt(3.0 * variance(shape[1], shape[0]))


def _he(fan_in: int, fan_out: int) -> float:
    """Return 2 / n (He et al., Delving Deep into Rectifiers, 2015, equation 10)."""
    return 2.0 / fan_in


def _xavier(fan_in: int, fan_out: int) -> float:
    """Return 2 / (n + m).

    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, equation 12; the
    uniform distribution of this variance is their equation 16.
    """
    return 2.0 / (fan_in + fan_out)


def _lecun(fan_in: int, fan_out: int) -> float:
    """Return 1 / n (LeCun et al., Efficient BackProp, 1998, section 4.6)."""
    return 1.0 / fan_in


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
    "xavier_normal": _normal(_xavier),
    "xavier_uniform": _uniform(_xavier),
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "normal": _normal(lambda fan_in, fan_out: 1.0),  # N(0, 1), as PyTorch's torch.nn.init.normal_
    "uniform": _uniform(lambda fan_in, fan_out: 1.0 / 3.0),  # on [-1, 1), as in micrograd
    "zeros": lambda rng, shape: np.zeros(shape),  # as PyTorch's torch.nn.init.zeros_
}
"""Name -> initialiser of a layer's weights."""


def initial_weights(
    widths: Sequence[int],
    initializer: str | Initializer,
    seed: int,
    scale: float | Sequence[float] = 1.0,
    *,
    shift: float | Sequence[float] = 0.0,
    bias: bool = True,
    bias_deviation: float = 0.0,
) -> Floats:
    """Return the weights of an MLP, (weights,), flat in the order of `layer_tensors`.

    widths: units of each layer, inputs first.
    initializer: a name of INITIALIZERS, or a function like those.
    seed: seed of NumPy's PCG64 generator. The same seed gives the same weights on every machine.
    scale: factor of every weight, for all layers or for each.
    shift: added to every weight after that, likewise. Biases are neither scaled nor shifted.
    bias: whether the units have biases.
    bias_deviation: standard deviation of the initial biases, which are normally distributed. They are drawn after all
        weights, so the weights do not depend on them.

    Raises KeyError for an unknown name, ValueError if there is not one scale or shift for each layer.
    """
    draw = INITIALIZERS[initializer] if isinstance(initializer, str) else initializer
    rng = np.random.Generator(np.random.PCG64(seed))
    shapes = [(units, inputs) for inputs, units in pairwise(widths)]
    scales, shifts = (_by_layer(numbers, len(shapes)) for numbers in (scale, shift))
    matrices = [factor * draw(rng, shape).ravel() for shape, factor in zip(shapes, scales, strict=True)]
    matrices = [matrix + added if added else matrix for matrix, added in zip(matrices, shifts, strict=True)]
    if not bias:
        return np.concatenate(matrices)
    biases = [
        bias_deviation * standard_normal(rng, (units,)) if bias_deviation else np.zeros(units) for units, _ in shapes
    ]
    return np.concatenate([tensor for pair in zip(matrices, biases, strict=True) for tensor in pair])


def _by_layer(numbers: float | Sequence[float], layers: int) -> Sequence[float]:
    if not isinstance(numbers, Sequence):
        return [numbers] * layers
    if len(numbers) != layers:
        raise ValueError(f"there are {layers} layers, but {len(numbers)} numbers")
    return numbers
