"""Tensors: names and shapes of a model's weights.

Kernels see a model's weights as one flat row. The model's tensors say which of these numbers belong together:

>>> tensors = layer_tensors((2, 3, 1))
>>> [(tensor.name, tensor.shape) for tensor in tensors]
[('layer1.weight', (3, 2)), ('layer1.bias', (3,)), ('layer2.weight', (1, 3)), ('layer2.bias', (1,))]
>>> [numbers for _, numbers in split([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], tensors)]
[[0, 1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11], [12]]
>>> element_names(tensors)[4:8]
['layer1.weight[2,0]', 'layer1.weight[2,1]', 'layer1.bias[0]', 'layer1.bias[1]']
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

_Numbers = TypeVar("_Numbers", bound="Sequence[object] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]")


@dataclass(frozen=True)
class Tensor:
    """Name and shape of a group of weights.

    name: unique in its model, such as `layer1.weight`.
    shape: its dimensions. Numbers are in C order: the last index varies fastest.
    units: whether the tensor belongs to units that can die: it has their biases, or, if they have none, their weights.
        A unit's gradient is that of its bias, or of the constant 0 in its place.
    """

    name: str
    shape: tuple[int, ...]
    units: bool = False

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def layer(self) -> str:
        """Name of its layer, such as `layer1`."""
        return self.name.rpartition(".")[0]

    def unit_names(self) -> list[str]:
        """Return a name for the gradient of each unit that can die: the name of its bias, or `layer1.unit[0]`."""
        prefix = self.name if len(self.shape) == 1 else f"{self.layer}.unit"
        return [f"{prefix}[{unit}]" for unit in range(self.shape[0] if self.units else 0)]


def layer_tensors(widths: Sequence[int], nonlinear: Sequence[bool] = (), *, bias: bool = True) -> tuple[Tensor, ...]:
    """Return the tensors of an MLP: for each layer a (units, inputs) weight and a (units,) bias.

    widths: units of each layer, inputs first.
    nonlinear: whether the units of each layer can die; no units can if it is left out.
    bias: whether the units have biases.
    """
    tensors: list[Tensor] = []
    layers = zip(pairwise(widths), nonlinear or [False] * (len(widths) - 1), strict=True)
    for number, ((inputs, units), can_die) in enumerate(layers, start=1):
        tensors.append(Tensor(f"layer{number}.weight", (units, inputs), units=can_die and not bias))
        if bias:
            tensors.append(Tensor(f"layer{number}.bias", (units,), units=can_die))
    return tuple(tensors)


def split(flat: _Numbers, tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, _Numbers]]:
    """Yield each tensor with its numbers, flat.

    flat: a list or one-dimensional array of the numbers of all tensors.

    Raises ValueError if it does not have as many numbers as the tensors.
    """
    total = sum(tensor.size for tensor in tensors)
    if len(flat) != total:
        raise ValueError(f"the tensors have {total} numbers, not {len(flat)}")
    begin = 0
    for tensor in tensors:
        yield tensor, flat[begin : begin + tensor.size]  # type: ignore[misc]
        begin += tensor.size


def elements(tensors: Sequence[Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Return (name of the tensor, index in it) of every number, in flat order."""
    return ((tensor.name, index) for tensor in tensors for index in np.ndindex(*tensor.shape))


def element_names(tensors: Sequence[Tensor]) -> list[str]:
    """Return the name of every number, such as `layer1.weight[0,1]`, in flat order."""
    return [f"{name}[{','.join(map(str, index))}]" for name, index in elements(tensors)]
