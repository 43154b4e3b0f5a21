"""The rows of runs, ready-made, written by a database's own means for many rows: what bounds a recorder.

The rows are those that gradgrid has recorded before, into the same tables with the same indexes. Only to write them is
timed. MLflow's weights, which are files, are not among them.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

_TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")


def ingest(path: Path, shards: int) -> float:
    """Write the rows of an SQLite store again, by ADBC's ingest of Arrow; return the seconds.

    shards: the number of transactions, as a recorder has one for each shard.
    """
    from adbc_driver_sqlite import dbapi

    with closing(dbapi.connect(str(path), autocommit=True)) as connection, connection.cursor() as cursor:
        for pragma in ("synchronous = NORMAL", "cache_size = -262144", "wal_autocheckpoint = 2500"):
            cursor.execute(f"PRAGMA {pragma}")
        connection.adbc_connection.set_autocommit(False)
        runs = cursor.execute("SELECT run_uuid FROM runs ORDER BY run_uuid").fetch_arrow_table().column(0).to_pylist()
        edges = [runs[len(runs) * shard // shards] for shard in range(shards)] + ["g"]  # after every digit
        ready = []
        for first, last in itertools.pairwise(edges):
            within = f"WHERE run_uuid >= '{first}' AND run_uuid < '{last}'"
            ready.append(
                {name: cursor.execute(f"SELECT * FROM {name} {within}").fetch_arrow_table() for name in _TABLES}
            )
        for name in reversed(_TABLES):
            cursor.execute(f"DELETE FROM {name}")
        connection.commit()
        began = time.perf_counter()
        for shard in ready:
            for name, rows in shard.items():
                cursor.adbc_ingest(name, rows, mode="append")
            connection.commit()
        seconds = time.perf_counter() - began
        (written,) = cursor.execute("SELECT count(*) FROM runs").fetchone()
        assert written == len(runs)
    return seconds


def copy(uri: str) -> float:
    """Write the rows of a PostgreSQL store again, by COPY through psql, in one transaction; return the seconds."""
    address = uri.replace("+psycopg", "")
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in _TABLES}
        _psql(address, *(f"\\copy {name} to '{file}'" for name, file in files.items()))
        _psql(address, "set client_min_messages = warning", f"truncate {', '.join(_TABLES)} cascade")
        began = time.perf_counter()
        _psql(address, "begin", *(f"\\copy {name} from '{file}'" for name, file in files.items()), "commit")
        return time.perf_counter() - began


def _psql(address: str, *statements: str) -> None:
    program = shutil.which("psql")
    assert program is not None, "psql is not installed"
    commands = [argument for statement in statements for argument in ("-c", statement)]
    subprocess.run([program, "-q", "-v", "ON_ERROR_STOP=1", *commands, address], check=True)
