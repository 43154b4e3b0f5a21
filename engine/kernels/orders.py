"""The order of samples in minibatches, for a block of trials. Orders are kept: the trials of a sweep share seeds.

>>> orders = Orders(Batches(2, np.array([7, 7, 8], dtype=np.uint64)), samples=5)
>>> order = orders.of(np.array([0, 1, 2]), range(3))
>>> order.shape, bool((order[..., 0] == order[..., 1]).all())
((3, 5, 3), True)
"""

from __future__ import annotations

import numpy as np

from engine.arrays import Indexes, Integers
from engine.batches import Batches

_ORDER_BYTES = 1 << 22
"""Largest number of bytes of the order of samples that is computed at once."""
_KEPT_ORDER_BYTES = 1 << 25
"""Largest number of bytes of the orders that are kept for other trials with the same seeds."""


class Orders:
    """Orders of samples.

    batches: the minibatches.
    samples: number of samples.
    """

    def __init__(self, batches: Batches, samples: int) -> None:
        self.batch_size, self.batches_per_epoch = batches.size, batches.per_epoch(samples)
        self._batches = batches
        self._samples = samples
        self._kept: dict[tuple[int, range], Indexes] = {}
        self._bytes = 0
        self._blocks: dict[tuple[tuple[int, ...], range], Indexes] = {}
        self._block_bytes = 0

    def epochs(self, epoch: int, count: int, lanes: int) -> range:
        """Return the epochs whose order is computed together with that of an epoch.

        epoch: its number.
        count: of all epochs.
        lanes: number of trials.
        """
        at_once = max(1, _ORDER_BYTES // (4 * self._samples * lanes))
        first = epoch - epoch % at_once
        return range(first, min(first + at_once, count))

    def of(self, trials: Integers, epochs: range) -> Indexes:
        """Return the positions of the samples of some trials in some epochs, (epochs, samples, trials)."""
        seeds = tuple(self._batches.seeds[trials].tolist())
        order = self._blocks.get((seeds, epochs))
        if order is None:
            order = self._make(seeds, trials, epochs)
            if self._block_bytes + order.nbytes > _KEPT_ORDER_BYTES:
                self._blocks, self._block_bytes = {}, 0
            self._blocks[seeds, epochs] = order
            self._block_bytes += order.nbytes
        return order

    def _make(self, seeds: tuple[int, ...], trials: Integers, epochs: range) -> Indexes:
        position = dict(zip(seeds, trials.tolist(), strict=True))
        missing = [seed for seed in position if (seed, epochs) not in self._kept]
        if missing:
            found = self._batches.order(np.array([position[seed] for seed in missing]), epochs, self._samples)
            if self._bytes + found.nbytes > _KEPT_ORDER_BYTES:
                self._kept, self._bytes = {}, 0
                return np.ascontiguousarray(self._batches.order(trials, epochs, self._samples).swapaxes(1, 2))
            self._bytes += found.nbytes
            self._kept.update(((seed, epochs), found[:, k]) for k, seed in enumerate(missing))
        return np.stack([self._kept[seed, epochs] for seed in seeds], axis=2)
