"""The `search` section of a sweep file, and the points that it draws from the axes of a block.

The points are the same bits on every machine, and the first n of 2n points are those of a search of n: a coordinate is
a whole number below 2**32, and its value is computed from it by operations that IEEE 754 rounds in one way only.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from engine.arrays import Array, Floats, Integers, Words
from experiments.axis import Interval, rounded
from experiments.data.dataset_spec import Section
from experiments.search_methods import ASKING

MAX_POINTS = 1_000_000
"""Largest number of points of a search."""

MOST_WHOLE = 2**31
"""Largest distance of the ends of a continuous axis of whole numbers."""

_BITS = 32
COORDINATES: int = 2**_BITS
"""Coordinates are whole numbers below this."""


class SearchSpec(Section):
    """The `search` section: which points of the axes are trained."""

    method: Literal["grid", "random", "sobol", "halving", "hyperband", "tpe", "cmaes", "optuna"] = Field(
        default="grid",
        description="all points; points at random; points of a Sobol sequence, which fills evenly; successive halving "
        "or Hyperband, which train the worse trials for fewer steps; points that Optuna chooses by earlier results",
    )
    trials: int | None = Field(
        default=None, description="points of the search; each is trained with every seed", ge=1, le=MAX_POINTS
    )
    seed: int = Field(default=0, description="of the points", ge=0, lt=2**63)
    first: int | None = Field(default=None, description="steps of the first rung of halving and hyperband", ge=1)
    factor: int = Field(
        default=3, description="halving and hyperband: one configuration of so many goes on at each rung", ge=2, le=100
    )
    metric: str | None = Field(
        default=None,
        description="halving, hyperband, tpe and cmaes: what decides, and ranks the leaderboard; the loss of the "
        "validation or test part",
    )
    batch: int = Field(
        default=100, description="tpe, cmaes and optuna: points that are chosen at once", ge=1, le=10_000
    )
    sampler: str | None = Field(default=None, description="optuna: the name of the sampler in optuna.samplers")

    @model_validator(mode="after")
    def _keys_fit(self) -> SearchSpec:
        if self.method in ("random", "sobol", *ASKING) and self.trials is None:
            raise ValueError(f"method {self.method} needs trials, the number of points")
        if self.method == "grid" and self.trials is not None:
            raise ValueError("method grid trains every point, so it takes no trials; write method: sobol, or random")
        if self.has_rungs and self.first is None:
            raise ValueError(f"method {self.method} needs first, the steps after which the worst leave")
        if self.metric is not None and not (self.has_rungs or self.asks):
            why = f"method {self.method} decides nothing by a metric; `gradgrid top --by` ranks by any"
            raise ValueError(f"metric belongs to method halving, hyperband, tpe, cmaes or optuna: {why}")
        names = self.model_fields_set & {"first", "factor"}
        given = sorted(name for name in names if getattr(self, name) is not None)
        if given and not self.has_rungs:
            raise ValueError(f"{given[0]} belongs to method halving or hyperband, not {self.method}")
        if "batch" in self.model_fields_set and not self.asks:
            raise ValueError(f"batch belongs to method tpe, cmaes or optuna, not {self.method}")
        if (self.sampler is not None) != (self.method == "optuna"):
            raise ValueError("method optuna and sampler go together: {method: optuna, sampler: NSGAIISampler, ...}")
        return self

    @property
    def has_rungs(self) -> bool:
        """Whether the worse trials leave at rungs: numbers of steps before the last."""
        return self.method in ("halving", "hyperband")

    @property
    def asks(self) -> bool:
        """Whether a sampler chooses the points by the results of earlier ones."""
        return self.method in ASKING

    @property
    def points(self) -> int:
        """The number of points that the search draws; 1 if it draws none."""
        return self.trials or 1

    @property
    def is_grid(self) -> bool:
        """Whether the trials are all points of the axes, and none is drawn."""
        return self.trials is None

    @property
    def sequence(self) -> str:
        """The name of the points that the search draws."""
        return self.method if self.method == "random" or self.asks else "sobol"

    def shuffle(self, count: int) -> Words:
        """Return random whole numbers, (count,), of which the order is a shuffle."""
        return _words(np.random.PCG64(self.seed), count)

    def coordinates(self, dimensions: int) -> Words:
        """Return the coordinates of all points, whole numbers below 2**32: (points, dimensions).

        Sobol points stand for those that a sampler will be asked for.
        """
        if not dimensions:
            return np.zeros((self.points, 0), dtype=np.uint64)
        bits = np.random.PCG64(self.seed)
        if self.method == "random":
            return _words(bits, self.points * dimensions).reshape(self.points, dimensions)
        return np.bitwise_xor(_sobol(self.points, dimensions), _words(bits, dimensions))


def _words(bits: np.random.PCG64, count: int) -> Words:
    """Return random whole numbers below 2**32. The bits of PCG64 are the same in every version of NumPy."""
    raw: Words = np.asarray(bits.random_raw(count), dtype=np.uint64)
    return np.right_shift(raw, np.uint64(_BITS))


def _sobol(points: int, dimensions: int) -> Words:
    """Return points of the Sobol sequence (Joe and Kuo, Constructing Sobol sequences, 2008), as whole numbers.

    A search moves them by a random digital shift, which keeps them even (L'Ecuyer and Lemieux, 2002): with SciPy's own
    scrambling they would depend on its version.
    """
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimensions, scramble=False, bits=_BITS)
    unit = sequence.random_base2((points - 1).bit_length())[:points]
    return np.asarray(unit * 2.0**_BITS, dtype=np.uint64)


def listed_indices(coordinates: Words, length: int) -> Integers:
    """Return the index of a value in a list of this length, for each coordinate."""
    return ((coordinates * np.uint64(length)) >> np.uint64(_BITS)).astype(np.int64)


def interval_values(coordinates: Words, interval: Interval, *, whole: bool) -> Array:
    """Return the value in an interval for each coordinate. whole: draw whole numbers, both ends included."""
    low, high = interval.low, interval.high
    if whole and interval.form == "uniform":
        return int(low) + listed_indices(coordinates, int(high) - int(low) + 1)
    if interval.form == "uniform":
        unit: Floats = coordinates.astype(np.float64) * 2.0**-_BITS
        return _round(low + (high - low) * unit, interval)
    if whole:
        values = np.floor(_power(coordinates, float(low), float(high) + 1.0))
        return np.clip(values, low, high).astype(np.int64)
    return _round(_power(coordinates, float(low), float(high)), interval)


def _power(coordinates: Words, low: float, high: float) -> Floats:
    """Return low * (high / low) ** u for u = coordinate / 2**32, from square roots and products alone."""
    values = np.full(len(coordinates), low)
    root = float(np.sqrt(high) / np.sqrt(low))
    for bit in range(_BITS - 1, -1, -1):
        values = np.where((coordinates >> np.uint64(bit)) & np.uint64(1), values * root, values)
        root = float(np.sqrt(root))
    return values


def _round(values: Floats, interval: Interval) -> Floats:
    return np.asarray(np.clip(rounded(values.tolist()), interval.low, interval.high))
