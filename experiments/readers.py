"""Reads a CSV file, a Parquet file or a pandas DataFrame into a `RawTable` of typed columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.columns import RawTable
from experiments.read_options import ReadOptions, read_options

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReadOptions", "read_file", "read_frame", "read_options"]

_FOUND_OUT = ReadOptions()


def read_file(path: Path, options: ReadOptions) -> RawTable:
    """Read a Parquet file, or any other file as CSV. Raises DataError with the file's name, and the line where known."""
    raise NotImplementedError


def read_frame(frame: pd.DataFrame, name: str = "data", options: ReadOptions = _FOUND_OUT) -> RawTable:
    """Read a data frame by its values. Of the options `na_values` counts."""
    raise NotImplementedError
