"""The page of several sweeps: its sections, tables and figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import yaml

from engine import DIVERGED
from service.inspection.compare import Comparison
from service.recording.infos import SweepInfo
from service.recording.links import public_address, run_link
from service.report.comparison_figures import axis_drawing, distribution_drawing, pairs_drawing
from service.report.layout import Block, Section, Tab, even_columns
from service.report.legend import Key
from service.report.page import render
from service.report.tables import make_table
from service.results.axes import Axis, display_name, swept_axes
from service.results.choice import choice_sentence
from service.results.colours import line_colour
from service.results.comparison_rows import difference_rows, partners_text, quartiles_along, variant_texts
from service.results.intervals import in_intervals
from service.results.leaderboard import Entry, entry_rows
from service.results.matching import Matching
from service.results.metrics import METRICS

_ENTRIES, _MOST_POINTS, _MOST_VALUES, _MOST_AXES = 20, 4_000, 40, 3
_ANY_EXPERIMENT, _ANY_RUN = "~experiment~", "~run~"  # placeholders in a run's address
_ANY_PLACE = f"{_ANY_EXPERIMENT}/runs/{_ANY_RUN}"


def make_comparison_page(comparison: Comparison, dashboard: str) -> str:
    """Return the page of compared sweeps. dashboard: the address of the MLflow server that links lead to."""
    places = _Places(comparison)
    entries = comparison.entries(count=_ENTRIES)
    sections = list(_sections(comparison, entries, places))
    return render(
        "comparison.html",
        c=comparison,
        title=" and ".join(places.names),
        base=public_address(dashboard),
        runs=run_link(dashboard, _ANY_EXPERIMENT, _ANY_RUN),
        any_run=_ANY_PLACE,
        facts=_facts(comparison),
        choice=choice_sentence(comparison.metric, has_validation=all(comparison.has_validation)),
        sections=sections,
        headings=[*((s.id, s.heading) for s in sections), ("spec", "Sweep files")],
        specs=[
            (name, yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True))
            for name, spec in zip(places.names, comparison.specs, strict=True)
        ],
    )


class _Places:
    """The names of the sweeps and of their runs: a run's place is its experiment and its id, as in its address."""

    def __init__(self, comparison: Comparison) -> None:
        self.names = [f"{sweep.spec}/{sweep.sweep}" for sweep in comparison.sweeps]
        self.colours = {sweep.sweep: line_colour(k) for k, sweep in enumerate(comparison.sweeps)}
        self._experiments = {sweep.sweep: sweep.experiment_id for sweep in comparison.sweeps}

    def of(self, sweep: str, run_id: str | None) -> str:
        """Return the place of a run; empty if there is none."""
        return f"{self._experiments[sweep]}/runs/{run_id}" if run_id else ""


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the figures at the top of the page, each with its label."""
    facts = [(f"{len(comparison.table):,}", "trials")]
    best: dict[str, Entry] = {}
    for entry in comparison.entries():
        best.setdefault(str(entry.params["sweep"]), entry)
    metric = display_name(comparison.metric)
    for sweep, label in zip(comparison.sweeps, comparison.labels, strict=True):
        if sweep.sweep in best:
            facts.append((f"{best[sweep.sweep].mean:.4g}", f"best mean {metric} of {label}"))
    return facts


def _sections(comparison: Comparison, entries: Sequence[Entry], places: _Places) -> Iterator[Section]:
    yield _sweeps_section(comparison, places)
    yield _leaderboard_section(comparison, entries, places)
    if entries:
        yield _distribution_section(comparison)
    yield _matched_section(comparison, places)


def _sweeps_section(comparison: Comparison, places: _Places) -> Section:
    rows = [_sweep_row(comparison, sweep) for sweep in comparison.sweeps]
    tables = [make_table(rows, colours=places.colours)]
    if comparison.differences:
        differences = [
            {"key": key, **dict(zip(comparison.labels, values, strict=True))}
            for key, values in comparison.differences.items()
        ]
        tables.append(make_table(differences, heading="What differs between the sweep files"))
    same = "" if comparison.differences else "The sweep files are equal. "
    words = f"{same}A colour stands for the same sweep on the whole page, except among matched trials."
    return Section("sweeps", "Sweeps", words, tables=tables)


def _sweep_row(comparison: Comparison, sweep: SweepInfo) -> dict[str, Any]:
    table = comparison.trials_of(sweep)
    values = table[METRICS + comparison.metric][table["outcome"] != DIVERGED]
    row: dict[str, Any] = {
        "sweep": sweep.sweep,
        "spec": sweep.spec,
        "begun": time.strftime("%Y-%m-%d %H:%M", time.localtime(sweep.start_time / 1000)),
        "trials": len(table),
        "diverged": int((table["outcome"] == DIVERGED).sum()),
        f"median {display_name(comparison.metric)}": float(values.median()) if values.notna().any() else None,
    }
    seconds = sweep.metrics.get("seconds")
    return row if seconds is None else {**row, "seconds": round(seconds, 1)}


def _leaderboard_section(comparison: Comparison, entries: Sequence[Entry], places: _Places) -> Section:
    rows = entry_rows(entries, comparison.metric)
    runs = [places.of(str(entry.params["sweep"]), entry.run_id) or None for entry in entries]
    words = (
        f"The trials of all sweeps, ranked by the mean of {display_name(comparison.metric)} over the seeds, with its "
        "95 % confidence interval. Entries that the data can't tell apart share a rank, marked =."
    )
    table = make_table(rows, runs, places.colours, words="" if rows else "No trial finished.")
    return Section("best", "Leaderboard", words, tables=[table])


def _distribution_section(comparison: Comparison) -> Section:
    tables = [comparison.trials_of(sweep) for sweep in comparison.sweeps]
    drawing = distribution_drawing(tables, comparison.labels, comparison.metric)
    words = (
        f"The share of a sweep's trials that are at least as good as a value of {display_name(comparison.metric)}. "
        "A line that is above another has more good trials. A line that ends below 100 % has trials that diverged, or "
        "whose values are beyond the frame."
    )
    block = Block([replace(drawing, keys=())], keys=drawing.keys)
    return Section("distribution", "Distribution", words, [Tab("", [block])])


def _matched_section(comparison: Comparison, places: _Places) -> Section:
    metric = display_name(comparison.metric)
    words = "Two trials are partners if they are equal in everything that both sweeps share, the seed included."
    tabs, tables = [], []
    for matched in comparison.matchings:
        first, second = comparison.label(matched.first), comparison.label(matched.second)
        heading = f"{second} minus {first}"
        if len(matched.pairs):
            tabs.append(Tab(heading, _matched_blocks(comparison, matched, (first, second), places)))
        rows = difference_rows(matched)
        tables.append(make_table(rows, heading=f"{metric}: {heading}", words=partners_text(matched)))
    if tabs:
        words += (
            f" A point is a pair of partners; on the dashed line they have the same {metric}. Along an axis, a dot is "
            "the median of their differences, and a bar the range of the middle half, without pairs of which one "
            "exploded or diverged. A click on a point opens the run of the second."
        )
    return Section("matched", "Matched trials", words, tabs, tables)


def _matched_blocks(comparison: Comparison, matched: Matching, names: tuple[str, str], places: _Places) -> list[Block]:
    variants = variant_texts(matched)
    pairs = matched.pairs
    if len(pairs) > _MOST_POINTS:
        pairs = pairs.sample(_MOST_POINTS, random_state=0)
    pairs = pairs.assign(run=[places.of(matched.second, run) for run in pairs["run"]])
    scatter = pairs_drawing(pairs, comparison.metric, names, variants)
    by_axis = [axis_drawing(rows, axis, comparison.metric, variants) for axis, rows in _along_axes(matched)]
    drawings = [replace(scatter, keys=()), *by_axis]
    keys: list[Key] = list(scatter.keys)
    sampled = f"{_MOST_POINTS:,} of {len(matched.pairs):,} pairs at random." if len(pairs) < len(matched.pairs) else ""
    return [Block(drawings, keys=keys, columns=even_columns(len(drawings)), words=sampled)]


def _along_axes(matched: Matching) -> list[tuple[Axis, pd.DataFrame]]:
    """Return the shared axes that a figure can show, with the quartiles of the difference along each."""
    pairs, _ = in_intervals(matched.pairs, matched.shared)
    axes = [axis for axis in swept_axes(pairs, matched.shared) if len(axis.values) <= _MOST_VALUES]
    along = [(axis, quartiles_along(pairs, axis)) for axis in axes[:_MOST_AXES]]
    return [(axis, rows) for axis, rows in along if len(rows)]
