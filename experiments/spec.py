"""The sweep file: its schema, its defaults, every check and its message."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    create_model,
    field_validator,
)

from engine import PartError, Parts
from experiments.axis import MAX_TRIALS, Axis, parse_axis
from experiments.data.dataset_spec import DatasetSpec, Section
from experiments.errors import SpecError, nearest
from experiments.hyperparameters import HYPERPARAMETERS, section_fields
from experiments.source import KeyPath, Source, override, read_yaml

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
"""Words for pydantic's kinds of mistakes that name Python's types."""

_NO_MAPPING = ("model_type", "model_attributes_type", "dict_type")

MAX_TOP = 100_000
"""Runs that `record: {runs: {top: N}}` may ask for."""

MAX_LISTED = 5
"""Mistakes that one message names at most."""


ModelSpec: type[Section] = create_model("ModelSpec", __base__=Section, **section_fields("model"))
"""The network's hyperparameters."""


@dataclass(frozen=True)
class TopRuns:
    """Runs for the `top` best trials alone."""

    top: int


class RecordSpec(Section):
    """What of each trial goes into MLflow."""

    runs: Literal["all", "summary"] | TopRuns = Field(
        default="all",
        description="a run for every trial, for the N best alone {top: N}, or for none; trials.parquet has every trial",
    )
    weights: Literal["artifact", "none"] = Field(
        default="artifact", description="final weights as final_weights.json of each run, or not at all"
    )
    points: int = Field(
        default=25, description="points a curve, spread over the steps, first and last included", ge=2, le=1000
    )
    curves: Literal["file", "none"] = Field(
        default="file", description="every trial's curves in Parquet files of the sweep's run, for its report, or not"
    )
    gradients: Literal["norm", "tensor", "each"] = Field(
        default="tensor",
        description="the norm of the whole gradient, of each tensor's too, or each weight's gradient as well",
    )
    health: Literal["none", "total", "tensor"] = Field(
        default="total",
        description="the share of dead units and the update-to-weight ratio, of each layer and tensor too, or neither",
    )

    @field_validator("runs", mode="plain")
    @classmethod
    def _runs(cls, value: Any) -> Any:
        if value in ("all", "summary"):
            return value
        if isinstance(value, Mapping) and list(value) == ["top"]:
            top = value["top"]
            if isinstance(top, int) and not isinstance(top, bool) and 1 <= top <= MAX_TOP:
                return TopRuns(top)
        raise ValueError(f"is all, summary, or {{top: N}} with N from 1 to {MAX_TOP:,}, not {value!r}")


class Spec(Section):
    """A sweep: a data set, a model, how it is trained, and the axes of the grid.

    A checked spec has the fields of `HYPERPARAMETERS` besides, each None while it is left out.
    """

    name: str
    description: str | None = None
    parts: str | None = Field(
        default=None,
        description="a Python file of one's own activations, losses, initialisers, from this file's folder",
    )
    dataset: DatasetSpec
    model: Section = ModelSpec()
    grid: dict[str, Any] = Field(default_factory=dict, description="hyperparameter -> axis; their product is the sweep")
    record: RecordSpec = RecordSpec()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "may hold the letters A to Z and a to z, digits, and the signs . _ -; it begins with a letter or digit "
                f"and has at most 100 characters; not {name!r}"
            )
        return name


FullSpec: type[Spec] = create_model("FullSpec", __base__=Spec, model=(ModelSpec, ModelSpec()), **section_fields(""))
"""The schema of a whole sweep file."""


@dataclass(frozen=True)
class Sweepable:
    """A checked spec: `fixed` holds what was given outside the grid, `axes` the values of each swept one, in order."""

    spec: Spec
    source: Source
    fixed: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    parts: Parts = field(default_factory=Parts)

    def refuse(self, hyperparameter: str, message: str) -> SpecError:
        """A SpecError placed where a hyperparameter, swept or fixed, was given."""
        section = HYPERPARAMETERS[hyperparameter].section
        swept: KeyPath = ("grid", hyperparameter)
        path = swept if hyperparameter in self.axes else ((section, hyperparameter) if section else (hyperparameter,))
        return SpecError(f"{self.source.place(path)}: {'.'.join(map(str, path))}: {message}")


def ready_sweeps() -> dict[str, Path]:
    """Name -> file of the sweeps that come with gradgrid."""
    folder = Path(str(resources.files("experiments")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_spec(
    spec: str | Path | Mapping[str, Any],
    assignments: tuple[str, ...] = (),
    *,
    frame: pd.DataFrame | None = None,
    target: str | None = None,
) -> Sweepable:
    """Read a sweep file, a ready sweep's name or a mapping, apply `key=value` assignments, and check all of it.

    frame: the data, where it comes from Python; it takes the place of a ready sweep's. target: its column to be
    predicted, where the spec does not name it.
    Raises SpecError naming file, line, what is wrong and what would be right.
    """
    source = _source(spec)
    if frame is not None:
        source = _with_frame(source, frame, target, is_ready=_is_ready(spec))
    if assignments:
        source = override(source, assignments)
    return check_spec(source)


def _source(spec: str | Path | Mapping[str, Any]) -> Source:
    if isinstance(spec, Mapping):
        return Source(dict(spec), "spec", Path.cwd())
    path = Path(spec)
    ready = ready_sweeps()
    if _is_ready(spec):
        path = ready[str(spec)]
    elif not path.exists():
        raise SpecError(f"{spec}: there is no such file, and no ready sweep of that name{nearest(spec, ready)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{spec}: the file can't be read: {error}") from None
    return read_yaml(text, path.name, path.absolute().parent)


def _is_ready(spec: str | Path | Mapping[str, Any]) -> bool:
    """Whether it names a ready sweep, and no file."""
    return not isinstance(spec, Mapping) and not Path(spec).exists() and str(spec) in ready_sweeps()


def _with_frame(source: Source, frame: pd.DataFrame, target: str | None, *, is_ready: bool) -> Source:
    """The source with its data from Python: its dataset section holds only what goes with that."""
    data = dict(source.data) if isinstance(source.data, dict) else {}
    given = {} if is_ready else data.get("dataset") or {}
    if not isinstance(given, dict):
        raise SpecError(f"{source.place(('dataset',))}: dataset should be a mapping of keys to values, not {given!r}")
    if target is not None and given.get("target", target) != target:
        raise SpecError(
            f"{source.place(('dataset', 'target'))}: dataset.target is {given['target']!r}, but target={target!r} was "
            "given with the data; leave one of them out"
        )
    section = given if target is None else {**given, "target": target}
    return replace(source, data={**data, "dataset": section}, frame=lambda: frame)


def check_spec(source: Source) -> Sweepable:
    """Check a source against the schema and every axis against its hyperparameter."""
    if not isinstance(source.data, dict):
        raise SpecError(f"{source.place(())}: a sweep file is a mapping that begins with `name:`, not {source.data!r}")
    parts = _parts(source)
    try:
        spec = FullSpec.model_validate(source.data, context={"parts": parts, "given": source.frame is not None})
    except ValidationError as error:
        raise SpecError("\n".join(_messages(error, source))) from None
    axes = _checked_axes(spec.grid, source, parts)
    given = {**spec.model.model_dump(), **spec.model_dump(include=set(HYPERPARAMETERS))}
    fixed = {name: given[name] for name in HYPERPARAMETERS if given.get(name) is not None}
    for name in axes:
        if name in fixed:
            raise SpecError(
                f"{source.place(('grid', name))}: {name} is given outside the grid as well; keep one of them"
            )
    return Sweepable(spec, source, fixed, axes, parts)


def _parts(source: Source) -> Parts:
    """One's own parts: the file that the spec names, or its text where that is known already."""
    name, place = source.data.get("parts"), source.place(("parts",))
    if not isinstance(name, str):
        return Parts()
    try:
        text = (source.folder / name).read_text(encoding="utf-8") if source.parts is None else source.parts
        return Parts(text, Path(name).name)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{place}: parts: {name} can't be read: {error}") from None
    except PartError as error:
        raise SpecError(f"{place}: parts: {error}") from error


def _checked_axes(grid: Mapping[str, Any], source: Source, parts: Parts) -> dict[str, Sequence[Any]]:
    axes: dict[str, Axis] = {}
    for name, raw in grid.items():
        place = source.place(("grid", name))
        if name not in HYPERPARAMETERS:
            raise SpecError(f"{place}: no hyperparameter is called {name!r}{nearest(name, HYPERPARAMETERS)}")
        try:
            axes[name] = parse_axis(raw)
        except ValueError as error:
            raise SpecError(f"{place}: grid.{name}: {error}") from None
    size = math.prod(axis.length for axis in axes.values())
    if size > MAX_TRIALS:
        factors = " x ".join(f"{name} {axis.length:,}" for name, axis in axes.items())
        raise SpecError(
            f"{source.place(('grid',))}: the grid has {size:,} trials ({factors}); "
            f"at most {MAX_TRIALS:,} are run in one sweep: shorten an axis or split the sweep"
        )
    return {name: _checked_values(name, axis, source, parts) for name, axis in axes.items()}


def _checked_values(name: str, axis: Axis, source: Source, parts: Parts) -> list[Any]:
    row = HYPERPARAMETERS[name]
    values: list[Any] = []
    seen: set[Any] = set()
    for index, raw in enumerate(axis.make()):
        place = source.place(("grid", name, index))
        try:
            value = row.checked(raw, parts)
        except ValidationError as error:
            raise SpecError(_value_message(error.errors(include_url=False)[0], place, f"grid.{name}")) from None
        if value in seen:
            raise SpecError(f"{place}: grid.{name}: {raw!r} stands there twice; each value makes trials of its own")
        seen.add(value)
        values.append(value)
    return values


def _messages(error: ValidationError, source: Source) -> list[str]:
    mistakes = error.errors(include_url=False)
    lines = [_message(mistake, source) for mistake in mistakes[:MAX_LISTED]]
    return lines if len(mistakes) <= MAX_LISTED else [*lines, f"and {len(mistakes) - MAX_LISTED} more"]


def _message(mistake: Any, source: Source) -> str:
    path: KeyPath = mistake["loc"]
    place, subject = source.place(path), ".".join(map(str, path)) or "the file"
    if mistake["type"] == "extra_forbidden":
        section = _SECTIONS.get(path[:-1], FullSpec)
        return f"{place}: unknown key {path[-1]!r}{_where_it_belongs(path, section)}"
    return _value_message(mistake, place, subject)


def _value_message(mistake: Any, place: str, subject: str) -> str:
    """Return pydantic's message about a value in our form."""
    kind, value = mistake["type"], mistake["input"]
    if kind == "missing":
        return f"{place}: {subject} is missing"
    if kind == "value_error":
        return f"{place}: {subject}: {mistake['ctx']['error']}"
    if kind in _NO_MAPPING:
        return f"{place}: {subject} should be a mapping of keys to values, not {value!r}"
    message = _TYPES.get(kind) or mistake["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    plain = "; give it as Python's own numbers: call its .tolist()" if hasattr(value, "tolist") else ""
    return f"{place}: {subject} should be {message[0].lower()}{message[1:]}, not {value!r}{plain}"


_SECTIONS: dict[KeyPath, type[Section]] = {
    (): FullSpec,
    ("dataset",): DatasetSpec,
    ("model",): ModelSpec,
    ("record",): RecordSpec,
}


def _where_it_belongs(path: KeyPath, section: type[Section]) -> str:
    """The section that knows the key, or the nearest key of this one."""
    for known, other in _SECTIONS.items():
        if path[-1] in other.model_fields and known != path[:-1]:
            return f"; it belongs {f'under {known[0]}:' if known else 'at the top of the file'}"
    return nearest(path[-1], section.model_fields)
