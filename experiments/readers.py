"""Reading CSV and Parquet files, and data frames, as columns of one kind each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.columns import Column, RawTable
from experiments.errors import DataError
from experiments.spec import DatasetSpec


@dataclass(frozen=True)
class ReadOptions:
    na_values: tuple[str, ...] = ()


def read_options(spec: DatasetSpec) -> ReadOptions:
    return ReadOptions()


def read_file(path: Path, options: ReadOptions) -> RawTable:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"the data file {path} does not exist")
    if path.suffix == ".parquet":
        return read_frame(pd.read_parquet(path), path.name)
    frame = pd.read_csv(path, skipinitialspace=True, keep_default_na=False, na_values=["", *options.na_values])
    return read_frame(frame, path.name, first=2, unit="line")


def read_frame(
    frame: Any, name: str = "data", options: ReadOptions = ReadOptions(), first: int = 1, unit: Any = "row"
) -> RawTable:
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
            columns.append(Column(str(label), "text", cells))
    return RawTable(name, tuple(columns), np.arange(first, first + len(frame)), unit)


def not_numbers(column: Column) -> np.ndarray[Any, Any]:
    def bad(v: Any) -> bool:
        try:
            float(v)
        except ValueError:
            return True
        return False

    return np.array([k for k, v in enumerate(column.values) if v is not None and bad(v)], dtype=int)
