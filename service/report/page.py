"""The report as one HTML page, with its figures, its data and Bokeh inside. It needs no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from typing import Any

import bokeh
import yaml
from bokeh.document import Document
from bokeh.resources import INLINE
from jinja2 import Environment, FunctionLoader
from markupsafe import Markup

from service.recording.links import public_address, run_link
from service.report.contents import Contents
from service.report.sections import make_sections
from service.report.tables import make_table
from service.results.axes import display_name
from service.results.colours import OUTCOME_COLOURS
from service.results.leaderboard import entry_rows

_ANY_RUN = "~run~"  # placeholder of the run id in a run's address; page.js replaces it


@dataclass(frozen=True)
class _Embedded:
    """A figure inside the page.

    id: of its HTML element. height: in pixels. json: the document that BokehJS draws.
    """

    id: str
    height: int
    json: str


class _FigureEmbedder:
    """Gives an id to each figure that the template places, and collects the figures' JSON."""

    def __init__(self) -> None:
        self.figures: list[_Embedded] = []

    def place(self, plot: Any) -> _Embedded:
        """Add a figure, and return its id and height. The template writes the JSON at the end of the page."""
        document = Document()
        document.add_root(plot)
        item = {"root_id": plot.ref["id"], "doc": document.to_json(deferred=False), "version": bokeh.__version__}
        text = json.dumps(item, separators=(",", ":")).replace("</", "<\\/")
        self.figures.append(_Embedded(f"figure-{len(self.figures) + 1}", int(plot.height), Markup(text)))
        return self.figures[-1]


def make_page(contents: Contents, dashboard: str) -> str:
    """Return the report's HTML. dashboard: the address of the MLflow server that links lead to."""
    sections = list(make_sections(contents))
    runs = run_link(dashboard, contents.sweep.experiment_id, _ANY_RUN)
    rows = entry_rows(contents.entries, contents.metric)
    outcomes = [
        {"name": name, "count": n, "colour": OUTCOME_COLOURS[name]} for name, n in contents.outcomes.items() if n
    ]
    return render(
        "page.html",
        c=contents,
        title=contents.name,
        base=public_address(dashboard),
        runs=runs,
        any_run=_ANY_RUN,
        metric=display_name(contents.metric),
        description=yaml.safe_load(contents.spec).get("description"),
        facts=_facts(contents),
        outcomes=outcomes,
        outcomes_text=", ".join(f"{o['count']:,} {o['name']}" for o in outcomes),
        sections=sections,
        headings=[*((s.id, s.heading) for s in sections), ("best", "Leaderboard"), ("spec", "Sweep file")],
        leaderboard=make_table(rows, [entry.run_id for entry in contents.entries]),
    )


def render(template: str, **values: Any) -> str:
    """Return a page: a template of this folder with its values, and the style, the script and Bokeh that pages have."""
    environment = Environment(autoescape=True, trim_blocks=True, loader=FunctionLoader(_file))
    return environment.get_template(template).render(
        css=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
        bokeh=Markup("\n".join(_inlined(text) for text in INLINE.js_raw[:1])),
        version=version("gradgrid"),
        embedder=_FigureEmbedder(),
        **values,
    )


def _facts(contents: Contents) -> list[tuple[str, str]]:
    """Return the figures at the top of the page, each with its label."""
    table, metrics = contents.table, contents.sweep.metrics
    facts = [(f"{len(table):,}", "trials")]
    facts += [(f"{len(axis.values):,}", f"values of {axis.label}") for axis in contents.axes]
    if "params.seed" in table and table["params.seed"].nunique() > 1:
        facts.append((f"{table['params.seed'].nunique():,}", "seeds"))
    if contents.entries:
        facts.append((f"{contents.entries[0].mean:.4g}", f"best mean {display_name(contents.metric)}"))
    if "seconds" in metrics:
        facts.append((f"{metrics['seconds']:,.0f} s", "to train and record"))
    return facts


def _file(name: str) -> str:
    return resources.files("service.report").joinpath(name).read_text(encoding="utf-8")


def _inlined(script: str) -> str:
    return script.replace("</script", "<\\/script")
