"""Keep how fast this user's stores and workers were, for the estimates of later sweeps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from service.recording.redaction import without_passwords


@dataclass(frozen=True)
class SpeedFactors:
    """Measured seconds divided by the estimate's.

    training: of training on all workers.
    recording: of recording with all recorders that the store can use.
    both: of a sweep that does both at once, divided by the sum of the two measured times. 0.5 is the least: neither
        waits for the other.
    """

    training: float
    recording: float
    both: float


def speed_file() -> Path:
    """Return the file of the measurements, in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradgrid" / "speed.json"


def keep_factors(uri: str, address: str | None, factors: SpeedFactors) -> None:
    """Write the factors of a store and of the workers at an address. Raises OSError if the file can't be written."""
    file = speed_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps({**_read(file), _key(uri, address): asdict(factors)}, indent=2), encoding="utf-8")
    new.replace(file)


def kept_factors(uri: str, address: str | None) -> SpeedFactors | None:
    """Return the factors that were measured for a store and the workers at an address; None if none were."""
    with suppress(OSError, RuntimeError, KeyError, TypeError):  # RuntimeError: no home; TypeError: other factors
        return SpeedFactors(**_read(speed_file())[_key(uri, address)])
    return None


def _read(file: Path) -> Mapping[str, Mapping[str, float]]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _key(uri: str, address: str | None) -> str:
    return f"{without_passwords(uri)} {address or os.environ.get('RAY_ADDRESS') or 'local'}"
