"""Minibatches: in which order a trial sees its samples, from its seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Indexes = np.ndarray[Any, np.dtype[np.int32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Batches:
    """Every epoch goes once through the shuffled samples, `size` at a time; what is left at its end is a smaller batch.

    seeds: (trials,), unsigned; trials of one seed see the same order.
    """

    size: int
    seeds: Words

    def per_epoch(self, samples: int) -> int:
        """How many updates an epoch has."""
        return -(-samples // self.size)

    def order(self, trials: slice | Indexes | Integers, epochs: range, samples: int) -> Indexes:
        """The samples in the order of each epoch, shape (epochs, trials, samples).

        Each sample is given a random word that ends in its own number; sorted, the ends are a fair permutation.
        """
        ends = max(samples - 1, 1).bit_length()
        mask = np.uint64((1 << ends) - 1)
        seeds, again = np.unique(self.seeds[trials], return_inverse=True)
        with np.errstate(over="ignore"):
            streams = _mixed(_mixed(seeds)[None, :] + np.array(epochs, dtype=np.uint64)[:, None] * _GOLDEN)
            numbers = np.arange(samples, dtype=np.uint64)
            words = _mixed(streams[..., None] + (numbers + np.uint64(1)) * _GOLDEN)
        words = np.sort((words & ~mask) | numbers, axis=-1)
        return (words & mask).astype(np.int32)[:, again]


def _mixed(words: Words) -> Words:
    """SplitMix64's output function (Steele et al., Fast Splittable Pseudorandom Number Generators, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
