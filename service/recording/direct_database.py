"""Whether a store is a database that runs can be written into directly, and how to open it."""

from __future__ import annotations

import importlib.util

from service.recording.connection import sqlite_path
from service.recording.databases import Database

_POSTGRES_WRITERS = 2  # one sends while the server works on the other's


def database_address(uri: str) -> str:
    """Return the address of the database at `uri`, for `open_database`; empty if it can't be written directly."""
    if sqlite_path(uri):
        return uri
    if uri.startswith("postgresql") and importlib.util.find_spec("psycopg"):
        import sqlalchemy

        return sqlalchemy.make_url(uri).set(drivername="postgresql").render_as_string(hide_password=False)
    return ""


def why_not_direct(uri: str) -> str:
    """Return why runs can't be written directly into the database at `uri`; empty if they can. Raises StoreError."""
    from service.recording.schema import shape_difference

    if not database_address(uri):
        return "the store is not an SQLite or PostgreSQL database that can be written directly"
    return shape_difference(uri)


def database_writers(address: str) -> int:
    """Return how many writers at once a database can use. address: from `database_address`."""
    return 1 if sqlite_path(address) else _POSTGRES_WRITERS


def open_database(address: str) -> Database:
    """Return the database at an address from `database_address`."""
    path = sqlite_path(address)
    if path:
        from service.recording.sqlite_database import SqliteDatabase

        return SqliteDatabase(path)
    from service.recording.postgres_database import PostgresDatabase

    return PostgresDatabase(address)
