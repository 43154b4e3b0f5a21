"""Tensors: the names and shapes of a model's weights, and how a flat list of numbers is divided among them.

Kernels see a model's weights as one flat row. The tensors of a model say which of these numbers belong together:

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
    shape: its dimensions. Numbers lie in C order: the last index varies fastest.
    units: whether each number is the bias of a unit that can die. Its gradient is then the unit's own.
    """

    name: str
    shape: tuple[int, ...]
    units: bool = False

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def layer_tensors(widths: Sequence[int], nonlinear: Sequence[bool] = ()) -> tuple[Tensor, ...]:
    """Return the tensors of an MLP: for each layer a (units, inputs) weight and a (units,) bias.

    widths: units of each layer, inputs first. nonlinear: for each layer, whether its units can die.
    """
    tensors: list[Tensor] = []
    layers = zip(pairwise(widths), nonlinear or [False] * (len(widths) - 1), strict=True)
    for number, ((inputs, units), can_die) in enumerate(layers, start=1):
        tensors.append(Tensor(f"layer{number}.weight", (units, inputs)))
        tensors.append(Tensor(f"layer{number}.bias", (units,), units=can_die))
    return tuple(tensors)


def split(flat: _Numbers, tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, _Numbers]]:
    """Yield each tensor with its numbers of `flat`, a list or a one-dimensional array, still flat.

    Raises ValueError if `flat` does not have as many numbers as the tensors.
    """
    total = sum(tensor.size for tensor in tensors)
    if len(flat) != total:
        raise ValueError(f"the tensors have {total} numbers, not {len(flat)}")
    begin = 0
    for tensor in tensors:
        yield tensor, flat[begin : begin + tensor.size]  # type: ignore[misc]
        begin += tensor.size


def elements(tensors: Sequence[Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensor's name and the index of every single number, in flat order."""
    return ((tensor.name, index) for tensor in tensors for index in np.ndindex(*tensor.shape))


def element_names(tensors: Sequence[Tensor]) -> list[str]:
    """Return the name of every single number, in flat order, such as `layer1.weight[0,1]`."""
    return [f"{name}[{','.join(map(str, index))}]" for name, index in elements(tensors)]
