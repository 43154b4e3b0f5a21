"""A population: the trials of a sweep that share an architecture, so that one program trains them side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.arrays import Array, Integers
from experiments.architecture import Architecture
from experiments.hyperparameters import REPEATS
from experiments.product import Product


def configurations(populations: Sequence[Population]) -> Integers:
    """Return the number of each trial's configuration, (trials,). Trials that differ only in seed or fold share it.

    Configurations are numbered in the order in which they appear.
    """
    import pandas as pd

    frames: dict[tuple[Any, ...], list[pd.DataFrame]] = {}
    for population in populations:
        columns = {name: column for name, column in population.columns.items() if name not in REPEATS}
        data = tuple((name, value) for name, value in population.data_params.items() if name not in REPEATS)
        frame = pd.DataFrame(columns, index=population.numbers_at(np.arange(population.trials)))
        frames.setdefault((population.architecture, data, *columns), []).append(frame)
    firsts = np.empty(sum(population.trials for population in populations), dtype=np.int64)
    for alike in frames.values():
        frame = pd.concat(alike).sort_index()
        numbers = frame.index.to_numpy()
        if not len(frame.columns):
            firsts[numbers] = numbers[0]
            continue
        groups = frame.groupby(list(frame.columns), sort=False, dropna=False).ngroup().to_numpy()
        _, places = np.unique(groups, return_index=True)
        firsts[numbers] = numbers[places[groups]]
    return np.unique(firsts, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class Population:
    """Trials that share an architecture. Their columns are computed when they are asked for.

    architecture: their structural hyperparameters.
    product: their other hyperparameters.
    first: number of the first trial in the sweep, if the trials' numbers follow one another.
    numbers: (trials,) ascending numbers in the sweep, if they do not.
    dataset: index of their data set.
    data_params: `dataset.noise` and the like, if the grid has them.
    """

    architecture: Architecture
    product: Product
    first: int = 0
    numbers: Integers | None = None
    dataset: int = 0
    data_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shared_params(self) -> Mapping[str, Any]:
        """The hyperparameters that all trials share, by the names in the sweep file."""
        return {**self.architecture.params, **self.data_params}

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self.product)

    @cached_property
    def columns(self) -> Mapping[str, Array]:
        """The columns of all trials: hyperparameter -> (trials,)."""
        return self.at(np.arange(self.trials))

    def at(self, indices: Integers) -> dict[str, Array]:
        """Return the columns of the trials with these indices in the population: hyperparameter -> (indices,)."""
        return self.product.at(indices)

    def numbers_at(self, indices: Integers) -> Integers:
        """Return the numbers in the sweep of the trials with these indices, (indices,)."""
        return indices + self.first if self.numbers is None else self.numbers[indices]

    def index_of(self, number: int) -> int | None:
        """Return the index of the trial with this number in the sweep; None if it is in another population."""
        index = number - self.first if self.numbers is None else int(np.searchsorted(self.numbers, number))
        if not 0 <= index < self.trials:
            return None
        return index if self.numbers is None or self.numbers[index] == number else None

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return every hyperparameter that applies to one trial, by the names in its identity.

        trial: its index in the population.
        """
        return {**self.architecture.hyperparameters, **self._values(trial)}

    def params(self, trial: int) -> dict[str, Any]:
        """Return `configuration(trial)` by the names in the sweep file."""
        return {**self.shared_params, **self._values(trial)}

    def _values(self, trial: int) -> dict[str, Any]:
        return {name: column[0].item() for name, column in self.at(np.array([trial])).items()}

    def columns_of(self, start: int, stop: int) -> tuple[Integers, dict[str, Array]]:
        """Return the numbers, (trials,), and the columns of the trials with numbers from `start` to before `stop`."""
        if self.numbers is None:
            first, end = (min(max(number - self.first, 0), self.trials) for number in (start, stop))
        else:
            first, end = np.searchsorted(self.numbers, (start, stop)).tolist()
        indices = np.arange(first, end)
        return self.numbers_at(indices), self.at(indices)

    def every_params(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield number and hyperparameters of each trial by the names in the sweep file, in order."""
        numbers = iter(self.numbers_at(np.arange(self.trials)).tolist())
        for columns in self.product.chunks():
            lists = [column.tolist() for column in columns.values()]
            for values in zip(*lists, strict=True):
                yield next(numbers), {**self.shared_params, **dict(zip(columns, values, strict=True))}
