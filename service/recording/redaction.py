"""Addresses and messages without the passwords in them. Imports nothing heavy, for commands use it too."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from urllib.parse import unquote

_HIDDEN = "***"
_SHORTEST = 4  # a shorter secret would be found in half the words of a message
_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD")

# up to the last @: a password that is not encoded may hold an @, a colon or a slash
_USER = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/@?#]*):(?P<password>\S*)@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<name>[?&;](?:\w*password|passwd|pwd|token|odbc_connect)=)(?P<password>[^\s&#'\"]*)", re.IGNORECASE
)

_SIGNS = re.compile(r"[@:/?#\[\]]")

_known: set[str] = set()


def without_passwords(text: str) -> str:
    """The text with `***` for the password of every address in it."""
    hidden = _USER.sub(rf"\g<scheme>\g<user>:{_HIDDEN}@", text)
    return _QUERY.sub(rf"\g<name>{_HIDDEN}", hidden)


def remember(uri: str) -> None:
    """Let `redacted` know the password of this address, as it is written and as it is meant."""
    for found in (*_USER.finditer(uri), *_QUERY.finditer(uri)):
        _known.update({found["password"], unquote(found["password"])})
        _known.update(_SIGNS.split(found["password"]))  # a password that is not encoded is taken apart there


def redacted(text: str) -> str:
    """A library's message without passwords: those in addresses, those remembered and those of MLflow's variables."""
    hidden = without_passwords(text)
    for secret in sorted({*_known, *_from_environment()}, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            hidden = hidden.replace(secret, _HIDDEN)
    return hidden


def without_user(uri: str) -> str:
    """The address without user and password, for links."""
    bare = _USER.sub(r"\g<scheme>", uri)
    return re.sub(r"(?<=://)[^\s/?#@]*@", "", bare)


def tracking_option(uri: str | None) -> str:
    """What a command line says to open the store at `uri` again, with `***` for its password; nothing for None."""
    return f" --tracking-uri {shlex.quote(without_passwords(uri))}" if uri else ""


def _from_environment() -> Iterator[str]:
    return (os.environ[name] for name in _VARIABLES if name in os.environ)
