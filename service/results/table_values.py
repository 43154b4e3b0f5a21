"""A hyperparameter's value in the trials' table and in MLflow. Workers import this, so it imports nothing slow."""

from __future__ import annotations

from typing import Any


def cell_value(value: Any) -> Any:
    """Return a hyperparameter's value as the table has it."""
    return as_text(value) if isinstance(value, tuple) else value


def as_text(value: Any) -> str:
    """Return a hyperparameter's value as MLflow has it: text. None, for one that is left out, is `null`."""
    return str(list(value)) if isinstance(value, tuple) else "null" if value is None else str(value)
