"""Results of the commands, as JSON and as text. Results go to stdout, notes about them to stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from service.cli.options import print_note
from service.cli.tables import picture_height, picture_width, print_rows, print_text
from service.recording.redaction import tracking_option, without_passwords
from service.recording.signs_of_life import shown_status, why_lost

if TYPE_CHECKING:
    import pandas as pd

    from service.execution.jobs import Job
    from service.execution.result import SweepResult
    from service.inspection.verify import Verdict
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.results.leaderboard import Entry

_LISTED = 10


def result_json(result: SweepResult) -> dict[str, Any]:
    """Return the result of a sweep that has just run. Scripts rely on the keys."""
    return {
        "sweep": result.sweep,
        "sweep_run_id": result.sweep_run_id,
        "experiment_id": result.experiment_id,
        "tracking_uri": without_passwords(result.tracking_uri),
        "trials": result.trials,
        "finished": result.finished,
        "diverged": result.diverged,
        "missing": result.planned - result.trials,
        "outcomes": result.outcomes,
        "seconds": round(result.seconds, 3),
        "best": result.best,
        **({"refined": vars(result.refined)} if result.refined else {}),
    }


def print_result(
    result: SweepResult, tracking_uri: str | None, spec: Mapping[str, Any] | None = None, *, inline: bool = False
) -> None:
    """Print the leaderboard and the heat map of a sweep that has just run, and the commands that show more.

    spec: the content of the sweep file.
    inline: whether it was trained with --inline, so that the command that resumes it has the option too.
    """
    from service.results.leaderboard import entry_rows, means_text, ranked
    from service.results.refined_table import with_untrained_cells
    from service.results.trials_table import shown_params

    resume = f"gradgrid resume {result.sweep}{tracking_option(tracking_uri)}{' --inline' * inline}"
    if not result.trials:
        print_note(_nothing_text(result, resume, spec or {}))
        return
    names = shown_params(result.overview.columns, result.swept)
    entries = ranked(result.overview, result.objective, names, count=_LISTED, run_ids=result.run_ids)
    rows = entry_rows(entries, result.objective)
    means = means_text(entries, result.swept)
    print_rows(rows, title=f"The best of {result.trials:,} trials by {result.objective}{means}")
    _print_map(with_untrained_cells(result.overview, spec or {}), result.objective, result.swept)
    rate = result.recorded / result.seconds
    speed = f" ({rate:,.{0 if rate >= 10 else 1}f} a second)" if result.recorded else ""
    option = tracking_option(tracking_uri)
    best_run = rows[0]["best run"] if rows else "RUN"
    show = f"one of them:   gradgrid show {best_run}{option}\n" if best_run else ""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in result.outcomes.items() if count)
    missing = result.planned - result.trials
    rest = f"the budget is over: {missing:,} trials are missing; `{resume}` trains them\n"
    print_note(f"refined: {result.refined}" if result.refined else "")
    click.echo(
        f"{rest if missing else ''}"
        f"{result.finished:,} trial{'' if result.finished == 1 else 's'} finished, {result.diverged:,} diverged "
        f"({counts}), in {result.seconds:.1f} s{speed}, "
        f"{_runs_text(result)} in {without_passwords(result.tracking_uri)}\n"
        f"{show}"
        f"all of it:     gradgrid report {result.sweep}{option}\n"
        f"the dashboard: {result.page or f'gradgrid dashboard {result.sweep}{option}'}",
        err=True,
    )


def _nothing_text(result: SweepResult, resume: str, spec: Mapping[str, Any]) -> str:
    """Return the message that a budget was over before any trial was recorded. resume: the command for the rest."""
    compares = (spec.get("search") or {}).get("method") in ("halving", "hyperband") or spec.get("early_stopping")
    why = (
        "trials are first compared and then recorded, and `resume` goes on with the comparison"
        if compares
        else "it counts from the start of the command, so reading the data is in it, and starting Ray if the sweep "
        "uses Ray"
    )
    return (
        f"the budget of --minutes was over before any of the {result.planned:,} trials was recorded; {why}\n"
        f"`{resume} --minutes N` goes on with a budget of N more minutes, and without "
        "--minutes it trains all"
    )


def _print_map(table: pd.DataFrame, metric: str, swept: Sequence[str]) -> None:
    """Print a large map as a picture if the terminal has colours, another sweep as a heat map of characters."""
    from service.cli.heat_map import sweep_map, sweep_picture

    width, height = picture_width(), picture_height()
    picture = sweep_picture(table, metric, swept, width, height) if height else None
    print_text(picture or sweep_map(table, metric, swept, width))


def _runs_text(result: SweepResult) -> str:
    if result.runs == result.trials:
        return "each an MLflow run"
    return f"{result.runs:,} of them MLflow runs and all in trials.parquet" if result.runs else "all in trials.parquet"


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return a leaderboard's entry. A single seed has no interval: low and high are None."""
    values = {**vars(entry), "params": dict(entry.params)}
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}


def sweep_json(sweep: SweepInfo) -> dict[str, Any]:
    """Return a recorded sweep."""
    return {
        "sweep": sweep.sweep,
        "spec": sweep.spec,
        "sweep_run_id": sweep.run_id,
        "experiment_id": sweep.experiment_id,
        "status": shown_status(sweep),
        "start_time": sweep.start_time,
        "planned": sweep.trial_count,
        "zoom_of": sweep.zoom_of,
        "params": dict(sweep.params),
        "metrics": dict(sweep.metrics),
    }


def settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a sweep file that say which trials are trained, and how long: `search.first` -> 10."""
    sections = {name: spec.get(name) or {} for name in ("search", "early_stopping", "refine")}
    return {f"{name}.{key}": value for name, section in sections.items() for key, value in section.items()}


def print_sweep(sweep: SweepInfo, store: Store) -> None:
    """Print a recorded sweep: its status, spec, metrics, leaderboard and heat map."""
    from service.inspection.rungs import recorded_rungs
    from service.recording.recorded_table import lost_runs_note, missing_trials_note, read_table
    from service.results.columns import columns_to_rank
    from service.results.leaderboard import entry_rows, means_text, ranked
    from service.results.refined_table import with_untrained_cells
    from service.results.rungs import rung_rows
    from service.results.trials_table import shown_params

    zoom = f", a zoom of {sweep.zoom_of}" if sweep.zoom_of else ""
    click.echo(f"{sweep.spec}/{sweep.sweep}: {_status(sweep)}, begun {_local_time(sweep.start_time)}{zoom}")
    spec = store.spec(sweep)
    own = settings(spec)
    given = {key: value for key, value in sweep.params.items() if f"{key}.method" not in own and f"{key}.to" not in own}
    print_rows([{"key": name, "value": value} for name, value in {**given, **own}.items()])
    print_rows([{"metric": name, "value": value} for name, value in sorted(sweep.metrics.items())])
    by = sweep.objective
    if rungs := recorded_rungs(store, sweep):
        print_rows(rung_rows(rungs), title=f"Rungs by {by}")
    table = read_table(store, sweep, columns_to_rank(sweep.swept, by))
    entries = ranked(table, by, shown_params(table.columns, sweep.swept), count=_LISTED)
    if missing := missing_trials_note(store, sweep, table):
        print_note(missing)
    else:
        _note_if_lost(sweep)
    print_note(lost_runs_note(store, sweep, table))
    print_rows(entry_rows(entries, by), title=f"The best by {by}{means_text(entries, sweep.swept)}")
    _print_map(with_untrained_cells(table, spec), by, sweep.swept)
    print_page(store, sweep)


def print_page(store: Store, sweep: SweepInfo) -> None:
    """Print the address of a sweep's trials in MLflow, or the command that serves them."""
    from service.recording.pages import served_page

    page = served_page(store, sweep) or f"gradgrid dashboard {sweep.sweep}{store.option}"
    click.echo(f"the dashboard: {page}", err=True)


def print_sweeps(sweeps: Sequence[SweepInfo]) -> None:
    """Print the store's sweeps."""
    rows = []
    zooms = any(sweep.zoom_of for sweep in sweeps)
    for sweep in sweeps:
        best = next(((name, value) for name, value in sweep.metrics.items() if name.startswith("best_")), None)
        counts = {name: int(sweep.metrics[name]) if name in sweep.metrics else "" for name in ("trials", "diverged")}
        if (recorded := counts["trials"]) != "" and " of " in (text := sweep.count_text(int(recorded))):
            counts["trials"] = text
        best_text = f"{best[0].removeprefix('best_')} {best[1]:.4g}" if best else ""
        row = {"sweep": sweep.sweep, "spec": sweep.spec, "status": _status(sweep), **counts}
        row |= {"best trial": best_text, "begun": _local_time(sweep.start_time)}
        rows.append(row | ({"zoom of": (sweep.zoom_of or "").rpartition("-")[2]} if zooms else {}))
    if rows:
        print_rows(rows)
    else:
        click.echo("the store has no sweeps yet; `gradgrid sweep moons` makes one", err=True)
    for sweep in sweeps:
        _note_if_lost(sweep)


def job_json(job: Job) -> dict[str, Any]:
    """Return a cluster's job."""
    return {"job": job.id, **{name: value for name, value in vars(job).items() if name != "id"}}


def print_job(job: Job, last_line: str) -> None:
    """Print a cluster's job: its status, its message and the last line of its log."""
    click.echo(f"{job.id}: {job.status.lower()}, begun {_local_time(job.start_time)}")
    click.echo(job.message)
    if last_line:
        click.echo(f"last line: {last_line}")


def print_jobs(jobs: Sequence[Job]) -> None:
    """Print a cluster's jobs."""
    if not jobs:
        click.echo("the cluster has no jobs; `gradgrid submit moons` makes one", err=True)
        return
    print_rows(
        [
            {"job": job.id, "spec": job.spec, "status": job.status.lower(), "begun": _local_time(job.start_time)}
            for job in jobs
        ]
    )


def _status(sweep: SweepInfo) -> str:
    status = shown_status(sweep)
    return {"KILLED": "interrupted"}.get(status, status.lower())


def _note_if_lost(sweep: SweepInfo) -> None:
    why = why_lost(sweep)
    if why:
        click.echo(f"{sweep.sweep} is lost: {why}; `gradgrid resume {sweep.sweep}` trains the rest", err=True)


def _local_time(milliseconds: int) -> str:
    """Return a time on this machine's clock. milliseconds: since 1970."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return the result of an audit."""
    return {
        "trials": verdict.trials,
        "figures": verdict.figures,
        "equal": verdict.figures - len(verdict.differences),
        "within_tolerance": len(verdict.differences) - len(verdict.significant),
        "differences": [vars(difference) for difference in verdict.significant],
    }


def print_verdict(verdict: Verdict) -> None:
    """Print the result of an audit, and the first figures that differ."""
    within = len(verdict.differences) - len(verdict.significant)
    trials = f"{verdict.trials:,} trial{'' if verdict.trials == 1 else 's'}"
    click.echo(
        f"{trials} trained again, {verdict.figures:,} figures compared: "
        f"{verdict.figures - len(verdict.differences):,} equal to the last bit"
        + (f", {within:,} within 1e-9, as on another machine or with another NumPy" if within else "")
        + (f", {len(verdict.significant):,} DIFFERENT" if verdict.significant else "")
    )
    if verdict.significant:
        print_rows([{**vars(d), "relative": d.relative} for d in verdict.significant[:_LISTED]])
