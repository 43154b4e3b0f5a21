"""PNG pictures as pixels: the colours that are in them, and their places."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.int64]
"""A picture, (rows, columns, 3): red, green and blue from 0 to 255."""

_LIKE = 16  # of 255: what smoothing may change a colour by
_AROUND = 12  # pixels to each side, which is wider than a hatch


def read_png(png: bytes | Path) -> Pixels:
    """Return the pixels of a PNG picture, given its bytes or its file. Raises OSError where it is none."""
    with Image.open(png if isinstance(png, Path) else io.BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def is_colour(pixels: Pixels, colour: str) -> npt.NDArray[np.bool_]:
    """Return where pixels have a colour, given as "#rrggbb", or one very near to it."""
    wanted = np.array(list(bytes.fromhex(colour.removeprefix("#"))))
    near: npt.NDArray[np.bool_] = (np.abs(pixels - wanted) <= _LIKE).all(axis=-1)
    return near


def is_colourful(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Return where pixels are neither white nor black nor grey."""
    colourful: npt.NDArray[np.bool_] = pixels.max(axis=-1) - pixels.min(axis=-1) > 2 * _LIKE
    return colourful


def colour_at(pixels: Pixels, frame: Any, x: float, y: float) -> Pixels:
    """Return the most frequent colour, (3,), around a point of a Matplotlib frame.

    The frame's figure was drawn before, in the picture's size.
    """
    column, height = (round(place) for place in frame.transData.transform((x, y)))
    row = len(pixels) - 1 - height
    around = pixels[row - _AROUND : row + _AROUND + 1, column - _AROUND : column + _AROUND + 1]
    colours, counts = np.unique(around.reshape(-1, 3), axis=0, return_counts=True)
    return np.asarray(colours[counts.argmax()])
