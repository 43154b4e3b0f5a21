"""pydantic's messages about a sweep file, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from experiments.errors import KeyMistakeError, did_you_mean
from experiments.key_names import key_hint, method_hint, section_hint
from experiments.peer_names import KEYS, plain
from experiments.source import KeyPath, SpecSource

MAX_LISTED = 5
"""Largest number of mistakes in one message."""

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
"""Our words for pydantic errors that would name a Python type."""

_NO_MAPPING = ("model_type", "model_attributes_type", "dict_type")


def value_message(mistake: Any, place: str, subject: str) -> str:
    """Return the message about a wrong value.

    mistake: pydantic's details of the error.
    place: file and line.
    subject: the key.
    """
    kind, value = mistake["type"], mistake["input"]
    if kind == "missing":
        return f"{place}: {subject} is missing"
    if kind == "value_error":
        return f"{place}: {subject}: {mistake['ctx']['error']}"
    if kind in _NO_MAPPING:
        return f"{place}: {subject} should be a mapping of keys to values, not {value!r}"
    message = _TYPES.get(kind) or mistake["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    plain = "; convert it to Python numbers with its .tolist()" if hasattr(value, "tolist") else ""
    return f"{place}: {subject} should be {message[0].lower()}{message[1:]}, not {value!r}{plain}"


def schema_messages(
    error: ValidationError, source: SpecSource, sections: Mapping[KeyPath, type[BaseModel]]
) -> list[str]:
    """Return a line for each mistake in a sweep file, at most five.

    source: the sweep file, for the lines of its keys.
    sections: path -> schema of each section; that of the whole file has an empty path.
    """
    mistakes = error.errors(include_url=False)
    lines = [_message(mistake, source, sections) for mistake in mistakes[:MAX_LISTED]]
    return lines if len(mistakes) <= MAX_LISTED else [*lines, f"and {len(mistakes) - MAX_LISTED} more"]


def _message(mistake: Any, source: SpecSource, sections: Mapping[KeyPath, type[BaseModel]]) -> str:
    contradicted = mistake.get("ctx", {}).get("error")
    path: KeyPath = (*mistake["loc"], *([contradicted.key] if isinstance(contradicted, KeyMistakeError) else []))
    place, subject = source.location(path), ".".join(map(str, path)) or "the file"
    value, data = mistake["input"], source.data
    if mistake["type"] == "extra_forbidden":
        return f"{place}: unknown key {path[-1]!r}{_where_it_belongs(path, value, data, sections)}"
    message = value_message(mistake, place, subject)
    if mistake["type"] in _NO_MAPPING:
        return f"{message}{section_hint(path, value, data, sections)}"
    return f"{message}{method_hint(value, data, sections)}" if path == ("search", "method") else message


def _where_it_belongs(path: KeyPath, value: Any, data: Any, sections: Mapping[KeyPath, type[BaseModel]]) -> str:
    """Return the end of the message: the line to write, the section that has the key, or the nearest key."""
    is_elsewhere = [where for where, other in sections.items() if path[-1] in other.model_fields and where != path[:-1]]
    is_peer = path == ("method",) or plain(path[-1]) in KEYS.get(str(path[0]) if len(path) > 1 else "", {})
    hint = key_hint(path, value, data, sections) if is_peer or not is_elsewhere else ""
    if hint or not is_elsewhere:
        return hint or did_you_mean(path[-1], sections.get(path[:-1], sections[()]).model_fields)
    return f"; it belongs {f'under {is_elsewhere[0][0]}:' if is_elsewhere[0] else 'at the top of the file'}"
