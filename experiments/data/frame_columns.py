"""Read a pandas DataFrame into a `RawTable`, by the values of its columns and not by their dtype."""

from __future__ import annotations

import decimal
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.data.arrow_columns import index_note, table_of_arrays
from experiments.data.columns import RawTable
from experiments.data.read_options import ReadOptions
from experiments.errors import DataError

_BOOLEANS = (bool, np.bool_)
_NUMBERS = (numbers.Real, np.number, decimal.Decimal)


def read_frame(frame: pd.DataFrame, table: str, options: ReadOptions) -> RawTable:
    """Read a data frame without its index. table: its name in messages. Raises DataError."""
    if frame.columns.nlevels > 1:
        raise DataError(f"{table}: the column names have {frame.columns.nlevels} levels; give each column one name")
    column_names = ["" if name is None or name != name else str(name) for name in frame.columns]
    columns = [(name, _series_cells(frame.iloc[:, index])) for index, name in enumerate(column_names)]
    names = ", ".join(str(name) for name in frame.index.names if name is not None)
    notes = [] if isinstance(frame.index, pd.RangeIndex) else [index_note(names)]
    return table_of_arrays(table, columns, len(frame), notes, options)


def _series_cells(series: pd.Series[Any]) -> Any:
    if isinstance(series.dtype, pd.SparseDtype):
        series = series.sparse.to_dense()
    if isinstance(series.dtype, pd.CategoricalDtype) and series.dtype.categories.dtype == object:
        series = series.astype(object)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)  # Arrow's own conversion is deprecated in pandas
    if series.dtype == object:
        return _object_cells(series)
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return str(series.dtype)


def _object_cells(series: pd.Series[Any]) -> Any:
    """Return Python objects as an array of one type: booleans, numbers, or text as in a CSV."""
    empty = series.isna().to_numpy()
    cells = [None if is_empty else cell for cell, is_empty in zip(series.to_list(), empty, strict=True)]
    types = {type(cell) for cell in cells if cell is not None}
    if not types:
        return pa.nulls(len(cells))
    is_bool, is_number = (all(issubclass(kind, bases) for kind in types) for bases in (_BOOLEANS, _NUMBERS))
    try:
        if is_bool:
            return pa.array(cells, pa.bool_())
        if is_number and not types & set(_BOOLEANS):
            if types == {decimal.Decimal}:
                return _decimals(cells)
            whole = all(issubclass(kind, numbers.Integral) for kind in types)
            return _texts(cells) if whole else pa.array([None if c is None else float(c) for c in cells])
        if all(issubclass(kind, (str, *_BOOLEANS, *_NUMBERS)) for kind in types):
            return _texts(cells)
    except UnicodeEncodeError:
        return "text with broken characters"
    return next(kind.__name__ for kind in types if not issubclass(kind, (str, *_BOOLEANS, *_NUMBERS)))


def _decimals(cells: Sequence[Any]) -> Any:
    """Return decimals as Parquet stores them, so that whole ones stay whole; floats if they have too many digits."""
    try:
        return pa.array(cells)
    except pa.ArrowException:
        return pa.array([None if cell is None else float(cell) for cell in cells])


def _texts(cells: Iterable[Any]) -> Any:
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
