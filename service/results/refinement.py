"""Which cells of a map to train so that its edge is known: level by level, only where neighbours differ.

A map is known on a lattice of every s-th row and column, and the last ones. Then s is halved. A new lattice point
between points that are all alike gets their label without training; another is trained. At s = 1 every cell has a
label.

>>> labels = np.full((9, 9), UNKNOWN)
>>> cells = lattice_cells(labels.shape, (4, 4))
>>> labels[cells] = (np.arange(9) > 4)[None, :].repeat(9, axis=0)[cells]
>>> wanted = refined_cells(labels, (4, 4))
>>> int(wanted.sum()), labels[2].tolist()
(5, [0, -1, 0, -1, 0, -1, -1, -1, 1])
"""

from __future__ import annotations

import numpy as np

from engine.arrays import Flags, Integers

UNKNOWN = -1
"""The label of a cell that has none yet."""

Strides = tuple[int, int]
"""The distance of a lattice's rows, and of its columns."""


def first_strides(shape: tuple[int, int], coarse: tuple[int, int]) -> Strides:
    """Return the largest powers of two whose lattice has at least so many rows and columns.

    shape: of the map. coarse: the least numbers of rows and columns.
    """
    row, column = (_first_stride(length, least) for length, least in zip(shape, coarse, strict=True))
    return row, column


def _first_stride(length: int, least: int) -> int:
    stride = 1
    while len(_lattice(length, 2 * stride)) >= max(least, 2):
        stride *= 2
    return stride


def halved(strides: Strides) -> Strides:
    """Return the strides of the next level."""
    return max(strides[0] // 2, 1), max(strides[1] // 2, 1)


def lattice_cells(shape: tuple[int, int], strides: Strides) -> Flags:
    """Return for each cell of a map whether it is on the lattice."""
    cells = np.zeros(shape, dtype=bool)
    cells[np.ix_(*(_lattice(length, stride) for length, stride in zip(shape, strides, strict=True)))] = True
    return cells


def refined_cells(labels: Integers, strides: Strides) -> Flags:
    """Return the cells of the next level's lattice that must be trained, and label its other new cells.

    labels: (rows, columns) label of each cell of the lattice, UNKNOWN elsewhere. New cells between equal ones get their
        label here.
    strides: of this level.
    """
    finer = halved(strides)
    known = [_lattice(length, stride) for length, stride in zip(labels.shape, strides, strict=True)]
    new = [_lattice(length, stride) for length, stride in zip(labels.shape, finer, strict=True)]
    rows, columns = (_neighbours(some, more) for some, more in zip(known, new, strict=True))
    corners = np.stack([labels[np.ix_(r, c)] for r in rows for c in columns])
    alike = (corners == corners[0]).all(axis=0)
    part = labels[np.ix_(*new)]
    fresh = part == UNKNOWN
    labels[np.ix_(*new)] = np.where(fresh & alike, corners[0], part)
    wanted = np.zeros(labels.shape, dtype=bool)
    wanted[np.ix_(*new)] = fresh & ~alike
    return wanted


def sources(trained: Flags, strides: Strides) -> Integers:
    """Return for each cell of a refined map the trained cell that its label comes from, as (rows x columns) positions.

    A cell that was not trained has the label of the nearest corner around it on the lattice before. The position is -1
    if there is none, because the map is not finished.

    trained: (rows, columns) whether a cell was trained.
    strides: of the first level.
    """
    positions = np.where(trained, np.arange(trained.size).reshape(trained.shape), -1)
    source = np.where(lattice_cells(trained.shape, strides), positions, -1)
    while strides != (1, 1):
        finer = halved(strides)
        nearest, new = [], []
        for length, stride, half in zip(trained.shape, strides, finer, strict=True):
            points = _lattice(length, half)
            before, after = _neighbours(_lattice(length, stride), points)
            nearest.append(np.where(points - before <= after - points, before, after))
            new.append(points)
        own = positions[np.ix_(*new)]
        source[np.ix_(*new)] = np.where(own >= 0, own, source[np.ix_(*nearest)])
        strides = finer
    return source


def _lattice(length: int, stride: int) -> Integers:
    return np.unique(np.append(np.arange(0, length, stride), length - 1))


def _neighbours(lattice: Integers, points: Integers) -> tuple[Integers, Integers]:
    """Return for each point the lattice points at or before it, and at or after it."""
    before = np.searchsorted(lattice, points, side="right") - 1
    after = np.searchsorted(lattice, points, side="left")
    return lattice[before], lattice[after]
