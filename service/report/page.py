"""The report as one HTML page that needs nothing but itself: its figures, its data and Bokeh are all inside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from typing import Any

import bokeh
import yaml
from bokeh.document import Document
from bokeh.resources import INLINE
from jinja2 import Environment
from markupsafe import Markup

from service.recording.links import public_address, run_link
from service.report.contents import Contents
from service.report.curve_figures import panel_figures
from service.report.panels import Panel
from service.report.phase_figures import phase_figures
from service.report.surface_figures import surface_figure
from service.report.trial_figures import importance_figure, parallel_figure, trials_figure
from service.results.axes import NO_AXIS, tick, words
from service.results.colours import OUTCOME_COLOURS, line_colour
from service.results.leaderboard import entry_rows
from service.results.phase_diagram import Phase

_MAX_POINTS = 10_000
_ANY_RUN = "~run~"  # stands for a run's id in the address of its page; page.js puts the id there


@dataclass(frozen=True)
class _Figure:
    id: str
    heading: str
    height: int
    json: str


@dataclass(frozen=True)
class _Group:
    """What one tab shows. lines: label and colour of the lines that its figures share."""

    heading: str
    figures: Sequence[_Figure]
    lines: Sequence[dict[str, str]] = ()
    wide: bool = False


@dataclass(frozen=True)
class _Section:
    id: str
    heading: str
    words: str
    groups: Sequence[_Group]


def make_page(contents: Contents, dashboard: str) -> str:
    """The report's HTML; `dashboard` is the address at which MLflow's pages are found."""
    sections = [section for section in _sections(contents) if any(group.figures for group in section.groups)]
    runs = run_link(dashboard, contents.sweep.experiment_id, _ANY_RUN)
    rows = entry_rows(contents.entries, contents.metric)
    shown = [{"name": name, "count": n, "colour": OUTCOME_COLOURS[name]} for name, n in contents.outcomes.items() if n]
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_file("page.html")).render(
        c=contents,
        css=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
        bokeh=Markup("\n".join(_inlined(text) for text in INLINE.js_raw[:1])),
        version=version("gradgrid"),
        base=public_address(dashboard),
        runs=runs,
        any_run=_ANY_RUN,
        metric=words(contents.metric),
        description=yaml.safe_load(contents.spec).get("description"),
        facts=_facts(contents),
        outcomes=shown,
        outcomes_text=", ".join(f"{o['count']:,} {o['name']}" for o in shown),
        sections=sections,
        headings=[*((s.id, s.heading) for s in sections), ("best", "Leaderboard"), ("spec", "Sweep file")],
        columns=[{"label": name or "rank", "number": _is_number(rows, name)} for name in (rows[0] if rows else [])],
        rows=[_cells(row, entry.run_id) for row, entry in zip(rows, contents.entries, strict=True)],
        items=[figure for section in sections for group in section.groups for figure in group.figures],
    )


def _facts(contents: Contents) -> list[tuple[str, str]]:
    table, metrics = contents.table, contents.sweep.metrics
    facts = [(f"{len(table):,}", "trials")]
    facts += [(f"{len(axis.values):,}", f"values of {axis.label}") for axis in contents.axes]
    if "params.seed" in table and table["params.seed"].nunique() > 1:
        facts.append((f"{table['params.seed'].nunique():,}", "seeds"))
    if contents.entries:
        facts.append((f"{contents.entries[0].mean:.4g}", f"best mean {words(contents.metric)}"))
    if "seconds" in metrics:
        facts.append((f"{metrics['seconds']:,.0f} s", "to train and record"))
    return facts


def _sections(contents: Contents) -> Iterator[_Section]:
    across, down = contents.pair
    metric = words(contents.metric)
    named = _Named()
    if contents.phases:
        yield _Section(
            "phase",
            "Phase diagram",
            f"Each cell is all trials that share two values: the median of their {metric}, what became of them, and "
            "from which step on. Grey is where more than half diverged. Hover for figures; a click opens the best run.",
            [_phase_group(named, phase) for phase in contents.phases],
        )
    if contents.curves:
        each = f" {down.label}" if down is not NO_AXIS else ""
        yield _Section(
            "curves",
            "Curves",
            f"Median and quartiles over the steps, a line{f' for each{each}' if each else ''}"
            f"{f', a frame for each {across.label}' if across is not NO_AXIS else ''}.",
            [_panel_group(named, words(name), panels) for name, panels in contents.curves.items()],
        )
    if contents.gradients:
        yield _Section(
            "gradients",
            "Gradients by layer",
            "The norm of the gradient of each layer's weights over the steps, median. Where the first layers' lines "
            "sink below the last's, the gradient vanishes on its way back; on the floor it is 0.",
            [_panel_group(named, "gradient norm", contents.gradients)],
        )
    if len(contents.importance) > 1:
        yield _Section(
            "importance",
            "Importance",
            f"How much of the differences in {metric}, by rank, each axis explains: alone (dark), and with its "
            "interactions (light). The seed's share is chance.",
            [_Group("", [named(importance_figure(contents.importance))])],
        )
    if len(contents.axes) > 0:
        yield _Section(
            "trials",
            "Every trial",
            f"A point a trial{f', {_MAX_POINTS:,} of them at random' if len(contents.table) > _MAX_POINTS else ''}; "
            "the diverged are where they last were finite.",
            [_trials(named, contents)],
        )
    if len(contents.axes) > 1:
        yield _Section(
            "parallel",
            "Parallel coordinates",
            f"A line a configuration, from value to value, to the rank of its median {metric}, best on top. Hover "
            "lifts a line out.",
            [_Group("", [named(parallel_figure(contents.table, contents.metric, contents.axes))])],
        )
    if contents.surfaces:
        yield _Section(
            "surfaces",
            "What they have learned",
            "The network of the best trial of each kind, over its data.",
            [_Group("", [named(surface_figure(surface)) for surface in contents.surfaces])],
        )


class _Named:
    """Gives each figure an id, and turns it into what the page embeds."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, made: Any, heading: str = "") -> _Figure:
        self._count += 1
        document = Document()
        document.add_root(made)
        item = {"root_id": made.ref["id"], "doc": document.to_json(deferred=False), "version": bokeh.__version__}
        text = json.dumps(item, separators=(",", ":")).replace("</", "<\\/")
        return _Figure(f"figure-{self._count}", heading, int(made.height), Markup(text))


def _phase_group(named: _Named, phase: Phase) -> _Group:
    return _Group(_pair_name(phase), [named(m, heading) for heading, m in phase_figures(phase).items()], wide=True)


def _panel_group(named: _Named, heading: str, panels: Sequence[Panel]) -> _Group:
    lines = [{"label": line.label, "colour": line_colour(line.place)} for line in panels[0].lines if line.label]
    return _Group(heading, [named(made) for made in panel_figures(panels, heading)], lines)


def _trials(named: _Named, contents: Contents) -> _Group:
    across, down = contents.pair
    table = contents.table
    if len(table) > _MAX_POINTS:
        table = table.sample(_MAX_POINTS, random_state=0).sort_values("number")
    lines = [{"label": tick(v), "colour": line_colour(k)} for k, v in enumerate(down.values) if v != ""]
    return _Group("", [named(trials_figure(table, contents.metric, across, down))], lines[:12])


def _pair_name(phase: Phase) -> str:
    return phase.across.label if phase.down is NO_AXIS else f"{phase.across.label} × {phase.down.label}"


def _is_number(rows: Sequence[Any], name: str) -> bool:
    return name == "±" or all(isinstance(row[name], (int, float)) for row in rows)


def _cells(row: Any, run_id: str | None) -> list[dict[str, Any]]:
    cells = []
    for name, value in row.items():
        number = isinstance(value, (int, float)) or name == "±"
        text = f"{value:.5g}" if isinstance(value, float) else str(value)
        cells.append({"text": text, "number": number, "run": run_id if name == "best run" else None})
    return cells


def _file(name: str) -> str:
    return resources.files("service.report").joinpath(name).read_text(encoding="utf-8")


def _inlined(script: str) -> str:
    return script.replace("</script", "<\\/script")
