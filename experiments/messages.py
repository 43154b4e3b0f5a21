"""pydantic's messages about a sweep file, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from experiments.errors import KeyMistakeError, did_you_mean
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
    if mistake["type"] == "extra_forbidden":
        return f"{place}: unknown key {path[-1]!r}{_where_it_belongs(path, sections)}"
    return value_message(mistake, place, subject)


_OF_PEERS = {
    "min_resources": "first", "min_resource": "first", "grace_period": "first", "reduction_factor": "factor",
    "eta": "factor", "monitor": "metric", "n_trials": "trials", "num_samples": "trials", "sampler": "method",
}  # fmt: skip
"""Names of scikit-learn, Optuna, Ray Tune and Keras -> the key of the sweep file."""


def _where_it_belongs(path: KeyPath, sections: Mapping[KeyPath, type[BaseModel]]) -> str:
    """Return the end of the message: the section that has the key, or the nearest key of this section."""
    if own := _OF_PEERS.get(str(path[-1])):
        return f"; gradgrid calls it {own}"
    for location, other in sections.items():
        if path[-1] in other.model_fields and location != path[:-1]:
            return f"; it belongs {f'under {location[0]}:' if location else 'at the top of the file'}"
    return did_you_mean(path[-1], sections.get(path[:-1], sections[()]).model_fields)
