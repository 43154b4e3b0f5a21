"""`ReadOptions`: the keys of the dataset section that say how a file is written."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from experiments.errors import did_you_mean

if TYPE_CHECKING:
    from experiments.data.dataset_spec import DatasetSpec

CSV_KEYS = ("separator", "decimal", "thousands", "encoding")
THOUSANDS = (",", ".", "'", "_", " ")
PARQUET_SUFFIXES = (".parquet", ".pq")

_SEPARATOR_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_COMMON_ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "cp1251", "cp1252", "latin-1")


@dataclass(frozen=True)
class ReadOptions:
    """The keys of the dataset section that say how to read a file. None: detect it from the file.

    separator: between the fields of a CSV.
    decimal, thousands: the signs in its numbers.
    encoding: of its text, by Python's name.
    na_values: words that mean an empty cell.
    words: columns of text whose cells stay words, even if all are numbers or booleans.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    na_values: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def read_options(spec: DatasetSpec) -> ReadOptions:
    """Return the read options of a dataset section."""
    return ReadOptions(spec.separator, spec.decimal, spec.thousands, spec.encoding, tuple(spec.na_values or ()))


def is_parquet(path: PurePath) -> bool:
    """Return whether a file is Parquet, by its suffix. All others are read as CSV."""
    return path.suffix.lower() in PARQUET_SUFFIXES


def checked_separator(value: str | None) -> str | None:
    """Return one character, also for the words `tab`, `comma`, `semicolon` and `space`. Raises ValueError."""
    if value is None:
        return None
    character = _SEPARATOR_WORDS.get(value.lower(), value)
    if len(character) != 1 or character.isalnum() or character in "\"'.+-\r\n\0":
        raise ValueError(f"should be one character such as ',' or ';', or the word tab, not {value!r}")
    return character


def checked_thousands(value: str | None) -> str | None:
    """Return a sign between thousands, also for the words `comma` and `space`. Raises ValueError."""
    if value is None:
        return None
    character = _SEPARATOR_WORDS.get(value.lower(), value)
    if character not in THOUSANDS:
        raise ValueError(f"should be one of {' '.join(THOUSANDS)} or the word space, not {value!r}")
    return character


def checked_encoding(value: str | None) -> str | None:
    """Return the encoding. Raises ValueError if Python has no text encoding of that name."""
    if value is None:
        return None
    try:
        codecs.lookup(value)
        "".encode(value)  # codecs between bytes, such as base64, fail here
    except (LookupError, ValueError):
        raise ValueError(f"no encoding is called {value!r}{did_you_mean(value, _COMMON_ENCODINGS)}") from None
    return value


def checked_na_values(value: Any) -> Any:
    """Return a list of words, from one word or number or a list of them. Raises ValueError."""
    if value is None:
        return None
    words = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not words:
        raise ValueError("is an empty list; leave it out, or name a word such as NA")
    for word in words:
        if isinstance(word, bool) or not isinstance(word, str | int | float):
            raise ValueError(f"should hold words and numbers; write {word!r} in quotes, as in the file")
    return [str(word).strip() for word in words]


def check_keys_fit(spec: DatasetSpec) -> None:
    """Raise ValueError for a read option that does not fit the data set."""
    csv_keys = [key for key in CSV_KEYS if getattr(spec, key) is not None]
    keys = csv_keys + (["na_values"] if spec.na_values is not None else [])
    if keys and spec.name is not None:
        raise ValueError(f"{keys[0]} applies only to files (path), and a built-in data set is none: remove it")
    files = [path for path in (spec.path, spec.validation, spec.test) if path is not None]
    if csv_keys and files and all(is_parquet(PurePath(path)) for path in files):
        raise ValueError(f"{csv_keys[0]} belongs to a CSV file; {files[0]} is Parquet; leave it out")
    if spec.decimal is not None and spec.decimal == spec.thousands:
        raise ValueError(f"decimal and thousands are both {spec.decimal!r}; write different signs")
