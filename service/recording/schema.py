"""Check MLflow's tables in a database: which MLflow version made them, and whether runs fit in bulk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alembic.config
import alembic.script
import mlflow
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy import types

from experiments.errors import StoreError
from service.recording.redaction import redacted, without_passwords


@dataclass(frozen=True)
class _Table:
    """A table as MLflow 3.17 and 3.18 make it. columns: name -> type. key: the columns of the primary key."""

    columns: Mapping[str, type[types.TypeEngine[Any]]]
    key: frozenset[str]


def _table(key: str, *, text: str, integers: str = "", times: str = "", floats: str = "", flags: str = "") -> _Table:
    kinds: dict[type[types.TypeEngine[Any]], str] = {
        types.String: text,
        types.Integer: integers,
        types.BigInteger: times,
    }
    kinds |= {types.Float: floats, types.Boolean: flags}
    return _Table({column: kind for kind, names in kinds.items() for column in names.split()}, frozenset(key.split()))


_METRIC = {"text": "key run_uuid", "times": "timestamp step", "floats": "value", "flags": "is_nan"}
_WRITTEN = {
    "runs": _table(
        "run_uuid",
        text="run_uuid name source_type source_name entry_point_name user_id status source_version lifecycle_stage "
        "artifact_uri",
        integers="experiment_id",
        times="start_time end_time deleted_time",
    ),
    "metrics": _table("key timestamp step run_uuid value is_nan", **_METRIC),
    "latest_metrics": _table("key run_uuid", **_METRIC),
    "params": _table("key run_uuid", text="key value run_uuid"),
    "tags": _table("key run_uuid", text="key value run_uuid"),
}
_WIDTHS = {
    "run_uuid": 32,
    "key": 250,
    "name": 250,
    "value": 8_000,
    "status": 8,
    "lifecycle_stage": 6,
}  # characters that a text column must hold at least
_CHECKED = {  # column with a CHECK -> the values that are written
    "source_type": {"UNKNOWN"},
    "lifecycle_stage": {"active"},
    "status": {"FINISHED", "FAILED"},
    "is_nan": set(),
}


def shape_difference(uri: str) -> str:
    """Return why runs can't be written in bulk into this database's tables; empty if they can.

    The tables are compared with those of MLflow 3.17, column by column. The schema's revision does not matter, as most
    revisions change other tables. Raises StoreError if the database can't be opened.
    """
    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            inspector = sqlalchemy.inspect(connection)
            tables = set(inspector.get_table_names())
            missing = [f"it has no table {name}" for name in _WRITTEN if name not in tables]
            reasons = missing or [
                reason for name, table in _WRITTEN.items() for reason in _differences(inspector, name, table)
            ]
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise cannot_open(uri, error) from None
    return reasons[0] if reasons else ""


def _differences(inspector: sqlalchemy.Inspector, name: str, table: _Table) -> Iterator[str]:
    columns = {column["name"]: column for column in inspector.get_columns(name)}
    for column, kind in table.columns.items():
        if column not in columns:
            yield f"its table {name} has no column {column}"
        elif not _takes(columns[column]["type"], kind, _WIDTHS.get(column, 0)):
            yield f"the column {column} of its table {name} has the type {columns[column]['type']}"
    for column in columns.keys() - table.columns.keys():
        if not _fills_itself(columns[column]):
            yield f"its table {name} has an unknown column {column} without a default"
    if set(inspector.get_pk_constraint(name)["constrained_columns"]) != table.key:
        yield f"its table {name} has another primary key"
    unique: list[Any] = [
        *inspector.get_unique_constraints(name),
        *(i for i in inspector.get_indexes(name) if i["unique"]),
    ]
    if any(not table.key <= set(index["column_names"]) for index in unique):
        yield f"its table {name} has an unknown unique index"
    for check in inspector.get_check_constraints(name):
        if not _allows_ours(check["sqltext"]):
            yield f"its table {name} has an unknown rule, {check['sqltext']}"


def _takes(column_type: types.TypeEngine[Any], kind: type[types.TypeEngine[Any]], width: int) -> bool:
    """Return whether a column can hold our values of a kind."""
    if isinstance(column_type, types.SmallInteger):
        return False
    if isinstance(column_type, types.Float) and column_type.precision == 24:
        return False
    if isinstance(column_type, types.String) and column_type.length is not None and column_type.length < width:
        return False
    return isinstance(column_type, kind)


def _fills_itself(column: Any) -> bool:
    filled = column.get("default") is not None or column.get("computed") or column.get("identity")
    return bool(column["nullable"] or filled)


def _allows_ours(rule: str) -> bool:
    """Return whether a CHECK lists the words of one column, as MLflow's do, and allows the words that are written."""
    words = set(re.findall(r"'([^']*)'", rule))
    columns = set(
        re.findall(r"[a-z_]+", re.sub(r"'[^']*'|::[a-z ]+|\b(?:in|any|array|or|true|false)\b", " ", rule.lower()))
    )
    return len(columns) == 1 and all(column in _CHECKED and words >= _CHECKED[column] for column in columns)


def cannot_open(uri: str, error: Exception) -> StoreError:
    """Return the error of a database that can't be opened."""
    address = without_passwords(uri)
    if isinstance(error, (ValueError, sqlalchemy.exc.ArgumentError)) and "@" in uri:  # it may quote half a password
        return StoreError(
            f"the database at {address} can't be opened: its address can't be read; percent-encode the password in the "
            "address: @ is %40, : is %3A, / is %2F, % is %25"
        )
    reason = redacted(str(error).strip().partition("\n")[0])
    return StoreError(f"the database at {address} can't be opened: {reason}")


def stored_revision(uri: str) -> str | None:
    """Return the schema's revision of the MLflow store in a database; None if the database is empty.

    Raises StoreError if it can't be opened, or holds something else.
    """
    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            revision = (
                connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
                if "alembic_version" in tables
                else None
            )
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise cannot_open(uri, error) from None
    if tables and revision is None:
        raise StoreError(
            f"the database at {without_passwords(uri)} is not an MLflow store: name another with --tracking-uri"
        )
    return None if revision is None else str(revision)


def schema_revision() -> tuple[str, set[str]]:
    """Return the revision that the installed MLflow writes, and all revisions that it can read."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    return str(scripts.get_current_head()), {script.revision for script in scripts.walk_revisions()}


def check_revision(uri: str, revision: str) -> None:
    """Raise StoreError if another version than the installed MLflow made the store in a database.

    MLflow refuses a newer version's store. It may upgrade an older version's without asking, and then the older MLflow
    can't open it any more.
    """
    head, readable = schema_revision()
    if revision == head:
        return
    address = without_passwords(uri)
    remedy = (
        f"back it up and run `mlflow db upgrade {address}`"
        if revision in readable
        else "install the MLflow that made it, or name another store with --tracking-uri"
    )
    raise StoreError(
        f"the store at {address} was made by another MLflow version: its schema is {revision}, "
        f"while MLflow {mlflow.__version__} uses {head}; {remedy}"
    )
