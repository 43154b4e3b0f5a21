"""A sweep's table of trials in a format of the user's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from experiments.errors import GradgridError, UserError
from service.recording.infos import SweepInfo
from service.recording.store import Store

FORMATS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "parquet": lambda table, path: table.to_parquet(path, index=False),
    "csv": lambda table, path: table.to_csv(path, index=False),
    "json": lambda table, path: table.to_json(path, orient="records", indent=1, double_precision=15),
}


def export_sweep(store: Store, sweep: SweepInfo, path: Path) -> int:
    """Write the sweep's trials, in the format that the file's name ends in; returns how many.

    Raises UserError for another ending, GradgridError where the file can't be written.
    """
    write = FORMATS.get(path.suffix.lstrip(".").lower())
    if write is None:
        raise UserError(f"{path}: the name of the file says its format; end it in .{', .'.join(FORMATS)}")
    table = store.table(sweep)
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(table, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise GradgridError(f"{path} can't be written: {error.strerror or error}") from None
    return len(table)
