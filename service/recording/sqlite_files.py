"""The file of an SQLite store: create it, check it, and open one that can't be written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from experiments.errors import StoreError

PAGE_BYTES = 16_384
"""The size of a page of a new store. With SQLite's default, 4,096, a recorder takes a fifth more time."""


def create_file(path: Path) -> None:
    """Create an empty database with pages of `PAGE_BYTES`.

    Later is too late: WAL mode, which a recorder sets, fixes the size.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("VACUUM")  # writes the first page


def read_only_address(path: Path) -> str:
    """Return an address that opens an SQLite file read-only. Raises StoreError if SQLite can't.

    To read a file in WAL mode, SQLite creates two files next to it. If it can't, it can only read a file that nobody
    writes to, and only if the log is empty.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"the store {path} can't be read ({error}): its last changes are still in {log.name}, and SQLite reads "
                "that only in a folder that it can write to; copy the files to such a folder, and read them there"
            ) from None
        address += "&immutable=1"
    return f"sqlite:///{address}&uri=true"


def check_writable(path: Path) -> None:
    """Raise StoreError if an SQLite store, or its folder, can't be written."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(
            f"the folder {folder} of the store does not exist: create it, or name another store with --tracking-uri"
        )
    for target in (path, folder) if path.exists() else (folder,):
        if not os.access(target, os.W_OK):
            raise StoreError(
                f"the store {path} can't be written: check the permissions of {target}, or name another store "
                "with --tracking-uri"
            )
