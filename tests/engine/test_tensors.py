"""Flat arrays of numbers as named tensors."""

import numpy as np
import pytest

from engine import MLP, Tensor
from engine.operations import identity, relu
from engine.tensors import element_names, elements, layer_tensors, split

_TENSORS = (Tensor("w", (2, 2)), Tensor("scalar", ()), Tensor("b", (3,)))


def test_flat_numbers_are_divided_in_order() -> None:
    assert [(t.name, part) for t, part in split(list(range(8)), _TENSORS)] == [
        ("w", [0, 1, 2, 3]), ("scalar", [4]), ("b", [5, 6, 7]),
    ]  # fmt: skip
    assert [part.tolist() for _, part in split(np.arange(8.0), _TENSORS)] == [[0, 1, 2, 3], [4], [5, 6, 7]]


@pytest.mark.parametrize("count", [7, 9])
def test_a_wrong_number_of_numbers_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"the tensors have 8 numbers, not {count}"):
        list(split(list(range(count)), _TENSORS))
    with pytest.raises(ValueError, match="the tensors have 9 numbers, not 3"):
        MLP([2, 2, 1], weights=[1.0, 2.0, 3.0])


def test_every_element_has_a_name_in_flat_order() -> None:
    assert element_names(_TENSORS) == ["w[0,0]", "w[0,1]", "w[1,0]", "w[1,1]", "scalar[]", "b[0]", "b[1]", "b[2]"]
    assert [index for name, index in elements(_TENSORS) if name == "w"] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_only_units_of_nonlinear_layers_can_die() -> None:
    assert not any(tensor.units for tensor in layer_tensors((2, 3, 1)))
    model = MLP([2, 3, 1], relu, identity)
    assert [tensor.name for tensor in model.tensors if tensor.units] == ["layer1.bias"]
