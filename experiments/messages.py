"""pydantic's messages about values, in our words."""

from __future__ import annotations

from typing import Any

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
