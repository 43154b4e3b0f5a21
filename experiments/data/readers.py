"""Read a CSV file, a Parquet file or a pandas DataFrame into a `RawTable` of typed columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.data.columns import RawTable
from experiments.data.read_options import ReadOptions, is_parquet, read_options
from experiments.errors import DataError, quoted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReadOptions", "read_file", "read_frame", "read_options"]

_DETECT = ReadOptions()


def read_file(path: Path, options: ReadOptions, key: str = "path") -> RawTable:
    """Read a Parquet file, or any other file as CSV. Raises DataError with the file's name, and the line if any.

    key: the key of the dataset section that names the file.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"the data file {path} does not exist; correct dataset.{key}, or put the file there") from None
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or error
        raise DataError(f"the data file {quoted(str(path))} can't be read: {detail}") from None
    if not path.is_file():
        raise DataError(f"the data file {path} is not a file; name a CSV or Parquet file")
    if is_parquet(path):
        from experiments.data.arrow_columns import read_parquet

        return read_parquet(path, options)
    from experiments.data.csv_files import read_csv

    return read_csv(path, options)


def read_frame(frame: pd.DataFrame, name: str = "data", options: ReadOptions = _DETECT) -> RawTable:
    """Read a data frame without its index. name: its name in messages. Raises DataError."""
    from experiments.data.frame_columns import read_frame

    return read_frame(frame, name, options)
