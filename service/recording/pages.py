"""A sweep's pages in MLflow: their addresses, their saved views, and the descriptions that link to them.

Tables of trials open with saved views. A read-only store, or another MLflow version, can't hold those. Then addresses
open the plain table, sorted best first.
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
_KNOWN_VERSIONS = (
    (3, 17),
    (4,),
)  # from, and below: versions with views in the form of `saved_views`
_TRIALS_NOTE, _SWEEPS_NOTE = "Trials of", "Sweeps of"  # the first words of our descriptions


@dataclass(frozen=True)
class SweepPages:
    """Addresses of a sweep's pages. If no trial has a run, all of them are the page of the sweep's own run.

    run: the sweep's own run.
    trials: the table of the trials that finished, best first.
    charts: the charts of those trials.
    all_trials: the table of every trial.
    """

    run: str
    trials: str
    charts: str
    all_trials: str


def sweep_pages(store: Store, sweep: SweepInfo, base: str = "") -> SweepPages:
    """Return the addresses of the sweep's pages, with its saved views if it has them.

    base: the dashboard's address; if it is empty, addresses are relative, for descriptions.
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
    """Return the address of the sweep's table of trials on the tracking server.

    Empty if the store is not a server, or if the server does not answer.
    """
    with suppress(GradgridError):
        return sweep_pages(store, sweep, store.uri).trials if is_server(store.uri) else ""
    return ""


def guide(store: Store, sweep: SweepInfo, subject: Subject) -> None:
    """Write the sweep's saved views, and descriptions of its experiments that link to its pages.

    A failure does not stop the sweep: the views or descriptions are missing then.
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
    """Write views and descriptions of a recorded sweep that has no views."""
    with suppress(GradgridError):
        if not store.experiment_tags(sweep.experiment_id).keys() >= _VIEW_TAGS:
            guide(store, sweep, subject_of(read_table(store, sweep), sweep.swept, sweep.objective))


def _describe(store: Store, experiment_id: str, beginning: str, text: str) -> None:
    """Describe an experiment that gradgrid made. A description that does not begin so is the user's, and stays."""
    tags = store.experiment_tags(experiment_id)
    if Tag.KIND in tags and tags.get(_NOTE, beginning).startswith(beginning):
        store.tag_experiment(experiment_id, {_NOTE: text})


def _trials_note(sweep: SweepInfo, pages: SweepPages) -> str:
    links = f"[best first]({pages.trials}), [as charts]({pages.charts}), [all]({pages.all_trials}); "
    name = f"{_TRIALS_NOTE} {sweep.spec}/{sweep.sweep}"
    return f"{name}: {links if pages.trials != pages.run else ''}[the sweep's run and report]({pages.run})"


def _sweeps_note(sweep: SweepInfo, pages: SweepPages) -> str:
    newest = f"[its trials]({pages.trials}), [its run]({pages.run})"
    return f"{_SWEEPS_NOTE} {sweep.spec}: [all]({runs_link('', sweep.parent_id)}); the newest: {newest}"


def _keeps_views(store: Store) -> bool:
    """Return whether the MLflow that shows the store reads views in the form of `saved_views`."""
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
    """Return a version's first two numbers, as (3, 17); empty if they are not numbers."""
    parts = version.strip().split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()
