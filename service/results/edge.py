"""How rough the edge of a map is: its pixels, and its dimension by box counting.

A map is an array of cells that are lost or not. Its edge is the 2 x 2 blocks of cells that have both. A square of side
s is *mixed* if it has blocks of the edge and others. For an edge of dimension d, the number of mixed squares in a grid
of squares is proportional to s^-d (Falconer, Fractal Geometry, 2003, section 3.1). The sizes of the squares, the rule
for mixed ones and the slopes are those of porespy's `boxcount`, with which Sohl-Dickstein 2024 measured such maps.

>>> straight = np.zeros((1024, 1024), dtype=bool)
>>> straight[:, 300:] = True
>>> edge = measure_edge(straight)
>>> edge.pixels, round(edge.dimension, 1)
(1023, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.arrays import Flags, Floats, Integers
from service.results.axes import Axis, cell_indices
from service.results.scales import is_calm

_SIZES = 10
_SMALLEST, _SMALLEST_OF_SMALL = 10, 2  # pixels; the paper's, and that of a map with less than _SMALL pixels a side
_SMALL = 100
_ALONG = 4  # squares along a side of the map, of the largest size that the line is fitted to
LEAST_SIDE = 16
"""The least number of cells along each side of a map whose edge is measured."""


@dataclass(frozen=True)
class Edge:
    """The edge of a map.

    pixels: the number of its 2 x 2 blocks.
    blocks: the number of all 2 x 2 blocks.
    sizes: (sizes,) sides of the squares, in pixels, rising.
    counts: (sizes,) the number of mixed squares of each side.
    fitted_sizes: the number of sizes, from the smallest, of which at least four squares stand along each side: the
        counts of larger ones depend on where the squares begin.
    dimension: the slope of a straight line through (log size, -log count) of these sizes, by least squares; NaN without
        two counts.
    error: its standard error; NaN with less than three counts.
    intercept: the natural logarithm of the line's count for squares of one pixel.
    median_slope: the median of the slopes at all sizes, which is the number that the paper gives; NaN likewise.
    """

    pixels: int
    blocks: int
    sizes: Integers
    counts: Integers
    fitted_sizes: int
    dimension: float
    error: float
    intercept: float
    median_slope: float

    def fitted(self, sizes: Floats) -> Floats:
        """Return the line's counts for these sizes."""
        return np.asarray(np.exp(self.intercept - self.dimension * np.log(sizes)))


def edge_blocks(lost: Flags) -> Flags:
    """Return for each 2 x 2 block of a map whether it has both lost and other cells: (rows - 1, columns - 1)."""
    corners = np.stack([lost[1:, 1:], lost[:-1, 1:], lost[1:, :-1], lost[:-1, :-1]])
    return np.asarray(corners.any(axis=0) & ~corners.all(axis=0))


def edge_cells(lost: Flags) -> Flags:
    """Return for each cell of a map whether a block of the edge has it."""
    blocks, cells = edge_blocks(lost), np.zeros(lost.shape, dtype=bool)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            cells[rows, columns] |= blocks
    return cells


def measure_edge(lost: Flags) -> Edge:
    """Return the measures of a map's edge.

    lost: (rows, columns), at least LEAST_SIDE along each side.
    Raises ValueError for a smaller map.
    """
    if min(lost.shape) < LEAST_SIDE:
        raise ValueError(
            f"a map of {' x '.join(map(str, lost.shape))} cells is too small; {LEAST_SIDE} are needed a side"
        )
    blocks = edge_blocks(lost)
    sizes = box_sizes(min(blocks.shape))
    counts = box_counts(blocks, sizes)
    used = counts > 0
    x, y = np.log(sizes[used]), np.log(counts[used])
    small = sizes[used] * _ALONG <= min(blocks.shape)
    slope, intercept, error = _line(x[small], y[small])
    slopes = -np.gradient(y, x) if used.sum() > 1 else np.array([np.nan])
    return Edge(
        pixels=int(blocks.sum()),
        blocks=blocks.size,
        sizes=sizes,
        counts=counts,
        fitted_sizes=int(small.sum()),
        dimension=-slope,
        error=error,
        intercept=intercept,
        median_slope=float(np.median(slopes)),
    )


def box_sizes(side: int) -> Integers:
    """Return the sides of the squares to count, at most ten, evenly spaced in the logarithm, up to `side`."""
    smallest = _SMALLEST if side >= _SMALL else _SMALLEST_OF_SMALL
    return np.unique(np.logspace(np.log10(smallest), np.log10(side), _SIZES).astype(np.int64))


def box_counts(blocks: Flags, sizes: Integers) -> Integers:
    """Return the number of squares of each size that have both blocks of the edge and others.

    blocks: (rows, columns). sizes: (sizes,). Squares at the right and lower side are cut off.
    """
    counts = []
    for size in sizes.tolist():
        rows, columns = (np.arange(0, length, size) for length in blocks.shape)
        numbers = np.add.reduceat(np.add.reduceat(blocks.astype(np.int64), rows, axis=0), columns, axis=1)
        height, width = (np.diff([*starts, n]) for starts, n in zip((rows, columns), blocks.shape, strict=True))
        counts.append(int(((numbers > 0) & (numbers < np.outer(height, width))).sum()))
    return np.array(counts, dtype=np.int64)


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Return slope, intercept and the slope's standard error of the line through points, by least squares."""
    if len(x) < 2:
        return np.nan, np.nan, np.nan
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread
    intercept = y.mean() - slope * x.mean()
    rest = ((y - intercept - slope * x) ** 2).sum()
    return float(slope), float(intercept), float(np.sqrt(rest / (len(x) - 2) / spread)) if len(x) > 2 else np.nan


def lost_cells(table: pd.DataFrame, columns: Axis, rows: Axis, calm: Flags | None = None) -> Flags:
    """Return the map of a sweep: for each cell whether at least half of its trials are lost, (rows, columns).

    table: see `service.results.trials_table`.
    columns, rows: two axes of the sweep.
    calm: for each trial whether it is not lost; by default if it neither exploded nor diverged.
    """
    row, column = cell_indices(table, columns, rows)
    inside = (row >= 0) & (column >= 0)
    calm = is_calm(table["outcome"]) if calm is None else calm
    shape = (len(rows.values), len(columns.values))
    cells = (row * shape[1] + column)[inside]
    trials = np.bincount(cells, minlength=shape[0] * shape[1])
    lost = np.bincount(cells[~calm[inside]], minlength=shape[0] * shape[1])
    return np.asarray((2 * lost >= np.maximum(trials, 1)).reshape(shape))
