"""Training of many blocks of trials, so that trials that have diverged cost nothing.

A block whose trials have all diverged stops. One that has lost some of them pauses soon. The living trials of the
blocks that pause at the same step are put together into as few blocks as possible, which go on.

>>> living = np.array([[True, False, True], [False, False, True], [False, True, True]])
>>> exchanges(living)  # the second block's trial takes the first block's free lane
((array([0]), array([1])), (array([1]), array([2])))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from engine.arrays import Flags, Integers

Lanes = tuple[Integers, Integers]
"""Some lanes: the block of each, and its position in the block."""


def exchanges(living: Flags) -> tuple[Lanes, Lanes]:
    """Return lanes to exchange so that the living trials fill as few blocks as possible: free ones, and living ones.

    living: (blocks, lanes), whether a lane has a living trial.

    The fullest blocks are filled.
    """
    counts = living.sum(axis=1)
    by_count = np.argsort(-counts, kind="stable")
    kept = -(-int(counts.sum()) // living.shape[1])
    free, lane = np.nonzero(~living[by_count[:kept]])
    moving, from_lane = np.nonzero(living[by_count[kept:]])
    count = len(moving)
    return (by_count[free[:count]], lane[:count]), (by_count[kept + moving], from_lane)


class Blocks(Protocol):
    """What is asked of blocks; see `chunk.Chunk`."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""

    def step(self, block: int) -> int:
        """Return the number of updates that a block has done."""

    def is_over(self, block: int) -> bool:
        """Return whether a block has done all steps, or has no living trial."""

    def pack(self, blocks: Sequence[int]) -> list[int]:
        """Put the living trials of blocks together; return the blocks with free lanes."""


def train_blocks(blocks: Blocks, train: Callable[[int, int], None], steps: int) -> None:
    """Train all blocks that are not over to a step.

    train: trains a block from where it is to a step, or to an earlier one at which it pauses, because it has lost a
        trial. A block that is over is finished by it.
    steps: number of updates after which they pause, if there are more.
    """
    waiting: dict[int, list[int]] = defaultdict(list)

    def go_on(block: int, until: int) -> None:
        train(block, until)
        if not blocks.is_over(block) and blocks.step(block) < steps:
            waiting[blocks.step(block)].append(block)

    for block in range(blocks.blocks):
        if not blocks.is_over(block):
            go_on(block, steps)
    while waiting:
        together = waiting.pop(min(waiting))
        with_free_lanes = blocks.pack(together)
        for block in together:
            if block not in with_free_lanes:
                go_on(block, steps)
        for block in with_free_lanes:  # they wait for other trials where the next blocks pause
            go_on(block, min(waiting, default=steps))
