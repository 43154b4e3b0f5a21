"""Reads a CSV file, a Parquet file or a pandas DataFrame into a `RawTable` of typed columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.columns import BadNumbers, Column, RawTable
from experiments.errors import DataError
from experiments.read_options import ReadOptions, read_options

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReadOptions", "read_file", "read_frame", "read_options"]

_FOUND_OUT = ReadOptions()


def read_file(path: Path, options: ReadOptions) -> RawTable:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"the data file {path} does not exist")
    if path.suffix == ".parquet":
        return read_frame(pd.read_parquet(path), path.name)
    frame = pd.read_csv(path, skipinitialspace=True, keep_default_na=False, na_values=["", *options.na_values])
    return replace(read_frame(frame, path.name), lines=np.arange(2, 2 + len(frame)), unit="line")


def read_frame(frame: pd.DataFrame, name: str = "data", options: ReadOptions = _FOUND_OUT) -> RawTable:
    """Read a data frame by its values. Of the options `na_values` counts."""
    columns = []
    for label in frame.columns:
        series = frame[label]
        if series.dtype.kind == "M":
            columns.append(Column(str(label), "unsupported", series.to_numpy(), problem="holds dates"))
        elif series.dtype.kind == "b":
            columns.append(Column(str(label), "boolean", series.to_numpy(dtype=float)))
        elif series.dtype.kind in "iuf":
            columns.append(
                Column(str(label), "number", series.to_numpy(dtype=float), integer=series.dtype.kind in "iu")
            )
        else:
            cells = np.array([None if v is None or v != v else str(v) for v in series], dtype=object)
            bad = [k for k, v in enumerate(cells) if v is not None and _bad(v)]
            columns.append(
                Column(str(label), "text", cells, BadNumbers(len(bad), bad[0], cells[bad[0]]) if bad else None)
            )
    return RawTable(name, tuple(columns), np.arange(1, 1 + len(frame)), "row")


def _bad(v: Any) -> bool:
    try:
        float(v)
    except ValueError:
        return True
    return False
