"""The sweep file: its schema, defaults, checks and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
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
from experiments.blocks import Block, check_grid
from experiments.data.dataset_spec import DatasetSpec, Section
from experiments.errors import SpecError, did_you_mean
from experiments.hyperparameters import HYPERPARAMETERS, section_fields
from experiments.messages import value_message
from experiments.search import SearchSpec
from experiments.source import KeyPath, SpecSource, override, read_yaml

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
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
    grid: Any = Field(
        default_factory=dict, description="hyperparameter -> axis; their product is the sweep; or a list of such blocks"
    )
    search: SearchSpec = SearchSpec()
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
    blocks: the grid.
    parts: the custom functions that it may name.
    """

    spec: Spec
    source: SpecSource
    fixed: Mapping[str, Any]
    blocks: tuple[Block, ...]
    parts: Parts = field(default_factory=Parts)

    @cached_property
    def axes(self) -> Mapping[str, Sequence[Any]]:
        """Hyperparameter -> its values in all blocks, in the order of the file. None stands for leaving it out."""
        values: dict[str, list[Sequence[Any]]] = {}
        for block in self.blocks:
            for name, axis in block.axes.items():
                values.setdefault(name, []).append(axis)
        return {name: axes[0] if len(axes) == 1 else distinct(axes) for name, axes in values.items()}

    @property
    def given(self) -> Set[str]:
        """The hyperparameters in the sweep file, swept or fixed."""
        return self.axes.keys() | self.fixed.keys()


def distinct(axes: Iterable[Sequence[Any]]) -> Sequence[Any]:
    """Return the values of several axes, each once, in order of appearance."""
    return list(dict.fromkeys(value for axis in axes for value in axis))


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
    try:
        spec = FullSpec.model_validate(source.data, context={"parts": parts, "given": source.frame is not None})
    except ValidationError as error:
        raise SpecError("\n".join(_messages(error, source))) from None
    values = {**spec.model.model_dump(), **spec.model_dump(include=set(HYPERPARAMETERS))}
    fixed = {name: values[name] for name in HYPERPARAMETERS if values.get(name) is not None}
    return ResolvedSpec(spec, source, fixed, check_grid(spec.grid, source, fixed, parts, spec.search), parts)


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
    return value_message(mistake, place, subject)


_SECTIONS: dict[KeyPath, type[Section]] = {
    (): FullSpec,
    ("dataset",): DatasetSpec,
    ("model",): ModelSpec,
    ("record",): RecordSpec,
    ("search",): SearchSpec,
}


def _where_it_belongs(path: KeyPath, section: type[Section]) -> str:
    """Return the end of the message: the section that has the key, or the nearest key of this section."""
    for location, other in _SECTIONS.items():
        if path[-1] in other.model_fields and location != path[:-1]:
            return f"; it belongs {f'under {location[0]}:' if location else 'at the top of the file'}"
    return did_you_mean(path[-1], section.model_fields)
