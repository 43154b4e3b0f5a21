"""A sweep's pages in MLflow: what leads to them, and what a newcomer finds on them.

The tables of trials are opened with saved views. Where those can't be kept, in a store that may only be read or with
another MLflow, addresses are of the plain table, sorted best first.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from experiments.errors import GradgridError
from service.recording.connection import is_server
from service.recording.infos import SweepInfo
from service.recording.links import run_link, runs_link, sorted_runs_link
from service.recording.recorded_table import read_table
from service.recording.saved_views import BEST_FIRST, EVERY_TRIAL, FINISHED, TAG_PREFIX, Subject, subject_of, view_tags
from service.recording.store import Store
from service.recording.tags import Tag
from service.results.metrics import lower_is_better

_NOTE = "mlflow.note.content"
_VIEW_TAGS = {TAG_PREFIX + BEST_FIRST, TAG_PREFIX + EVERY_TRIAL}
_KNOWN_VERSIONS = ((3, 17), (4,))  # from the first to below the second, views are kept as `saved_views` writes them
_TRIALS_NOTE, _SWEEPS_NOTE = "Trials of", "Sweeps of"  # how our descriptions begin


@dataclass(frozen=True)
class SweepPages:
    """Addresses of a sweep's pages. `trials`, `charts`: of the trials that finished; `all_trials`: of every one.

    Where no trial has a run, all of them are the page of the sweep's own run.
    """

    run: str
    trials: str
    charts: str
    all_trials: str


def sweep_pages(store: Store, sweep: SweepInfo, base: str = "") -> SweepPages:
    """The sweep's pages, with its saved views where it has them.

    base: where the dashboard is; with an empty one the addresses are relative, for descriptions.
    """
    run = run_link(base, sweep.parent_id, sweep.run_id)
    if sweep.has_no_runs:
        return SweepPages(run, run, run, run)
    trials, objective = sweep.experiment_id, sweep.objective
    if store.experiment_tags(trials).keys() >= _VIEW_TAGS and _keeps_views(store):
        best = runs_link(base, trials, view=BEST_FIRST)
        charts = runs_link(base, trials, view=BEST_FIRST, charts=True)
        return SweepPages(run, best, charts, runs_link(base, trials, view=EVERY_TRIAL))
    order: dict[str, Any] = {"metric": objective, "ascending": lower_is_better(objective)}
    best = sorted_runs_link(base, trials, condition=FINISHED, **order)
    charts = sorted_runs_link(base, trials, condition=FINISHED, charts=True, **order)
    return SweepPages(run, best, charts, sorted_runs_link(base, trials, **order))


def served_page(store: Store, sweep: SweepInfo) -> str:
    """The address of the sweep's table of trials on the tracking server.

    Empty for a store that is no server's, and where the server does not answer.
    """
    with suppress(GradgridError):
        return sweep_pages(store, sweep, store.uri).trials if is_server(store.uri) else ""
    return ""


def guide(store: Store, sweep: SweepInfo, subject: Subject) -> None:
    """Keep the sweep's saved views, and on both of its experiments a description that leads to its pages.

    No sweep fails by this: where something can't be written, it is left out.
    """
    with suppress(GradgridError):
        if not sweep.has_no_runs and _keeps_views(store):
            store.tag_experiment(sweep.experiment_id, view_tags(subject, time.time_ns() // 1_000_000))
        pages = sweep_pages(store, sweep)
        _describe(store, sweep.experiment_id, _TRIALS_NOTE, _trials_note(sweep, pages))
        newest = next((other for other in store.sweeps() if other.parent_id == sweep.parent_id), sweep)
        if newest.run_id == sweep.run_id:
            _describe(store, sweep.parent_id, _SWEEPS_NOTE, _sweeps_note(sweep, pages))


def guide_recorded(store: Store, sweep: SweepInfo) -> None:
    """The same for a sweep that was recorded by an earlier version, or whose views were deleted."""
    with suppress(GradgridError):
        if not store.experiment_tags(sweep.experiment_id).keys() >= _VIEW_TAGS:
            guide(store, sweep, subject_of(read_table(store, sweep), sweep.swept, sweep.objective))


def _describe(store: Store, experiment_id: str, beginning: str, text: str) -> None:
    """Give an experiment of ours a description that begins so; one that somebody else has written stays."""
    own = store.experiment_tags(experiment_id)
    if Tag.KIND in own and own.get(_NOTE, beginning).startswith(beginning):
        store.tag_experiment(experiment_id, {_NOTE: text})


def _trials_note(sweep: SweepInfo, pages: SweepPages) -> str:
    links = f"[best first]({pages.trials}), [as charts]({pages.charts}), [all]({pages.all_trials}); "
    name = f"{_TRIALS_NOTE} {sweep.spec}/{sweep.sweep}"
    return f"{name}: {links if pages.trials != pages.run else ''}[the sweep's run and report]({pages.run})"


def _sweeps_note(sweep: SweepInfo, pages: SweepPages) -> str:
    newest = f"[its trials]({pages.trials}), [its run]({pages.run})"
    return f"{_SWEEPS_NOTE} {sweep.spec}: [all]({runs_link('', sweep.parent_id)}); the newest: {newest}"


def _keeps_views(store: Store) -> bool:
    """Whether the MLflow that shows the store is one whose saved views are known here."""
    first, beyond = _KNOWN_VERSIONS
    try:
        version = _server_version(store.uri) if is_server(store.uri) else metadata.version("mlflow")
    except OSError:  # no answer
        return False
    return first <= _numbers(version) < beyond


def _server_version(uri: str) -> str:
    from service.recording.rest_client import Server

    return Server(uri).version()


def _numbers(version: str) -> tuple[int, ...]:
    """3.17.2 as numbers; of a version that isn't made of them, none."""
    parts = version.strip().split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()
