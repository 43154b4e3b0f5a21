"""The sweep file: its schema, defaults, checks and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    Field,
    ValidationError,
    create_model,
    field_validator,
)

from engine import PartError, Parts
from experiments.asking import check_asking
from experiments.blocks import Block, check_grid
from experiments.data.dataset_spec import DatasetSpec, Section
from experiments.data_axes import check_data_axes
from experiments.errors import SpecError, did_you_mean
from experiments.extensions import extended_source
from experiments.hyperparameters import (
    HYPERPARAMETERS,
    find_hyperparameter,
    known_hyperparameter,
    layer_of,
    section_fields,
)
from experiments.messages import schema_messages, value_message
from experiments.search import SearchSpec
from experiments.sections import EarlyStoppingSpec, RecordSpec, RefineSpec
from experiments.source import KeyPath, SpecSource, override, read_yaml
from experiments.stopping import check_stopping

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
ModelSpec: type[Section] = create_model("ModelSpec", __base__=Section, **section_fields("model"))
"""The `model` section of a sweep file: the network's hyperparameters."""


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
    refine: RefineSpec | None = Field(
        default=None, description="train two axes coarsely, then densely only where neighbours differ"
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=None, description="stop a trial that has not improved for some steps"
    )
    record: RecordSpec = RecordSpec()
    extensions: list[list[str]] = Field(
        default_factory=list, description="the assignments of each `gradgrid extend`; it adds them to a recorded sweep"
    )

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
class Stage:
    """The sweep file, or the sweep file after an extension.

    source: its raw data and line numbers, for messages.
    fixed: hyperparameter -> value, for those given outside the grid.
    blocks: the grid.
    """

    source: SpecSource
    fixed: Mapping[str, Any]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ResolvedSpec:
    """A checked spec with the values of its axes.

    spec: the checked sweep file.
    source: its raw data and line numbers, for messages.
    stages: the sweep file, then the same with each of its extensions. The sweep is their union.
    parts: the custom functions that it may name.
    """

    spec: Spec
    source: SpecSource
    stages: tuple[Stage, ...]
    parts: Parts = field(default_factory=Parts)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of all stages."""
        return tuple(block for stage in self.stages for block in stage.blocks)

    @cached_property
    def fixed(self) -> Mapping[str, Any]:
        """Hyperparameter -> value, for those given outside the grid with one value in all stages."""
        first, *rest = (stage.fixed for stage in self.stages)
        return {name: value for name, value in first.items() if all(other.get(name) == value for other in rest)}

    @cached_property
    def axes(self) -> Mapping[str, Sequence[Any]]:
        """Hyperparameter -> its values, in the order of the file. None stands for leaving it out."""
        swept = dict.fromkeys(name for block in self.blocks for name in block.axes)
        swept |= dict.fromkeys(name for stage in self.stages for name in stage.fixed if name not in self.fixed)
        return {name: self._values(name) for name in swept}

    def _values(self, name: str) -> Sequence[Any]:
        """Return the values of a hyperparameter in all blocks, each once, in order of appearance."""
        axes = [block.axes.get(name, [block.fixed.get(name)]) for block in self.blocks if name in block.given]
        if any(all(name not in block.given for block in stage.blocks) for stage in self.stages):
            axes.append([None])  # a stage leaves it out
        return axes[0] if len(axes) == 1 else list(dict.fromkeys(value for axis in axes for value in axis))

    @property
    def last_search(self) -> SearchSpec:
        """The section `search` after all extensions."""
        return self.stages[-1].blocks[0].search

    @property
    def given(self) -> Set[str]:
        """The hyperparameters in the sweep file, swept or fixed."""
        return self.axes.keys() | self.fixed.keys()


def ready_sweeps() -> dict[str, Path]:
    """Return the sweeps that come with gradgrid, as name -> file."""
    folder = Path(str(resources.files("experiments")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_spec(
    spec: str | Path | Mapping[str, Any],
    assignments: tuple[str, ...] = (),
    *,
    frame: pd.DataFrame | None = None,
    target: str | list[str] | None = None,
) -> ResolvedSpec:
    """Read and check a sweep file.

    spec: a path, the name of a ready sweep, or a mapping.
    assignments: `key=value` texts that replace values, as `--set` takes them.
    frame: data from Python; it replaces the data of a ready sweep.
    target: the column of `frame` to predict, or a list of columns, if the spec does not name them.
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


def _with_frame(
    source: SpecSource, frame: pd.DataFrame, target: str | list[str] | None, *, is_ready: bool
) -> SpecSource:
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
    spec, of_layers = _validated(source, parts)
    stages, specs = [_stage(spec, of_layers, source, parts)], [spec]
    for number in range(1, len(spec.extensions) + 1):
        extended = extended_source(source, spec.extensions[:number])
        later, of_layers = _validated(extended, parts)
        stages.append(_stage(later, of_layers, extended, parts, number))
        specs.append(later)
    check_stopping(specs, source)
    check_asking(specs, stages[0].blocks, source)
    return ResolvedSpec(spec, source, tuple(stages), parts)


def _validated(source: SpecSource, parts: Parts) -> tuple[Spec, Mapping[str, Any]]:
    """Return the spec, and the hyperparameters of single layers outside the grid, which the schema does not have."""
    data, of_layers = _without_layers(source.data)
    try:
        spec = FullSpec.model_validate(data, context={"parts": parts, "given": source.frame is not None})
    except ValidationError as error:
        raise SpecError("\n".join(schema_messages(error, source, _SECTIONS))) from None
    values = {}
    for path, raw in of_layers.items():
        try:
            values[path[-1]] = known_hyperparameter(path[-1]).checked(raw, parts)
        except ValidationError as error:
            mistake = error.errors(include_url=False)[0]
            raise SpecError(value_message(mistake, source.location(path), ".".join(path))) from None
    return spec, values


def _stage(spec: Spec, of_layers: Mapping[str, Any], source: SpecSource, parts: Parts, number: int = 0) -> Stage:
    values = {**spec.model.model_dump(), **spec.model_dump(include=set(HYPERPARAMETERS))}
    fixed = {name: values[name] for name in HYPERPARAMETERS if values.get(name) is not None}
    fixed |= dict(of_layers)
    blocks = check_grid(refined_grid(spec, source), source, fixed, parts, spec.search, number)
    for block in blocks:
        check_data_axes(block, spec.dataset)
    return Stage(source, fixed, blocks)


def refined_grid(spec: Spec, source: SpecSource) -> Any:
    """Return the grid with as many points as `refine` asks for. Raises SpecError without two axes to refine."""
    if spec.refine is None:
        return spec.grid
    place = source.location(("refine",))
    if not isinstance(spec.grid, Mapping) or not spec.search.is_grid:
        raise SpecError(f"{place}: refine needs a grid of one block, without search")
    names = refined_axes(spec)
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


_SECTIONS: dict[KeyPath, type[Section]] = {
    (): FullSpec,
    ("dataset",): DatasetSpec,
    ("model",): ModelSpec,
    ("record",): RecordSpec,
    ("search",): SearchSpec,
    ("refine",): RefineSpec,
    ("early_stopping",): EarlyStoppingSpec,
}
