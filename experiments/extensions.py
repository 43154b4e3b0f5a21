"""Extensions of a sweep: assignments that add trials to those of its sweep file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.errors import SpecError
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.source import SpecSource, override

KEY = "extensions"
"""The key of a sweep file under which a recorded sweep has its extensions."""

_KEPT = ("name", "description", "parts", "dataset", "record", KEY)
"""The sections that an extension can't change."""


def extended_source(source: SpecSource, extensions: Sequence[Sequence[str]]) -> SpecSource:
    """Return the sweep file after some extensions, one after the other.

    extensions: the assignments of each, `key=value` as for `--set`.
    Raises SpecError for an assignment that can't be applied, or that changes more than which trials there are.
    """
    assignments = tuple(assignment for extension in extensions for assignment in extension)
    for assignment in assignments:
        section = assignment.partition("=")[0].partition(".")[0]
        if section in _KEPT:
            raise SpecError(
                f"--set {assignment}: an extension adds trials to a sweep, and {section} is the same for all of them; "
                "start a new sweep"
            )
    data = override(replace(source, data=without_extensions(source.data)), assignments)
    return replace(data, data=_without_values_of_axes(data.data, assignments))


def _without_values_of_axes(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the data without the values outside the grid of hyperparameters that an extension made axes."""
    grid = data.get("grid", {})
    blocks = [block for block in (grid if isinstance(grid, list) else [grid]) if isinstance(block, dict)]
    axes = [{*block, *(block["zip"] if isinstance(block.get("zip"), dict) else ())} for block in blocks]
    keys = [assignment.partition("=")[0].split(".") for assignment in assignments]
    assigned = {key[-1] for key in keys if key[0] != "grid"}
    dropped = set.intersection(*axes or [set()]) & HYPERPARAMETERS.keys() - assigned
    rest = {name: value for name, value in data.items() if name not in dropped}
    if isinstance(rest.get("model"), dict):
        rest["model"] = {name: value for name, value in rest["model"].items() if name not in dropped}
    return rest


def with_extension(source: SpecSource, assignments: Sequence[str]) -> SpecSource:
    """Return the sweep file with one more extension."""
    extensions = [*source.data.get(KEY, []), list(assignments)]
    return replace(source, data={**source.data, KEY: extensions})


def without_extensions(data: Mapping[str, Any], last: int | None = None) -> dict[str, Any]:
    """Return the data of a sweep file without its extensions, or without the last ones."""
    kept = data.get(KEY, [])[:-last] if last else []
    rest = {name: value for name, value in data.items() if name != KEY}
    return {**rest, KEY: kept} if kept else rest
