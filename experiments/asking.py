"""Searches whose points depend on the results of earlier ones: a sampler is asked for them, one batch after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.arrays import Words
from experiments.axis import Interval
from experiments.blocks import Block
from experiments.errors import SpecError
from experiments.search import COORDINATES, listed_indices
from experiments.source import SpecSource

if TYPE_CHECKING:
    from experiments.spec import ResolvedSpec, Spec

_FEW = 3  # numbers that have no order worth modelling


@dataclass(frozen=True)
class Dimension:
    """A factor of a block, as a sampler sees it.

    name: its hyperparameters.
    values: how many values it has; 0 for an interval, which the sampler sees as the numbers from 0 to 1.
    ordered: whether its values are numbers in order, so that close ones are alike.
    """

    name: str
    values: int = 0
    ordered: bool = True

    def coordinate(self, value: float) -> int:
        """Return the coordinate of an index, or of a number from 0 to 1: a whole number below 2**32."""
        if self.values:
            return -(-int(value) * COORDINATES // self.values)
        return min(int(value * COORDINATES), COORDINATES - 1)

    def value(self, coordinate: int) -> float:
        """Return the index, or the number from 0 to 1, of a coordinate."""
        if self.values:
            return int(listed_indices(np.array([coordinate], dtype=np.uint64), self.values)[0])
        return (coordinate + 0.5) / COORDINATES


def dimensions(block: Block) -> tuple[Dimension, ...]:
    """Return the factors from which a search draws."""
    return tuple(_dimensions(block))


def _dimensions(block: Block) -> Iterator[Dimension]:
    for names in block.drawn:
        axis, name = block.axes[names[0]], " and ".join(names)
        if isinstance(axis, Interval):
            yield Dimension(name)
        else:
            yield Dimension(name, len(axis), ordered=len(names) == 1 and _is_ordered(axis))


def _is_ordered(axis: Sequence[object]) -> bool:
    numbers = [value for value in axis if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return len(numbers) == len(axis) >= _FEW and numbers in (sorted(numbers), sorted(numbers, reverse=True))


def with_points(resolved: ResolvedSpec, coordinates: Words) -> ResolvedSpec:
    """Return a spec whose search has the points that were asked for so far.

    coordinates: (points, dimensions).
    """
    last = resolved.stages[-1]
    (block,) = last.blocks
    return replace(resolved, stages=(replace(last, blocks=(replace(block, asked=coordinates, extension=0),)),))


def check_asking(specs: Sequence[Spec], blocks: Sequence[Block], source: SpecSource) -> None:
    """Raise SpecError for what does not go together with a search whose points are asked for.

    specs: the sweep file, and the same after each of its extensions.
    blocks: of the sweep file.
    """
    asking = [spec for spec in specs if spec.search.asks]
    if not asking:
        return
    spec, method = asking[0], asking[0].search.method
    for key in ("refine", "early_stopping"):
        if getattr(spec, key) is not None:
            raise SpecError(f"{source.location((key,))}: {key} does not go with a search by {method}; leave one out")
    if len(blocks) > 1:
        raise SpecError(f"{source.location(('grid',))}: a search by {method} has one block of axes, not {len(blocks)}")
    if blocks[0].only:
        raise blocks[0].error_at_condition(
            blocks[0].only[0], f"a search by {method} trains every point that it asks for; leave only out"
        )
    for assignment in (assignment for extension in spec.extensions for assignment in extension):
        if assignment.partition("=")[0] != "search.trials":
            raise SpecError(
                f"--set {assignment}: a sweep with a search by {method} is extended by search.trials alone; start a "
                "new sweep"
            )
