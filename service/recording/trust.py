"""Decide whether a Python file out of a store may run: a sweep's file of parts is code, with the user's rights.

A file may run if the user has run it before, or if the user has a file with the same text on this machine. Otherwise
the user must agree. Files that have run are remembered by their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from experiments.errors import UntrustedPartsError

_VARIABLE = "GRADGRID_TRUSTED_PARTS"


@dataclass(frozen=True)
class Trust:
    """A user's rules for the files that a store holds.

    everything: all of them may run.
    ask: asks the user a question about a file with this text; None if nobody can answer.
    """

    everything: bool = False
    ask: Callable[[str, str], bool] | None = None

    def check(self, text: str, name: str, owner: str, own_file: Path) -> None:
        """Raise UntrustedPartsError if a file may not run.

        text: the file's.
        name: the file's, for messages.
        owner: what contains the file, for messages.
        own_file: the path at which the user may have the same file.
        """
        if self.everything or is_remembered(text) or _is_own(own_file, text):
            return
        if self.ask is not None and self.ask(f"{owner} contains a Python file, {name!r}. Run it here?", text):
            remember_parts(text)
            return
        raise UntrustedPartsError(
            f"{owner} contains a Python file, {name!r}, which you have not run before. It is code that would run with "
            "your rights: read it (parts.py in the artifacts of the sweep's run), then give --trust-parts, or "
            "trust_parts=True in Python"
        )


def remember_parts(text: str) -> None:
    """Let a file with this text run from now on. Does nothing if that can't be written down."""
    path = _file()
    if not text or path is None or is_remembered(text):
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{_digest(text)}\n")


def is_remembered(text: str) -> bool:
    """Return whether the user has run a file with this text."""
    path = _file()
    return path is not None and _belongs_to_user(path) and _digest(text) in _read(path).split()


def _file() -> Path | None:
    """Return the file of digests: GRADGRID_TRUSTED_PARTS, else the one in the user's folder. None if relative."""
    path = Path(os.environ.get(_VARIABLE) or Path(click.get_app_dir("gradgrid")) / "trusted_parts")
    return path if path.is_absolute() else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_own(path: Path, text: str) -> bool:
    """Return whether this user has a file with this text. The path comes from the store, so it must be absolute."""
    return path.is_absolute() and _belongs_to_user(path) and _read(path) == text


def _belongs_to_user(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    return False


def _read(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""
