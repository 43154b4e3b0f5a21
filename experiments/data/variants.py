"""The data sets of a sweep: one, or one for each combination of its axes `dataset.noise`, `dataset.fold` and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, prepare, read_table
from experiments.data.names import PREFIX
from experiments.data.tables import Table

if TYPE_CHECKING:
    import pandas as pd

_KEPT_TABLES = 4  # tables in memory, from which data sets are split
_OF_TABLE = ("samples", "noise", "seed")
_VARIANTS, _VALUES, _INDEX = "variants", "values", "index"


class Datasets:
    """The data sets of a sweep, loaded when they are first asked for. Equal ones are one.

    load: returns the data set with these values of its section.
    """

    def __init__(self, load: Callable[[Mapping[str, Any]], Dataset]) -> None:
        self._load = load
        self._every: list[Dataset] = []
        self._indices: dict[tuple[tuple[str, Any], ...], int] = {}

    @classmethod
    def of(cls, dataset: Dataset) -> Datasets:
        """Return a single data set."""
        return cls(lambda _: dataset)

    @property
    def every(self) -> tuple[Dataset, ...]:
        """The data sets that were asked for so far."""
        return tuple(self._every)

    def index(self, values: Mapping[str, Any]) -> int:
        """Return the index of a data set in `every`. Raises DataError if it can't be loaded.

        values: axis -> value, such as `dataset.noise` -> 0.1; those of None are left out.
        """
        key = tuple(sorted((name, value) for name, value in values.items() if value is not None))
        if key not in self._indices:
            loaded = self._load({name.removeprefix(PREFIX): value for name, value in key})
            prints = [dataset.fingerprint for dataset in self._every]
            if loaded.fingerprint not in prints:
                self._every.append(loaded)
                prints.append(loaded.fingerprint)
            self._indices[key] = prints.index(loaded.fingerprint)
        return self._indices[key]

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the first data set, and of all if there are several, as plain values for JSON."""
        first, *others = (dataset.facts for dataset in self._every)
        if not others:
            return first
        variants = [{_VALUES: dict(key), _INDEX: index} for key, index in self._indices.items()]
        return {**first, _VARIANTS: {"datasets": [first, *others], "of": variants}}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Datasets:
        """Return data sets whose only samples are the examples of their facts."""
        variants = facts.get(_VARIANTS)
        if variants is None:
            return cls.of(Dataset.from_facts(facts))
        by_values = {tuple(sorted(row[_VALUES].items())): row[_INDEX] for row in variants["of"]}

        def load(values: Mapping[str, Any]) -> Dataset:
            key = tuple(sorted((PREFIX + name, value) for name, value in values.items()))
            return Dataset.from_facts(variants["datasets"][by_values[key]])

        return cls(load)


def load_datasets(spec: DatasetSpec, folder: Path, frame: pd.DataFrame | None = None) -> Datasets:
    """Return the data sets of a sweep.

    spec: the dataset section of a sweep file.
    folder: start of a relative path.
    frame: the data, if it comes from Python.
    """
    tables = lru_cache(maxsize=_KEPT_TABLES)(lambda key: read_table(spec.with_values(dict(key)), folder, frame))

    def load(values: Mapping[str, Any]) -> Dataset:
        of_table = {name: values[name] for name in _OF_TABLE if name in values and spec.name is not None}
        table: tuple[Table, list[str]] = tables(tuple(sorted(of_table.items())))
        return prepare(*table, spec.with_values(values))

    return Datasets(load)
