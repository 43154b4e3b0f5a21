"""Trial ids: a hash of everything that determines a trial's numbers.

>>> rates = np.array([0.1, 0.2])
>>> trial_ids({"loss": "hinge"}, {"learning_rate": rates}, "data") == [
...     trial_id({"loss": "hinge", "learning_rate": rate}, "data") for rate in (0.1, 0.2)
... ]
True
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np

from engine import ENGINE_VERSION, FLOAT32_VERSION, Parts
from engine.arrays import Array
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.trials import Grid

_BUILT_IN = Parts()
_CHUNK, _KEPT_CHUNKS = 256, 64  # ids that are computed at once, and chunks of them in memory
_PARTS = tuple(name for name, row in HYPERPARAMETERS.items() if row.part)


def trial_id(configuration: Mapping[str, Any], fingerprint: str, parts: Parts = _BUILT_IN) -> str:
    """Return a trial's id, 32 hexadecimal digits.

    configuration: its hyperparameters (`Population.configuration`).
    fingerprint: of the data (`Dataset.fingerprint`).
    parts: the custom functions; they count only if the trial uses one.
    """
    return _hash(_identity(configuration, fingerprint, parts))


def trial_ids(
    shared: Mapping[str, Any], columns: Mapping[str, Array], fingerprint: str, parts: Parts = _BUILT_IN
) -> list[str]:
    """Return the ids of some trials, as `trial_id` does for one, thirty times as fast.

    shared: the hyperparameters that all of them have.
    columns: the other hyperparameters: name -> (trials,). There is at least one.
    fingerprint, parts: as for `trial_id`.
    """
    texts = {name: _json_texts(column) for name, column in columns.items()}
    same = {name for name, values in texts.items() if name in _PARTS or values.count(values[0]) == len(values)}
    varying = [name for name in sorted(columns) if name not in same]
    trials_of: dict[tuple[Any, ...], list[int]] = defaultdict(list)  # the rest of the text depends on the parts' names
    kept = {name: columns[name].tolist() for name in columns if name in same}
    for trial, values in enumerate(zip(*kept.values(), strict=True) if kept else [()] * len(texts[varying[0]])):
        trials_of[values].append(trial)
    ids = [""] * sum(map(len, trials_of.values()))
    for values, trials in trials_of.items():
        marks = {name: f"\0{name}\0" for name in varying}
        configuration = {**shared, **dict(zip(kept, values, strict=True)), **marks}
        template = _identity(configuration, fingerprint, parts).replace("%", "%%")
        for mark in marks.values():
            template = template.replace(json.dumps(mark), "%s")
        rows = zip(*([texts[name][trial] for trial in trials] for name in varying), strict=True)
        for trial, row in zip(trials, rows if varying else [()] * len(trials), strict=True):
            ids[trial] = _hash(template % row)
    return ids


class TrialIds(Sequence[str]):
    """The id of each trial of a grid, by its number. Ids are computed when they are asked for, some at a time."""

    def __init__(self, grid: Grid, fingerprints: Sequence[str], parts: Parts = _BUILT_IN) -> None:
        """fingerprints: of each data set."""
        self._grid, self._fingerprints, self._parts = grid, fingerprints, parts
        self._some = lru_cache(maxsize=_KEPT_CHUNKS)(self._chunk)

    def __len__(self) -> int:
        return self._grid.trials

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"the sweep has no trial {index}")
        chunk, place = divmod(int(index), _CHUNK)
        return self._some(chunk)[place]

    def __iter__(self) -> Iterator[str]:
        return self._between(0, len(self))

    def _chunk(self, chunk: int) -> list[str]:
        return list(self._between(chunk * _CHUNK, (chunk + 1) * _CHUNK))

    def _between(self, start: int, stop: int) -> Iterator[str]:
        for parts in self._grid.columns(start, stop):
            numbers = np.concatenate([numbers for _, numbers, _ in parts])
            ids = [
                identity
                for population, _, columns in parts
                for identity in trial_ids(
                    population.architecture.hyperparameters,
                    columns,
                    self._fingerprints[population.dataset],
                    self._parts,
                )
            ]
            yield from (ids[place] for place in np.argsort(numbers).tolist())


def _identity(configuration: Mapping[str, Any], fingerprint: str, parts: Parts) -> str:
    """Return everything that determines a trial's numbers as text, in JSON."""
    identity = {"configuration": configuration, "data": fingerprint, "engine": ENGINE_VERSION}
    if (configuration.get("dtype"), configuration.get("kernel")) == ("float32", "compiled"):
        identity["float32"] = FLOAT32_VERSION
    named = [configuration.get(name) for name in _PARTS]
    if any(parts.is_custom(name) for value in named for name in (value if isinstance(value, tuple) else [value])):
        identity["parts"] = parts.digest
    return json.dumps(identity, sort_keys=True)


def _hash(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _json_texts(column: Array) -> list[str]:
    """Return the values of a column in JSON."""
    values = column.tolist()
    if column.dtype.kind in "iu" or (column.dtype.kind == "f" and np.isfinite(column).all()):
        return list(map(repr, values))
    if column.dtype.kind == "U":
        text_of = {value: json.dumps(value) for value in set(values)}
        return [text_of[value] for value in values]
    return list(map(json.dumps, values))
