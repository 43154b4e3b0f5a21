"""Which of a history's curves are recorded."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.spec import RecordSpec


def kept_curves(names: Iterable[str], record: RecordSpec) -> list[str]:
    """Those of the curves that are recorded."""
    return [name for name in names if _is_kept(name, record)]


def _is_kept(name: str, record: RecordSpec) -> bool:
    kind, _, part = name.partition(".")
    if kind in ("update_ratio", "dead_units"):
        return record.health == "tensor" or (record.health == "total" and not part)
    return not part or record.gradients != "norm"
