"""The edge of a map: its pixels and its dimension, beside porespy's figures and known dimensions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.arrays import Flags
from service.results.axes import Axis
from service.results.edge import box_counts, edge_blocks, edge_cells, lost_cells, measure_edge

_Y, _X = np.mgrid[0:256, 0:256]
_A, _B = np.arange(300)[:, None], np.arange(300)[None, :]
_T = np.arange(512) / 512
_WEIERSTRASS = sum(2.0 ** (-0.5 * k) * np.cos(2 * np.pi * 2.0**k * _T) for k in range(12))
"""The graph of Weierstrass's function with these constants has dimension 3/2."""

_MAPS: dict[str, Flags] = {
    "circle": (_X - 128) ** 2 + (_Y - 120) ** 2 < 90**2,
    "weierstrass": np.arange(512)[:, None] > 256 + 70 * _WEIERSTRASS,
    "bits": (_A & _B) == 0,
    "hash": ((_A * _A * 7919 + _B * _B * 104729 + _A * _B * 31) >> 5) % 17 < 3,
}
_PORESPY = {
    "circle": (
        716,
        [10, 14, 20, 29, 42, 60, 86, 124, 177, 254],
        [70, 50, 36, 24, 18, 12, 8, 4, 4, 1],
        1.0021945438016266,
    ),
    "weierstrass": (
        6088,
        [10, 15, 23, 37, 57, 88, 137, 213, 330, 511],
        [319, 188, 106, 53, 34, 18, 10, 7, 4, 1],
        1.3129345198297566,
    ),
    "bits": (
        20623,
        [10, 14, 21, 31, 45, 66, 96, 140, 204, 298],
        [470, 272, 141, 73, 42, 23, 15, 8, 4, 3],
        1.5558474144772894,
    ),
    "hash": (
        48522,
        [10, 14, 21, 31, 45, 66, 96, 140, 204, 298],
        [900, 484, 225, 100, 49, 25, 16, 9, 4, 3],
        1.8382492966237698,
    ),
}
"""Map -> pixels of the edge; sizes, counts and median slope by porespy 3.2.0's metrics.boxcount of them."""


@pytest.mark.parametrize("name", _MAPS)
def test_boxes_are_counted_as_by_porespy(name: str) -> None:
    edge = measure_edge(_MAPS[name])
    pixels, sizes, counts, slope = _PORESPY[name]
    assert (edge.pixels, edge.sizes.tolist(), edge.counts.tolist()) == (pixels, sizes, counts)
    assert edge.median_slope == pytest.approx(slope, rel=1e-12)


def test_the_fit_is_a_line_by_least_squares() -> None:
    edge = measure_edge(_MAPS["bits"])
    assert edge.sizes[edge.fitted_sizes - 1 : edge.fitted_sizes + 1].tolist() == [66, 96]  # of 299 blocks
    sizes, counts = edge.sizes[: edge.fitted_sizes], edge.counts[: edge.fitted_sizes]
    coefficients, covariance = np.polyfit(np.log(sizes), np.log(counts), 1, cov=True)
    assert edge.dimension == pytest.approx(-coefficients[0], rel=1e-10)
    assert edge.error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-10)
    expected = np.exp(np.polyval(coefficients, np.log([10.0, 100.0])))
    np.testing.assert_allclose(edge.fitted(np.array([10.0, 100.0])), expected, rtol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2])
def test_a_smooth_edge_has_dimension_one(angle: float) -> None:
    lost = np.cos(angle) * (_X - 100) + np.sin(angle) * (_Y - 90) > 0
    edge = measure_edge(np.asarray(lost))
    assert edge.dimension == pytest.approx(1.0, abs=0.12)
    assert 0 < edge.error < 0.1


def test_a_map_that_is_noise_has_dimension_two() -> None:
    lost = np.random.default_rng(0).random((512, 512)) < 0.5
    assert measure_edge(lost).dimension == pytest.approx(2.0, abs=0.1)


def test_the_koch_snowflakes_edge_has_its_dimension() -> None:
    """Its dimension is log 4 / log 3 = 1.26 (von Koch 1904)."""
    points = np.exp(2j * np.pi * np.array([0, -1, -2, 0]) / 3)
    turn = np.exp(1j * np.pi / 3)
    for _ in range(5):
        a, step = points[:-1], np.diff(points) / 3
        corners = np.stack([a, a + step, a + step + step * turn, a + 2 * step], axis=1).ravel()
        points = np.append(corners, points[-1])
    from matplotlib.path import Path

    side = 512
    grid = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, side)] * 2), axis=-1).reshape(-1, 2)
    inside = Path(np.column_stack([points.real, points.imag])).contains_points(grid).reshape(side, side)
    edge = measure_edge(inside)
    assert edge.dimension == pytest.approx(np.log(4) / np.log(3), abs=0.06)


def test_a_map_without_an_edge_has_no_dimension() -> None:
    edge = measure_edge(np.ones((40, 50), dtype=bool))
    assert (edge.pixels, edge.blocks, edge.counts.sum()) == (0, 39 * 49, 0)
    assert np.isnan([edge.dimension, edge.error, edge.median_slope]).all()


def test_a_small_map_is_refused() -> None:
    with pytest.raises(ValueError, match="a map of 15 x 40 cells is too small; 16 are needed a side"):
        measure_edge(np.ones((15, 40), dtype=bool))


def test_edge_cells_are_those_of_its_blocks() -> None:
    lost = np.zeros((4, 5), dtype=bool)
    lost[:, 3:] = True
    assert edge_blocks(lost).tolist() == [[False, False, True, False]] * 3
    assert edge_cells(lost).tolist() == [[False, False, True, True, False]] * 4


def test_squares_that_are_full_or_cut_off_are_counted_by_their_own_area() -> None:
    blocks = np.ones((5, 5), dtype=bool)
    blocks[4, 0] = False
    assert box_counts(blocks, np.array([1, 2, 4, 5])).tolist() == [0, 1, 1, 1]


def test_a_cell_is_lost_if_half_of_its_trials_are() -> None:
    table = pd.DataFrame(
        {
            "number": range(8),
            "params.a": [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0],
            "params.b": [1, 1, 1, 1, 2, 2, 2, 2],
            "outcome": ["improving", "diverged", "dead", "stalled", "exploding", "diverged", "vanishing", "dead"],
        }
    )
    columns, rows = Axis("a", (1.0, 2.0)), Axis("b", (1, 2))
    assert lost_cells(table, columns, rows).tolist() == [[True, False], [True, False]]
    calm = np.isin(np.arange(8), [0, 1, 5])
    assert lost_cells(table, columns, rows, calm).tolist() == [[False, True], [True, True]]
