"""Profiles: the addresses and credentials of a cluster, under a name in a small file.

[profiles.lab]
jobs_address = "http://127.0.0.1:8265"
tracking_uri = "http://127.0.0.1:5000"
token = "..."
username = "admin"
password = "..."
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import click

from experiments.errors import UserError, did_you_mean

_VARIABLES = {
    "jobs_address": "RAY_API_SERVER_ADDRESS",
    "token": "RAY_AUTH_TOKEN",
    "tracking_uri": "MLFLOW_TRACKING_URI",
    "username": "MLFLOW_TRACKING_USERNAME",
    "password": "MLFLOW_TRACKING_PASSWORD",
    "backend_store_uri": "GRADGRID_BACKEND_STORE_URI",
}


def profiles_file() -> Path:
    """Return the file of profiles: GRADGRID_CONFIG, else config.toml in the user's folder for gradgrid."""
    return Path(os.environ.get("GRADGRID_CONFIG") or Path(click.get_app_dir("gradgrid")) / "config.toml")


def use_profile(name: str) -> None:
    """Set the profile's values as environment variables, except those that are set already.

    Raises UserError if there is no such profile, or if it can't be read.
    """
    path = profiles_file()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8")).get("profiles", {})
    except FileNotFoundError:
        raise UserError(f"there is no {path} to read the profile {name!r} from: docs/cluster.md shows one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if not isinstance(profiles, dict) or name not in profiles:
        raise UserError(f"{path}: no profile is called {name!r}{did_you_mean(name, profiles)}")
    for key, value in profiles[name].items():
        if key not in _VARIABLES or not isinstance(value, str):
            raise UserError(
                f"{path}: profiles.{name}.{key}: not a text that a profile holds{did_you_mean(key, _VARIABLES)}"
            )
        os.environ.setdefault(_VARIABLES[key], value)
