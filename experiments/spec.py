"""The sweep file: its schema, defaults, checks and messages."""

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
from experiments.axis import MAX_TRIALS, LazyAxis, parse_axis
from experiments.data.dataset_spec import DatasetSpec, Section
from experiments.errors import SpecError, did_you_mean
from experiments.hyperparameters import HYPERPARAMETERS, find_hyperparameter, layer_of, section_fields
from experiments.source import KeyPath, SpecSource, override, read_yaml

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
"""Our words for pydantic errors that would name a Python type."""

_NO_MAPPING = ("model_type", "model_attributes_type", "dict_type")

MAX_TOP = 100_000
"""Largest N of `record: {runs: {top: N}}`."""

MAX_LISTED = 5
"""Largest number of mistakes in one message."""


ModelSpec: type[Section] = create_model("ModelSpec", __base__=Section, **section_fields("model"))
"""The `model` section of a sweep file: the network's hyperparameters."""


@dataclass(frozen=True)
class TopRuns:
    """Record runs only for the `top` best trials."""

    top: int


class RecordSpec(Section):
    """The `record` section of a sweep file: how much of each trial goes into MLflow."""

    runs: Literal["all", "summary"] | TopRuns = Field(
        default="all",
        description="a run for every trial, only for the N best {top: N}, or for none; trials.parquet has every trial",
    )
    weights: Literal["artifact", "none"] = Field(
        default="artifact", description="final weights as final_weights.json of each run, or none"
    )
    points: int = Field(
        default=25, description="points of each curve, spread over the steps, first and last included", ge=2, le=1000
    )
    curves: Literal["file", "none"] = Field(
        default="file", description="every trial's curves in Parquet files of the sweep's run, for its report, or none"
    )
    gradients: Literal["norm", "tensor", "each"] = Field(
        default="tensor",
        description="the norm of the whole gradient; also that of each tensor; also the gradient of each weight",
    )
    health: Literal["none", "total", "tensor"] = Field(
        default="total",
        description="the share of dead units and the update-to-weight ratio; also of each layer and tensor; or neither",
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
        raise ValueError(f"should be all, summary, or {{top: N}} with N from 1 to {MAX_TOP:,}, not {value!r}")


class RefineSpec(Section):
    """The `refine` section of a sweep file: a map that is trained densely only where its cells differ."""

    to: int = Field(description="values of each of the two axes in the end", ge=4, le=4096)
    by: Literal["lost", "outcome"] = Field(
        default="lost", description="what must differ: whether trials exploded or diverged; or their outcome"
    )
    audit: float = Field(
        default=0.01, description="share of the other trials that are trained at the end, to compare", ge=0, le=1
    )


class Spec(Section):
    """A sweep file: a data set, a model, its training, and the axes of the grid.

    `FullSpec` adds a field for each hyperparameter of `HYPERPARAMETERS`. It is None if the file leaves it out.
    """

    name: str
    description: str | None = None
    parts: str | None = Field(
        default=None,
        description="a Python file of custom activations, losses and initialisers, relative to the sweep file",
    )
    dataset: DatasetSpec
    model: Section = ModelSpec()
    grid: dict[str, Any] = Field(default_factory=dict, description="hyperparameter -> axis; their product is the sweep")
    refine: RefineSpec | None = Field(
        default=None, description="train two axes coarsely, then densely only where neighbours differ"
    )
    record: RecordSpec = RecordSpec()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "should have only the letters A to Z and a to z, digits, and the signs . _ -, begin with a letter or "
                f"digit, and have at most 100 characters; not {name!r}"
            )
        return name


FullSpec: type[Spec] = create_model("FullSpec", __base__=Spec, model=(ModelSpec, ModelSpec()), **section_fields(""))
"""The schema of a whole sweep file."""


@dataclass(frozen=True)
class ResolvedSpec:
    """A checked spec with the values of its axes.

    spec: the checked sweep file.
    source: its raw data and line numbers, for messages.
    fixed: hyperparameter -> value, for those given outside the grid.
    axes: hyperparameter -> values, for those of the grid, in the order of the file.
    parts: the custom functions that it may name.
    """

    spec: Spec
    source: SpecSource
    fixed: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    parts: Parts = field(default_factory=Parts)

    def error_at(self, hyperparameter: str, message: str) -> SpecError:
        """Return a SpecError that names the line of a hyperparameter, swept or fixed."""
        row = find_hyperparameter(hyperparameter)
        section = row.section if row else ""
        swept: KeyPath = ("grid", hyperparameter)
        path = swept if hyperparameter in self.axes else ((section, hyperparameter) if section else (hyperparameter,))
        return SpecError(f"{self.source.location(path)}: {'.'.join(map(str, path))}: {message}")


def ready_sweeps() -> dict[str, Path]:
    """Return the sweeps that come with gradgrid, as name -> file."""
    folder = Path(str(resources.files("experiments")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_spec(
    spec: str | Path | Mapping[str, Any],
    assignments: tuple[str, ...] = (),
    *,
    frame: pd.DataFrame | None = None,
    target: str | None = None,
) -> ResolvedSpec:
    """Read and check a sweep file.

    spec: a path, the name of a ready sweep, or a mapping.
    assignments: `key=value` texts that replace values, as `--set` takes them.
    frame: data from Python; it replaces the data of a ready sweep.
    target: the column of `frame` to predict, if the spec does not name it.
    Raises SpecError with the file, the line and the right form.
    """
    source = _source(spec)
    if frame is not None:
        source = _with_frame(source, frame, target, is_ready=_is_ready(spec))
    if assignments:
        source = override(source, assignments)
    return check_spec(source)


def _source(spec: str | Path | Mapping[str, Any]) -> SpecSource:
    if isinstance(spec, Mapping):
        return SpecSource(dict(spec), "spec", Path.cwd())
    path = Path(spec)
    ready = ready_sweeps()
    if _is_ready(spec):
        path = ready[str(spec)]
    elif not path.exists():
        raise SpecError(f"{spec}: neither a file nor a ready sweep has this name{did_you_mean(spec, ready)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{spec}: the file can't be read: {error}") from None
    return read_yaml(text, path.name, path.absolute().parent)


def _is_ready(spec: str | Path | Mapping[str, Any]) -> bool:
    """Return whether `spec` names a ready sweep and not a file."""
    return not isinstance(spec, Mapping) and not Path(spec).exists() and str(spec) in ready_sweeps()


def _with_frame(source: SpecSource, frame: pd.DataFrame, target: str | None, *, is_ready: bool) -> SpecSource:
    """Return the source with data from Python. A ready sweep's dataset section is dropped: it names other data."""
    data = dict(source.data) if isinstance(source.data, dict) else {}
    section = {} if is_ready else data.get("dataset") or {}
    if not isinstance(section, dict):
        place = source.location(("dataset",))
        raise SpecError(f"{place}: dataset should be a mapping of keys to values, not {section!r}")
    if target is not None and section.get("target", target) != target:
        raise SpecError(
            f"{source.location(('dataset', 'target'))}: dataset.target is {section['target']!r}, but the data came "
            f"with target={target!r}; give only one of them"
        )
    if target is not None:
        section = {**section, "target": target}
    return replace(source, data={**data, "dataset": section}, frame=lambda: frame)


def check_spec(source: SpecSource) -> ResolvedSpec:
    """Check a source against the schema, and every axis against its hyperparameter. Raises SpecError."""
    if not isinstance(source.data, dict):
        raise SpecError(
            f"{source.location(())}: a sweep file should be a mapping that begins with `name:`, not {source.data!r}"
        )
    parts = _parts(source)
    data, of_layers = _without_layers(source.data)
    try:
        spec = FullSpec.model_validate(data, context={"parts": parts, "given": source.frame is not None})
    except ValidationError as error:
        raise SpecError("\n".join(_messages(error, source))) from None
    axes = _checked_axes(refined_grid(spec, source), source, parts)
    values = {**spec.model.model_dump(), **spec.model_dump(include=set(HYPERPARAMETERS))}
    fixed = {name: values[name] for name in HYPERPARAMETERS if values.get(name) is not None}
    for path, raw in of_layers.items():
        fixed[path[-1]] = _checked_value(path[-1], raw, source.location(path), ".".join(path), parts)
    for name in axes:
        if name in fixed:
            raise SpecError(
                f"{source.location(('grid', name))}: {name} is in the grid and outside it; remove one of them"
            )
    return ResolvedSpec(spec, source, fixed, axes, parts)


def refined_grid(spec: Spec, source: SpecSource) -> Mapping[str, Any]:
    """Return the grid with as many points as `refine` asks for. Raises SpecError without two axes to refine."""
    if spec.refine is None:
        return spec.grid
    names = refined_axes(spec)
    place = source.location(("refine",))
    if len(names) != 2:
        found = f"; it has {', '.join(names) or 'none'}" if len(names) < 2 else f", not {', '.join(names)}"
        raise SpecError(f"{place}: refine needs exactly two axes with points, logspace or linspace{found}")
    for name in names:
        points = spec.grid[name]["points"]
        if not isinstance(points, int) or not 2 <= points <= spec.refine.to:
            raise SpecError(
                f"{place}: refine.to is {spec.refine.to}, so grid.{name} should begin with 2 to {spec.refine.to} "
                f"points, not {points!r}"
            )
    return {name: {**raw, "points": spec.refine.to} if name in names else raw for name, raw in spec.grid.items()}


def refined_axes(spec: Spec) -> list[str]:
    """Return the axes that have points."""
    return [name for name, raw in spec.grid.items() if isinstance(raw, Mapping) and "points" in raw]


def _without_layers(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, ...], Any]]:
    """Return the data without the hyperparameters of single layers, and these: path -> value."""
    plain, of_layers = dict(data), dict[tuple[str, ...], Any]()
    for section, keys in ((), plain), (("model",), plain.get("model")):
        if isinstance(keys, dict):
            names = [name for name in keys if isinstance(name, str) and layer_of(name)]
            own = [name for name in names if (row := find_hyperparameter(name)) and row.section == "".join(section)]
            of_layers |= {(*section, name): keys[name] for name in own}
            rest = {name: value for name, value in keys.items() if name not in own}
            plain = {**plain, section[0]: rest} if section else rest
    return plain, of_layers


def _parts(source: SpecSource) -> Parts:
    """Return the custom functions of the file that the spec names, or of `source.parts`, its text."""
    name, place = source.data.get("parts"), source.location(("parts",))
    if not isinstance(name, str):
        return Parts()
    try:
        text = (source.folder / name).read_text(encoding="utf-8") if source.parts is None else source.parts
        return Parts(text, Path(name).name)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{place}: parts: {name} can't be read: {error}") from None
    except PartError as error:
        raise SpecError(f"{place}: parts: {error}") from error


def _checked_axes(grid: Mapping[str, Any], source: SpecSource, parts: Parts) -> dict[str, Sequence[Any]]:
    axes: dict[str, LazyAxis] = {}
    for name, raw in grid.items():
        place = source.location(("grid", name))
        if find_hyperparameter(name) is None:
            raise SpecError(f"{place}: no hyperparameter is called {name!r}{did_you_mean(name, HYPERPARAMETERS)}")
        try:
            axes[name] = parse_axis(raw)
        except ValueError as error:
            raise SpecError(f"{place}: grid.{name}: {error}") from None
    size = math.prod(axis.length for axis in axes.values())
    if size > MAX_TRIALS:
        factors = " x ".join(f"{name} {axis.length:,}" for name, axis in axes.items())
        raise SpecError(
            f"{source.location(('grid',))}: the grid has {size:,} trials ({factors}); "
            f"a sweep has at most {MAX_TRIALS:,}: shorten an axis or split the sweep"
        )
    return {name: _checked_values(name, axis, source, parts) for name, axis in axes.items()}


def _checked_values(name: str, axis: LazyAxis, source: SpecSource, parts: Parts) -> list[Any]:
    values: list[Any] = []
    unique: set[Any] = set()
    for index, raw in enumerate(axis.make()):
        place = source.location(("grid", name, index))
        value = _checked_value(name, raw, place, f"grid.{name}", parts)
        if value in unique:
            raise SpecError(f"{place}: grid.{name}: {raw!r} is listed twice; remove one of them")
        unique.add(value)
        values.append(value)
    return values


def _checked_value(name: str, raw: Any, place: str, subject: str, parts: Parts) -> Any:
    """Return a hyperparameter's value in its type. Raises SpecError that names the place and the subject."""
    row = find_hyperparameter(name)
    assert row is not None
    try:
        return row.checked(raw, parts)
    except ValidationError as error:
        raise SpecError(_value_message(error.errors(include_url=False)[0], place, subject)) from None


def _messages(error: ValidationError, source: SpecSource) -> list[str]:
    mistakes = error.errors(include_url=False)
    lines = [_message(mistake, source) for mistake in mistakes[:MAX_LISTED]]
    return lines if len(mistakes) <= MAX_LISTED else [*lines, f"and {len(mistakes) - MAX_LISTED} more"]


def _message(mistake: Any, source: SpecSource) -> str:
    path: KeyPath = mistake["loc"]
    place, subject = source.location(path), ".".join(map(str, path)) or "the file"
    if mistake["type"] == "extra_forbidden":
        section = _SECTIONS.get(path[:-1], FullSpec)
        return f"{place}: unknown key {path[-1]!r}{_where_it_belongs(path, section)}"
    return _value_message(mistake, place, subject)


def _value_message(mistake: Any, place: str, subject: str) -> str:
    """Return pydantic's message about a value in our words."""
    kind, value = mistake["type"], mistake["input"]
    if kind == "missing":
        return f"{place}: {subject} is missing"
    if kind == "value_error":
        return f"{place}: {subject}: {mistake['ctx']['error']}"
    if kind in _NO_MAPPING:
        return f"{place}: {subject} should be a mapping of keys to values, not {value!r}"
    message = _TYPES.get(kind) or mistake["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    plain = "; convert it to Python numbers with its .tolist()" if hasattr(value, "tolist") else ""
    return f"{place}: {subject} should be {message[0].lower()}{message[1:]}, not {value!r}{plain}"


_SECTIONS: dict[KeyPath, type[Section]] = {
    (): FullSpec,
    ("dataset",): DatasetSpec,
    ("model",): ModelSpec,
    ("record",): RecordSpec,
    ("refine",): RefineSpec,
}


def _where_it_belongs(path: KeyPath, section: type[Section]) -> str:
    """Return the end of the message: the section that has the key, or the nearest key of this section."""
    for location, other in _SECTIONS.items():
        if path[-1] in other.model_fields and location != path[:-1]:
            return f"; it belongs {f'under {location[0]}:' if location else 'at the top of the file'}"
    return did_you_mean(path[-1], section.model_fields)
