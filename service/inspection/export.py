"""Writing a sweep's trials in a format of the user's choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from experiments.errors import UserError
from service.inspection.files import write_file
from service.recording.infos import SweepInfo
from service.recording.store import Store

FORMATS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "parquet": lambda table, path: table.to_parquet(path, index=False),
    "csv": lambda table, path: table.to_csv(path, index=False),
    "json": lambda table, path: table.to_json(path, orient="records", indent=1, double_precision=15),
}


def export_sweep(store: Store, sweep: SweepInfo, path: Path) -> int:
    """Write the sweep's trials in the format of the file's ending, and return how many there are.

    The columns are those of `service.results.trials_table`. Raises UserError for another ending, NotFoundError if the
    sweep has not ended, GradgridError if the file can't be written.
    """
    write = FORMATS.get(path.suffix.lstrip(".").lower())
    if write is None:
        raise UserError(f"{path}: the name of the file says its format; end it in .{', .'.join(FORMATS)}")
    table = store.table(sweep)
    write_file(path, lambda partial: write(table, partial))
    return len(table)
