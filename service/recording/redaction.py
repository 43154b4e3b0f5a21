"""Remove passwords from addresses and messages. Commands import this, so it imports nothing slow."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from urllib.parse import unquote

_HIDDEN = "***"
_SHORTEST = 4  # shorter secrets occur in ordinary words
_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD")

# up to the last @: a password that is not encoded may hold an @, a colon or a slash
_USER = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/@?#]*):(?P<password>\S*)@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<name>[?&;](?:\w*password|passwd|pwd|token|odbc_connect)=)(?P<password>[^\s&#'\"]*)", re.IGNORECASE
)

_SIGNS = re.compile(r"[@:/?#\[\]]")

_secrets: set[str] = set()


def without_passwords(text: str) -> str:
    """Return the text with `***` for the password of every address in it."""
    hidden = _USER.sub(rf"\g<scheme>\g<user>:{_HIDDEN}@", text)
    return _QUERY.sub(rf"\g<name>{_HIDDEN}", hidden)


def remember(uri: str) -> None:
    """Let `redacted` know the password of this address, percent-encoded and decoded."""
    for match in (*_USER.finditer(uri), *_QUERY.finditer(uri)):
        _secrets.update({match["password"], unquote(match["password"])})
        _secrets.update(_SIGNS.split(match["password"]))  # an address is split there if its password is not encoded


def redacted(text: str) -> str:
    """Return a library's message without passwords: of addresses, remembered ones, and those of MLflow's variables."""
    hidden = without_passwords(text)
    for secret in sorted({*_secrets, *_from_environment()}, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            hidden = hidden.replace(secret, _HIDDEN)
    return hidden


def without_user(uri: str) -> str:
    """Return the address without user and password, for links."""
    bare = _USER.sub(r"\g<scheme>", uri)
    return re.sub(r"(?<=://)[^\s/?#@]*@", "", bare)


def tracking_option(uri: str | None) -> str:
    """Return the command's option that opens the store at `uri`, with `***` for its password; empty for None."""
    return f" --tracking-uri {shlex.quote(without_passwords(uri))}" if uri else ""


def _from_environment() -> Iterator[str]:
    return (os.environ[name] for name in _VARIABLES if name in os.environ)
