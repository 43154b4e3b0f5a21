"""Why trials of one sweep have no partner in another one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Unmatched:
    """The trials of a sweep that have no partner in another one.

    trials: their number.
    stopped: how many of them have the values of a trial of the other sweep, but were trained for another number of
        steps, because one of the two was stopped earlier.
    foreign: how many have a value of a shared hyperparameter that no trial of the other sweep has.
    names: these hyperparameters.
    """

    trials: int
    stopped: int
    foreign: int
    names: Sequence[str]

    @property
    def rest(self) -> int:
        """How many have values that the other sweep has too, but no trial of it has them together."""
        return self.trials - self.stopped - self.foreign


def unmatched(
    side: pd.DataFrame, other: pd.DataFrame, texts: tuple[pd.DataFrame, pd.DataFrame], partners: Collection[int]
) -> Unmatched:
    """Return the trials of a side without a partner.

    side, other: the trials of the two sweeps. `key` is a number that is equal where all shared values are equal.
    texts: the shared hyperparameters of both, as texts, in the same order.
    partners: the positions of the side's trials that have a partner.
    """
    alone = pd.Series(True, index=range(len(side)))
    alone[list(partners)] = False
    stopped = alone & side["key"].isin(other["key"]).to_numpy()
    rest = alone & ~stopped
    foreign, names = pd.Series(False, index=alone.index), []
    for name, column in texts[0].items():
        here = rest & ~column.isin(texts[1][name].unique()).to_numpy()
        if here.any():
            names.append(str(name))
            foreign |= here
    return Unmatched(int(alone.sum()), int(stopped.sum()), int(foreign.sum()), names)
