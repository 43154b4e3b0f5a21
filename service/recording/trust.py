"""Trust in the Python files that a store holds: a sweep's file of parts is code, and runs with the user's rights.

A file may run if the user has run it before, or if the user's own file on this machine still has the same text. Else
the user is asked, or must say so. Files that were run are remembered by their SHA-256.
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
    """A user's answer for every file that a store holds.

    everything: all of them may run.
    ask: asks the user, given a question and the file's text; None where nobody can answer.
    """

    everything: bool = False
    ask: Callable[[str, str], bool] | None = None

    def check(self, text: str, name: str, owner: str, own_file: Path) -> None:
        """Return if a file may run; raise UntrustedPartsError if not.

        text: the file's. name: what it is called. owner: what brings it along, for messages.
        own_file: where the user's own copy would be.
        """
        if self.everything or is_remembered(text) or _is_own(own_file, text):
            return
        if self.ask is not None and self.ask(f"{owner} brings its own Python file, {name!r}. Run it here?", text):
            remember_parts(text)
            return
        raise UntrustedPartsError(
            f"{owner} brings its own Python file, {name!r}, which you have not run before. It is code and would run "
            "with your rights: read it (parts.py among the artifacts of the sweep's run), then give --trust-parts, or "
            "trust_parts=True in Python"
        )


def remember_parts(text: str) -> None:
    """Let a file run from now on, because the user runs it; without effect where nothing can be written."""
    path = _file()
    if not text or path is None or is_remembered(text):
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{_digest(text)}\n")


def is_remembered(text: str) -> bool:
    """Whether the user has run a file of this text."""
    path = _file()
    return path is not None and _belongs_to_user(path) and _digest(text) in _read(path).split()


def _file() -> Path | None:
    """The file of digests: GRADGRID_TRUSTED_PARTS, else in the user's folder for gradgrid; None where there is none."""
    path = Path(os.environ.get(_VARIABLE) or Path(click.get_app_dir("gradgrid")) / "trusted_parts")
    return path if path.is_absolute() else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_own(path: Path, text: str) -> bool:
    """Whether a file of this user has this text. The path comes from the store, so it must not depend on the folder."""
    return path.is_absolute() and _belongs_to_user(path) and _read(path) == text


def _belongs_to_user(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    return False


def _read(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""
