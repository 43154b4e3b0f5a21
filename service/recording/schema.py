"""MLflow's tables in a database: which MLflow made them, and whether runs can be written into them in bulk."""

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
}  # of text, at least
_CHECKED = {  # the columns that MLflow restricts -> the words written there
    "source_type": {"UNKNOWN"},
    "lifecycle_stage": {"active"},
    "status": {"FINISHED", "FAILED"},
    "is_nan": set(),
}


def shape_difference(uri: str) -> str:
    """Why runs can't be written in bulk into this database's tables, in words; empty where they can.

    The tables that are written are compared with those of a known MLflow, column by column. The schema's revision does
    not matter: most revisions are about other tables. Raises StoreError where the database can't be opened.
    """
    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            inspector = sqlalchemy.inspect(connection)
            tables = set(inspector.get_table_names())
            missing = [f"it has no table {name}" for name in _WRITTEN if name not in tables]
            found = missing or [why for name, table in _WRITTEN.items() for why in _differences(inspector, name, table)]
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise cannot_open(uri, error) from None
    return found[0] if found else ""


def _differences(inspector: sqlalchemy.Inspector, name: str, table: _Table) -> Iterator[str]:
    columns = {column["name"]: column for column in inspector.get_columns(name)}
    for column, kind in table.columns.items():
        if column not in columns:
            yield f"its table {name} has no column {column}"
        elif not _takes(columns[column]["type"], kind, _WIDTHS.get(column, 0)):
            yield f"the column {column} of its table {name} has the type {columns[column]['type']}"
    for column in columns.keys() - table.columns.keys():
        if not _fills_itself(columns[column]):
            yield f"its table {name} has a column {column} that must be filled, which is not known here"
    if set(inspector.get_pk_constraint(name)["constrained_columns"]) != table.key:
        yield f"its table {name} has another primary key"
    unique: list[Any] = [
        *inspector.get_unique_constraints(name),
        *(i for i in inspector.get_indexes(name) if i["unique"]),
    ]
    if any(not table.key <= set(index["column_names"]) for index in unique):
        yield f"its table {name} has a unique index that is not known here"
    for check in inspector.get_check_constraints(name):
        if not _allows_ours(check["sqltext"]):
            yield f"its table {name} has a rule that is not known here, {check['sqltext']}"


def _takes(found: types.TypeEngine[Any], kind: type[types.TypeEngine[Any]], width: int) -> bool:
    """Whether a column holds values of a kind; numbers that are too narrow for ours do not count."""
    if isinstance(found, types.SmallInteger) or (isinstance(found, types.Float) and found.precision == 24):
        return False
    if isinstance(found, types.String) and found.length is not None and found.length < width:
        return False
    return isinstance(found, kind)


def _fills_itself(column: Any) -> bool:
    filled = column.get("default") is not None or column.get("computed") or column.get("identity")
    return bool(column["nullable"] or filled)


def _allows_ours(rule: str) -> bool:
    """Whether a CHECK is one of MLflow's own, a list of words for one column, with those that are written."""
    words = set(re.findall(r"'([^']*)'", rule))
    named = set(
        re.findall(r"[a-z_]+", re.sub(r"'[^']*'|::[a-z ]+|\b(?:in|any|array|or|true|false)\b", " ", rule.lower()))
    )
    return len(named) == 1 and all(column in _CHECKED and words >= _CHECKED[column] for column in named)


def cannot_open(uri: str, error: Exception) -> StoreError:
    """The error of a database that can't be opened."""
    place = without_passwords(uri)
    if isinstance(error, (ValueError, sqlalchemy.exc.ArgumentError)) and "@" in uri:  # it may quote half a password
        return StoreError(
            f"the database at {place} can't be opened: its address can't be read; a password is percent-encoded in an "
            "address: @ is %40, : is %3A, / is %2F, % is %25"
        )
    return StoreError(f"the database at {place} can't be opened: {redacted(str(error).strip().partition(chr(10))[0])}")


def stored_revision(uri: str) -> str | None:
    """The schema's revision of the MLflow store in a database; None where the database is empty.

    Raises StoreError where it can't be opened, or holds something else.
    """
    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            found = (
                connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
                if "alembic_version" in tables
                else None
            )
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise cannot_open(uri, error) from None
    if tables and found is None:
        raise StoreError(
            f"the database at {without_passwords(uri)} is no MLflow store; name another with --tracking-uri"
        )
    return None if found is None else str(found)


def schema_revision() -> tuple[str, set[str]]:
    """The revision that the installed MLflow writes, and every one that it knows."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    scripts = alembic.script.ScriptDirectory.from_config(config)
    return str(scripts.get_current_head()), {script.revision for script in scripts.walk_revisions()}


def check_revision(uri: str, found: str) -> None:
    """Raise StoreError where the store in a database was made by another MLflow than the one that is installed.

    MLflow itself refuses a newer one's store; an older one's it may upgrade without asking, and then the older MLflow
    can't open it any more.
    """
    head, known = schema_revision()
    if found == head:
        return
    place = without_passwords(uri)
    remedy = (
        f"back it up and run `mlflow db upgrade {place}`"
        if found in known
        else "install the MLflow that made it, or name another store with --tracking-uri"
    )
    raise StoreError(
        f"the store at {place} was made by another MLflow version: its schema is {found}, "
        f"while MLflow {mlflow.__version__} uses {head}; {remedy}"
    )
