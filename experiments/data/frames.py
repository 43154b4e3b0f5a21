"""Data from Python: turn a data frame or arrays into one frame with its targets, and store it as a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.columns import Column, RawTable
from experiments.errors import DataError, quoted

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 256 * 2**20
"""Largest size of the Parquet file that a sweep stores of its data, in bytes."""

_TARGET = "target"


def given_frame(data: Any, target: Any) -> tuple[pd.DataFrame, str | list[str] | None]:
    """Return a frame of features and targets, and the targets' names: one, or a list of several.

    data: a data frame, a mapping of columns, or (samples, features) numbers or words; the latter get the feature
        names x0, x1, ...
    target: the name of a column or a list of names; (samples,) or (samples, targets) values, of which the latter get
        the names target0, target1, ... if they have none; None if the spec names it.
    Raises DataError if data is not a table, or target does not fit it.
    """
    import pandas as pd

    frame = _frame(data)
    target = _as_pandas(target)
    if target is None or isinstance(target, str):
        return frame, target
    _refuse_no_values(frame, target)
    if _are_names(frame, target):
        return frame, list(target)
    values = _target_values(target)
    if len(values) != len(frame):
        raise DataError(f"data has {len(frame):,} rows, but target has {len(values):,}; give a target for each row")
    indexed = isinstance(target, (pd.Series, pd.DataFrame))
    if isinstance(data, pd.DataFrame) and indexed and not target.index.equals(data.index):
        raise DataError(
            "data and target have different indices; bring them into one order, then call reset_index on both"
        )
    for name in values.columns:
        if list(values.columns).count(name) > 1:
            raise DataError(f"target has the column {name!r} twice; rename one of them")
        if name in frame.columns:
            raise DataError(
                f"data already has a column {name!r}; rename the target, or name that column: target={name!r}"
            )
    columns = {name: _without_index(values[name]) for name in values.columns}
    names = list(columns)
    return frame.assign(**columns), names if len(names) > 1 else names[0]


def _are_names(frame: pd.DataFrame, target: Any) -> bool:
    """Return whether a target is a list of names of columns: words, one of which is a column of the frame."""
    if not isinstance(target, (list, tuple)) or not all(isinstance(name, str) for name in target):
        return False
    names = {str(name) for name in frame.columns}
    return any(name in names for name in target)


def _as_pandas(target: Any) -> Any:
    """Return a table or column of another library as one of pandas, and the index of a table as a list of names."""
    import pandas as pd

    if isinstance(target, pd.Index):
        return target.tolist()
    if hasattr(target, "to_pandas"):  # Polars and Arrow
        return target.to_pandas()
    return pd.DataFrame(target) if isinstance(target, Mapping) else target


def _without_index(values: pd.Series[Any]) -> Any:
    return values.to_numpy() if values.dtype.kind != "O" else list(values)


def _refuse_no_values(frame: pd.DataFrame, target: Any) -> None:
    """Raise DataError for a target that is meant as the name of a column but is not text."""
    names = [str(name) for name in frame.columns]
    if not isinstance(target, Iterable):
        example = f"target={str(target)!r}" if str(target) in names else f"target={names[-1]!r}" if names else "text"
        raise DataError(
            f"target is {quoted(target)}: give the name of a column as text ({example}), or a value for each row"
        )


def _target_values(target: Any) -> pd.DataFrame:
    """Return the values of one or more targets as a frame whose columns have names."""
    import pandas as pd

    if isinstance(target, pd.Series):
        return target.to_frame(target.name if isinstance(target.name, str) else _TARGET)
    if isinstance(target, pd.DataFrame):
        values = target
    else:
        cells = target if isinstance(target, np.ndarray) else list(target)
        if not isinstance(cells, np.ndarray) and not _has_one_shape(cells):
            raise DataError("the rows of target have different lengths; give rows of one length")
        if np.ndim(cells) not in (1, 2):
            raise DataError(f"target has {np.ndim(cells)} dimensions; give one value for each row, or a row of values")
        if np.ndim(cells) == 1:
            return pd.Series(cells).to_frame(_TARGET)
        values = pd.DataFrame(cells)
    if not len(values.columns):
        raise DataError("target has no column; give a value for each row")
    if all(isinstance(name, str) for name in values.columns):
        return values
    several = len(values.columns) > 1
    return values.set_axis([f"{_TARGET}{k}" if several else _TARGET for k in range(values.shape[1])], axis="columns")


def _has_one_shape(rows: Sequence[Any]) -> bool:
    try:
        return len({np.shape(row) for row in rows}) < 2
    except ValueError:  # rows of rows of different lengths
        return False


def _frame(data: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(data, (str, PurePath)):
        raise DataError(f"data is {quoted(str(data))}: give the table itself, or name the file under dataset.path")
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):  # Polars and Arrow
        return pd.DataFrame(data.to_pandas())
    try:
        if isinstance(data, Mapping):
            return pd.DataFrame(data)
        frame = pd.DataFrame(data if isinstance(data, np.ndarray) else list(data))
    except (TypeError, ValueError) as error:
        raise DataError(f"data is not a table: {error}; give a data frame, or rows of equal length") from None
    shape = np.shape(data) if isinstance(data, np.ndarray) else (0,) * (2 if _has_rows(data) else 1)
    if len(shape) != 2:
        raise DataError(
            "data is not a list of rows; give a data frame, or rows of equal length such as [[1, 2], [3, 4]] (for a "
            "single feature, x.reshape(-1, 1))"
        )
    return frame.set_axis([f"x{k}" for k in range(frame.shape[1])], axis="columns")


def _has_rows(data: Any) -> bool:
    return all(np.ndim(row) == 1 for row in data)


def kept_bytes(raw: RawTable) -> bytes:
    """Return the table as the bytes of a Parquet file, without unsupported columns. It is read back unchanged.

    Raises DataError if it is larger than MAX_BYTES.
    """
    import pandas as pd

    columns = {column.name: _kept(column) for column in raw.columns if column.kind != "unsupported"}
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False, compression="zstd")
    content = buffer.getvalue()
    if len(content) > MAX_BYTES:
        raise DataError(
            f"{raw.name}: the table takes {len(content) >> 20:,} MiB as Parquet; a sweep stores up to "
            f"{MAX_BYTES >> 20} MiB of data from Python. Write it to a file, and set dataset.path"
        )
    return content


def _kept(column: Column) -> Any:
    import pandas as pd

    if column.kind == "boolean":
        return pd.array([None if np.isnan(cell) else bool(cell) for cell in column.values], dtype="boolean")
    if column.kind == "number" and column.integer:
        return pd.array([None if np.isnan(cell) else int(cell) for cell in column.values], dtype="Int64")
    return column.values


def frame_of_bytes(content: bytes) -> pd.DataFrame:
    """Return the frame that `kept_bytes` wrote."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(content))
