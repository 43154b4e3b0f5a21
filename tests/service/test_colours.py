"""Colours can be told apart by people who see fewer of them."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from engine.arrays import Floats
from service.results.colours import LINES, OUTCOME_COLOURS

_SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Linear RGB as it is seen; Machado, Oliveira and Fernandes (2009), severity 1."""


def _lab(colour: str, seen: Floats) -> Floats:
    """Return the CIE L*a*b* values of an sRGB colour, white point D65."""
    encoded = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(seen @ linear, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", _SEEN)
@pytest.mark.parametrize(
    ("colours", "least"), [([c for name, c in OUTCOME_COLOURS.items() if name], 20.0), (LINES, 12.0)]
)
def test_no_two_colours_look_alike(sight: str, colours: Sequence[str], least: float) -> None:
    seen = [_lab(colour, np.asarray(_SEEN[sight])) for colour in colours]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) >= least


@pytest.mark.parametrize("colour", [*LINES, *filter(None, OUTCOME_COLOURS.values())][:15])
def test_every_colour_stands_out_from_both_grounds(colour: str) -> None:
    assert 35 < _lab(colour, np.eye(3))[0] < 82
