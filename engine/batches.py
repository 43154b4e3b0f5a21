"""Minibatches: the samples of a trial's updates. They depend on the trial's seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.arrays import Indexes, Integers, Words

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Batches:
    """The minibatches of a population. Every epoch goes through all samples once, in a new random order.

    size: samples of a batch. The last batch of an epoch has the samples that are left.
    seeds: (trials,). Trials with the same seed see the same batches.
    replacement: whether each sample of a batch is drawn from all samples instead, with equal probability. Then an epoch
        is the number of whole batches that the samples would fill.
    """

    size: int
    seeds: Words
    replacement: bool = False

    def per_epoch(self, samples: int) -> int:
        """Return the number of batches in an epoch, given the number of samples."""
        return samples // self.size if self.replacement else -(-samples // self.size)

    def order(self, trials: slice | Indexes | Integers, epochs: range, samples: int) -> Indexes:
        """Return the positions of the samples in the order of each epoch, (epochs, trials, samples).

        trials: the trials that are wanted.
        epochs: numbers of the epochs, from 0.
        samples: number of samples.

        Each sample gets a random word whose low bits are the sample's position. The low bits of the sorted words are a
        fair permutation. With replacement, the words are scaled to positions: word * samples / 2^64, of which the upper
        32 bits of the word are enough (Lemire, Fast Random Integer Generation in an Interval, 2019, without the
        rejection, whose effect is below samples / 2^32).
        """
        low_bits = max(samples - 1, 1).bit_length()
        mask = np.uint64((1 << low_bits) - 1)
        seeds, seed_of_trial = np.unique(self.seeds[trials], return_inverse=True)
        with np.errstate(over="ignore"):
            streams = _mix(_mix(seeds)[None, :] + np.array(epochs, dtype=np.uint64)[:, None] * _GOLDEN)
            numbers = np.arange(samples, dtype=np.uint64)
            words = _mix(streams[..., None] + (numbers + np.uint64(1)) * _GOLDEN)
        if self.replacement:
            drawn = ((words >> np.uint64(32)) * np.uint64(samples)) >> np.uint64(32)
            return drawn.astype(np.int32)[:, seed_of_trial]
        words = np.sort((words & ~mask) | numbers, axis=-1)
        return (words & mask).astype(np.int32)[:, seed_of_trial]


def _mix(words: Words) -> Words:
    """Apply SplitMix64's output function (Steele et al., Fast Splittable Pseudorandom Number Generators, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
