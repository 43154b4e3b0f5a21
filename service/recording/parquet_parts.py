"""The tables that a sweep writes while it runs: one Parquet file a shard, in two folders of the sweep's own run."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from engine.arrays import Integers
    from service.recording.artifact_writers import File

ROWS_FOLDER = "rows"
"""The shards' rows of the trials' table."""

CURVES_FOLDER = "curves"
"""The shards' curves."""


def part_file(folder: str, numbers: Integers, table: pa.Table) -> File:
    """Return the file of a shard's table, with a name of its own.

    The name has the first and the last number of the shard's trials, and a hash of all if there are gaps between them.
    """
    import pyarrow
    import pyarrow.parquet

    floats = [field.name for field in table.schema if pyarrow.types.is_floating(field.type)]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in floats],
        use_byte_stream_split=floats,
    )
    name = f"{numbers[0]:08}-{numbers[-1]:08}"
    if len(numbers) <= numbers[-1] - numbers[0]:
        name += f"-{hashlib.blake2b(numbers.astype('<i8').tobytes(), digest_size=8).hexdigest()}"
    return f"{folder}/{name}.parquet", sink.getvalue()


def read_parts(files: Iterable[bytes], key: list[str]) -> pd.DataFrame:
    """Return the rows of such files as one table; no rows if there are no files.

    key: the columns that identify a row. Of two rows with the same key, the first is taken.
    """
    import pandas as pd
    import pyarrow

    parts = []
    for content in files:
        with suppress(pyarrow.ArrowInvalid):  # cut off by a kill: these trials are trained again
            parts.append(pd.read_parquet(io.BytesIO(content)))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True).drop_duplicates(key) if parts else pd.DataFrame()
