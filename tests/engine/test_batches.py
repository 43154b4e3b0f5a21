"""The order in which minibatches see the samples."""

import numpy as np
import pytest

from engine.arrays import Indexes
from engine.batches import Batches
from engine.kernels.orders import Orders


def _order(seeds: list[int], epochs: range, samples: int) -> Indexes:
    return Batches(4, np.array(seeds, dtype=np.uint64)).order(slice(None), epochs, samples)


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 8, 64, 65, 1000])
def test_every_epoch_sees_every_sample_once(samples: int) -> None:
    order = _order([0, 1, 2**63], range(3, 6), samples)
    assert order.shape == (3, 3, samples)
    assert (np.sort(order, axis=-1) == np.arange(samples)).all()


def test_a_trials_order_depends_on_its_seed_alone() -> None:
    together = _order([5, 9, 5], range(4), 20)
    assert (together[:, 0] == together[:, 2]).all()
    assert (together[:, 0] != together[:, 1]).any()
    assert (_order([9], range(2, 4), 20)[:, 0] == together[2:, 1]).all()


def test_epochs_differ() -> None:
    order = _order([1], range(50), 10)[:, 0]
    assert len(np.unique(order, axis=0)) == 50


def test_permutations_are_equally_frequent() -> None:
    """Each of the 24 orders of four samples is as frequent: 99.9 % of chi-squared of 23 degrees is below 49.7."""
    order = _order(list(range(60)), range(200), 4).reshape(-1, 4)
    _, counts = np.unique(order, axis=0, return_counts=True)
    expected = len(order) / 24
    assert len(counts) == 24
    assert ((counts - expected) ** 2 / expected).sum() < 49.7


@pytest.mark.parametrize(("samples", "size", "updates"), [(10, 4, 3), (8, 4, 2), (3, 4, 1), (5, 1, 5)])
def test_an_epochs_last_batch_has_the_remaining_samples(samples: int, size: int, updates: int) -> None:
    assert Batches(size, np.zeros(1, dtype=np.uint64)).per_epoch(samples) == updates


def test_blocks_with_the_same_seeds_share_an_order() -> None:
    seeds = np.array([3, 4, 5, 6, 3, 4], dtype=np.uint64)
    orders = Orders(Batches(2, seeds), samples=7)
    first, second, third = (orders.of(np.array(trials), range(2)) for trials in ([0, 1], [2, 3], [4, 5]))
    assert first is third
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, Batches(2, seeds).order(np.array([0, 1]), range(2), 7).swapaxes(1, 2))
