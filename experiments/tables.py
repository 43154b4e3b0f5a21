"""`Table`: features and a target before they are split; and reading one from CSV or Parquet."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.neuron import Floats
from experiments.errors import DataError, nearest

CLASSIFICATION = "classification"
REGRESSION = "regression"

_MAX_INTEGER_CLASSES = 20
"""A whole-numbered target with at most so many different values is taken for classes, unless `task` says otherwise."""


@dataclass(frozen=True)
class Table:
    """features: (samples, features). targets: (samples,), numbers, or indices into `classes`."""

    name: str
    task: str
    features: Floats
    targets: Floats
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]

    def choose(self, features: Sequence[str] | None, classes: Sequence[str] | None) -> Table:
        """Only these features and classes, in the order given. Raises DataError for an unknown or repeated one."""
        table = self
        for chosen, kind in ((features, "feature"), (classes, "class")):
            if chosen is not None and len(set(chosen)) < len(chosen):
                raise DataError(f"{self.name}: a {kind} is named twice: {', '.join(chosen)}")
        if features is not None:
            columns = [_index(name, self.feature_names, "feature", self.name) for name in features]
            table = replace(table, features=table.features[:, columns], feature_names=tuple(features))
        if classes is not None:
            if self.task != CLASSIFICATION:
                raise DataError(f"{self.name} has a regression target: there are no classes to choose")
            kept = [_index(name, self.classes, "class", self.name) for name in classes]
            rows = np.isin(table.targets, kept)
            targets = np.array([kept.index(int(k)) for k in table.targets[rows]], dtype=float)
            table = replace(table, features=table.features[rows], targets=targets, classes=tuple(classes))
        return table


def _index(name: str, known: Sequence[str], kind: str, table: str) -> int:
    if name not in known:
        raise DataError(f"{table} has no {kind} {name!r}{nearest(name, known)}")
    return list(known).index(name)


def read_table(path: Path, target: str, task: str | None, features: Sequence[str] | None = None) -> Table:
    """Read a CSV (first line: column names) or Parquet file.

    Features are the columns named, or every one but the target. The target is taken for classes where it holds words
    or at most 20 different whole numbers, unless `task` says otherwise.

    Raises DataError for a file that is missing, empty or ragged, a target that isn't there, features that are no
    numbers, and cells that are empty, NaN or infinite: with file, column and line.
    """
    frame, first_line = _read_frame(path)
    if target not in frame.columns:
        raise DataError(
            f"{path.name} has no column {target!r} for the target{nearest(target, map(str, frame.columns))}"
        )
    if len(frame) < 2:
        raise DataError(f"{path.name} has {len(frame)} row(s) of data; training needs two at least")
    columns = [_index(name, list(map(str, frame.columns)), "feature", path.name) for name in features or ()]
    inputs = frame.iloc[:, columns] if columns else frame.drop(columns=[target])
    if inputs.shape[1] == 0:
        raise DataError(f"{path.name} has no column beside the target {target!r}: nothing to learn from")
    _check_complete(frame[[*inputs.columns, target]], path.name, first_line)
    _check_numeric(inputs, path.name)
    kind, targets, classes = _read_target(frame[target], task, path.name)
    matrix = inputs.to_numpy(dtype=float)
    _check_finite(matrix, [str(c) for c in inputs.columns], path.name, first_line)
    return Table(path.stem, kind, matrix, targets, tuple(map(str, inputs.columns)), classes)


def _read_frame(path: Path) -> tuple[Any, int]:
    """The file as a data frame, and the line number of its first row, for messages."""
    import pandas as pd

    if not path.is_file():
        raise DataError(f"the data file {path} does not exist")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path), 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, index_col=False, skipinitialspace=True), 2
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name} is empty; its first line should name the columns") from None
    except pd.errors.ParserWarning:
        raise DataError(f"{path.name} is ragged: its rows have more fields than its first line has names") from None
    except pd.errors.ParserError as error:
        detail = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(f"{path.name} is ragged or no CSV: {detail}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} can't be read: {error}") from None


def _check_complete(frame: Any, name: str, first_line: int) -> None:
    missing = frame.isna().to_numpy()
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise DataError(
            f"{name}, line {row + first_line}: column {frame.columns[column]!r} is empty or NaN "
            f"({int(missing.sum())} such cell(s) in all); fill them in or leave those rows out"
        )


def _check_numeric(features: Any, name: str) -> None:
    words = [str(c) for c in features.columns if features[c].dtype.kind not in "fiub"]
    if words:
        example = features[words[0]].iloc[0]
        raise DataError(
            f"{name}: the feature(s) {', '.join(words)} are no numbers (for example {example!r}); "
            "turn them into numbers or name the numeric ones under dataset.features"
        )


def _check_finite(matrix: Floats, names: Sequence[str], table: str, first_line: int) -> None:
    infinite = np.argwhere(~np.isfinite(matrix))
    if len(infinite):
        row, column = infinite[0]
        raise DataError(f"{table}, line {row + first_line}: column {names[column]!r} is infinite")


def _read_target(column: Any, task: str | None, name: str) -> tuple[str, Floats, tuple[str, ...]]:
    numeric = column.dtype.kind in "fiu"
    if task is None:
        values = column.to_numpy()
        whole = numeric and bool((values == np.round(values)).all())
        few = column.nunique() <= _MAX_INTEGER_CLASSES
        task = REGRESSION if numeric and not (whole and few) else CLASSIFICATION
    if task == REGRESSION:
        if not numeric:
            raise DataError(f"{name}: the target {column.name!r} is no number, so it can't be a regression target")
        targets: Floats = column.to_numpy(dtype=float)
        if not np.isfinite(targets).all():
            raise DataError(f"{name}: the target {column.name!r} is infinite in places")
        return task, targets, ()
    classes, indices = np.unique(column.to_numpy(), return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{name}: the target {column.name!r} has a single class, {str(classes[0])!r}: nothing to learn")
    return task, indices.astype(float), tuple(str(c) for c in classes)
