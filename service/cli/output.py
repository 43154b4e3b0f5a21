"""Text and JSON of what the commands show. Results go to stdout, what is said about them to stderr."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.options import tell
from service.execution.estimate import SECONDS_A_ROW, SECONDS_A_RUN
from service.recording.redaction import tracking_option, without_passwords
from service.recording.signs_of_life import shown_status, why_lost

if TYPE_CHECKING:
    from experiments.data.datasets import Dataset
    from service.execution.jobs import Job
    from service.execution.plan import Plan
    from service.execution.result import SweepResult
    from service.inspection.doctor import Finding
    from service.inspection.verify import Verdict
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.results.leaderboard import Entry

_PICTURE = 80
_WIDE = 200  # columns where nobody's terminal sets a limit
_LISTED = 10
_START_SECONDS = 6.0  # of Ray and MLflow


def plan_values(plan: Plan, workers: int) -> dict[str, Any]:
    """What a dry run tells."""
    recording = plan.runs * SECONDS_A_RUN + plan.metric_rows * SECONDS_A_ROW
    return {
        "name": plan.name,
        "trials": plan.trials,
        "programs": len(set(plan.programs)),
        "shards": len(plan.shards(workers)),
        "runs": plan.runs,
        "metric_rows": plan.metric_rows,
        "seconds": round(_START_SECONDS + plan.seconds / workers + recording, 1),
        "data": _data_values(plan.dataset),
        "notes": list(plan.notes),
    }


def _data_values(data: Dataset) -> dict[str, Any]:
    """Samples, and how the table's columns become inputs."""
    return {
        "name": data.name,
        "task": data.task,
        "fingerprint": data.fingerprint,
        "samples": len(data.training_targets),
        "test_samples": len(data.test_targets),
        "columns": len(data.columns),
        "inputs": data.feature_count,
        "encoded": {column.name: column.categories for column in data.columns if column.categories is not None},
        "rows_dropped": data.dropped,
        "cells_filled": data.filled,
        "notes": data.notes,
    }


def _data_lines(data: Dataset) -> list[str]:
    parts = f"{len(data.training_targets):,} samples, {len(data.test_targets):,} to test on"
    inputs = f"{data.feature_count} input{'s' * (data.feature_count != 1)}"
    lines = [f"data      {data.name}, {data.task}: {parts}, {inputs}"]
    encoded = [f"{c.name} ({_shortened(c.categories)})" for c in data.columns if c.categories is not None]
    if encoded:
        lines.append(
            f"encoded   {len(data.columns)} column{'s' * (len(data.columns) != 1)} make {inputs}: {', '.join(encoded)}"
        )
    if data.dropped or data.filled:
        rows, cells = f"row{'s' * (data.dropped != 1)}", f"cell{'s' * (data.filled != 1)}"
        lines.append(f"empty     {data.dropped:,} {rows} dropped, {data.filled:,} {cells} filled")
    return lines


def _shortened(names: Sequence[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def plan_text(plan: Plan, workers: int) -> str:
    """What a dry run tells, in words."""
    from experiments.axis import MAX_TRIALS

    values = plan_values(plan, workers)
    axes = " x ".join(f"{len(axis):,} {name}" for name, axis in plan.sweepable.axes.items())
    weights = sorted({program.weight_count for program in plan.programs})
    return "\n".join(
        [
            f"{plan.name}: {plan.trials:,} trials{f' ({axes})' if axes else ''}, of {MAX_TRIALS:,} at most",
            *_data_lines(plan.dataset),
            f"programs  {values['programs']}, with {' or '.join(map(str, weights))} weights",
            f"shards    {values['shards']:,} on {workers} worker{'s' if workers > 1 else ''}",
            f"MLflow    {plan.runs:,} runs, {values['metric_rows']:,} metric rows",
            f"time      about {values['seconds']:,.0f} s",
            *(f"note      {text}" for text in plan.notes),
        ]
    )


def result_values(result: SweepResult) -> dict[str, Any]:
    """A sweep's result; the keys are a contract."""
    return {
        "sweep": result.sweep,
        "sweep_run_id": result.sweep_run_id,
        "experiment_id": result.experiment_id,
        "tracking_uri": without_passwords(result.tracking_uri),
        "trials": result.trials,
        "finished": result.finished,
        "diverged": result.diverged,
        "outcomes": result.outcomes,
        "seconds": round(result.seconds, 3),
        "best": result.best,
    }


def result_text(result: SweepResult, tracking_uri: str | None) -> None:
    """The leaderboard of a sweep that has just been run, and where to go from here."""
    from service.cli.heat_map import sweep_map
    from service.results.leaderboard import entry_rows, ranked
    from service.results.trials_table import shown_params

    names = shown_params(result.table.columns, result.swept)
    entries = ranked(result.table, result.objective, names, count=_LISTED)
    rows = entry_rows(entries, result.objective)
    means = ", means over seeds" if any(entry.trials > 1 for entry in entries) else ""
    rows_text(rows, title=f"The best of {result.trials:,} trials by {result.objective}{means}")
    show_text(sweep_map(result.table, result.objective, result.swept, terminal_width()))
    rate = result.recorded / result.seconds
    speed = f" ({rate:,.{0 if rate >= 10 else 1}f} a second)" if result.recorded else ""
    option = tracking_option(tracking_uri)
    one = rows[0]["best run"] if rows else "RUN"
    shown = f"one of them:   gradgrid show {one}{option}\n" if one else ""
    ends = ", ".join(f"{count:,} {outcome}" for outcome, count in result.outcomes.items() if count)
    click.echo(
        f"{result.finished:,} trial{'' if result.finished == 1 else 's'} finished, {result.diverged:,} diverged "
        f"({ends}), in {result.seconds:.1f} s{speed}, "
        f"{_runs_text(result)} in {without_passwords(result.tracking_uri)}\n"
        f"{shown}"
        f"all of it:     gradgrid report {result.sweep}{option}\n"
        f"the dashboard: {result.page or f'gradgrid dashboard {result.sweep}{option}'}",
        err=True,
    )


def _runs_text(result: SweepResult) -> str:
    runs = int(result.table["run_id"].notna().sum())
    if runs == result.trials:
        return "each an MLflow run"
    return f"{runs:,} of them MLflow runs and all in trials.parquet" if runs else "all in trials.parquet"


def entry_values(entry: Entry) -> dict[str, Any]:
    """A leaderboard's entry; no interval where there is a single seed."""
    values = {**vars(entry), "params": dict(entry.params)}
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}


def rows_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown."""
    names = list(rows[0]) if rows else []
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows)])


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table as CSV, numbers in full."""
    text = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(text, [name or "rank" for name in names], lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name or "rank": value for name, value in row.items()} for row in rows])
    return text.getvalue().rstrip()


def sweep_values(sweep: SweepInfo) -> dict[str, Any]:
    """A recorded sweep."""
    return {
        "sweep": sweep.sweep,
        "spec": sweep.spec,
        "sweep_run_id": sweep.run_id,
        "experiment_id": sweep.experiment_id,
        "status": shown_status(sweep),
        "start_time": sweep.start_time,
        "params": dict(sweep.params),
        "metrics": dict(sweep.metrics),
    }


def sweep_text(sweep: SweepInfo, store: Store) -> None:
    """A recorded sweep: its spec in short, how it went, and the best of it."""
    from service.cli.heat_map import sweep_map
    from service.recording.recorded_table import lost_runs_note, read_table
    from service.results.leaderboard import entry_rows, ranked
    from service.results.trials_table import shown_params

    click.echo(f"{sweep.spec}/{sweep.sweep}: {_status(sweep)}, begun {_when(sweep.start_time)}")
    _tell_if_lost(sweep)
    rows_text([{"key": name, "value": value} for name, value in sweep.params.items()])
    rows_text([{"metric": name, "value": value} for name, value in sorted(sweep.metrics.items())])
    table, by = read_table(store, sweep), sweep.objective
    entries = ranked(table, by, shown_params(table.columns, sweep.swept), count=_LISTED)
    tell(lost_runs_note(store, sweep, table))
    rows_text(entry_rows(entries, by), title=f"The best by {by}")
    show_text(sweep_map(table, by, sweep.swept, terminal_width()))
    page_text(store, sweep)


def page_text(store: Store, sweep: SweepInfo) -> None:
    """Where a sweep's trials are shown: the address, or the command that serves them."""
    from service.recording.pages import served_page

    page = served_page(store, sweep) or f"gradgrid dashboard {sweep.sweep}{store.option}"
    click.echo(f"the dashboard: {page}", err=True)


def sweeps_text(sweeps: Sequence[SweepInfo]) -> None:
    """The store's sweeps."""
    rows = []
    for sweep in sweeps:
        best = next(((name, value) for name, value in sweep.metrics.items() if name.startswith("best_")), None)
        counts = {name: int(sweep.metrics[name]) if name in sweep.metrics else "" for name in ("trials", "diverged")}
        shown = f"{best[0].removeprefix('best_')} {best[1]:.4g}" if best else ""
        row = {"sweep": sweep.sweep, "spec": sweep.spec, "status": _status(sweep), **counts}
        rows.append({**row, "best": shown, "begun": _when(sweep.start_time)})
    if rows:
        rows_text(rows)
    else:
        click.echo("the store has no sweeps yet; `gradgrid sweep moons` makes one", err=True)
    for sweep in sweeps:
        _tell_if_lost(sweep)


def job_values(job: Job) -> dict[str, Any]:
    """A cluster's job."""
    return {"job": job.id, **{name: value for name, value in vars(job).items() if name != "id"}}


def job_text(job: Job, last: str) -> None:
    """A cluster's job: how it goes, and the last that it said."""
    click.echo(f"{job.id}: {job.status.lower()}, begun {_when(job.start_time)}")
    click.echo(job.message)
    if last:
        click.echo(f"last said: {last}")


def jobs_text(jobs: Sequence[Job]) -> None:
    """A cluster's jobs."""
    if not jobs:
        click.echo("the cluster has no jobs; `gradgrid submit moons` makes one", err=True)
        return
    rows_text(
        [
            {"job": job.id, "spec": job.spec, "status": job.status.lower(), "begun": _when(job.start_time)}
            for job in jobs
        ]
    )


def _status(sweep: SweepInfo) -> str:
    status = shown_status(sweep)
    return {"KILLED": "interrupted"}.get(status, status.lower())


def _tell_if_lost(sweep: SweepInfo) -> None:
    why = why_lost(sweep)
    if why:
        click.echo(f"{sweep.sweep} is lost: {why}; `gradgrid resume {sweep.sweep}` trains the rest", err=True)


def _when(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(milliseconds / 1000))


def findings_text(findings: Sequence[Finding]) -> None:
    """What the doctor saw, and below it what to do."""
    rows_text([{"": "ok" if f.ok else "WRONG", "subject": f.subject, "seen": f.detail} for f in findings])
    for finding in findings:
        if not finding.ok:
            click.echo(f"{finding.subject}: {finding.remedy}", err=True)


def verdict_values(verdict: Verdict) -> dict[str, Any]:
    """What an audit found."""
    return {
        "trials": verdict.trials,
        "figures": verdict.figures,
        "equal": verdict.figures - len(verdict.differences),
        "within_tolerance": len(verdict.differences) - len(verdict.significant),
        "differences": [vars(difference) for difference in verdict.significant],
    }


def verdict_text(verdict: Verdict) -> None:
    """What an audit found, in words, and the first figures that differ."""
    within = len(verdict.differences) - len(verdict.significant)
    trials = f"{verdict.trials:,} trial{'' if verdict.trials == 1 else 's'}"
    click.echo(
        f"{trials} trained again, {verdict.figures:,} figures compared: "
        f"{verdict.figures - len(verdict.differences):,} equal to the last bit"
        + (f", {within:,} within 1e-9, as on another machine or with another NumPy" if within else "")
        + (f", {len(verdict.significant):,} DIFFERENT" if verdict.significant else "")
    )
    if verdict.significant:
        rows_text([{**vars(d), "relative": d.relative} for d in verdict.significant[:_LISTED]])


def show_text(text: Text | None) -> None:
    """Text with its colours on stdout, where there is any and a terminal shows them."""
    if text is not None:
        _console().print(text)


def terminal_width() -> int:
    """Columns that a picture may have: the terminal's, or 80 where there is none."""
    console = Console()
    return console.width if console.is_terminal else _PICTURE


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def rows_text(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """A table on stdout; where it is no terminal, lines are as long as they need to be."""
    console = _console()
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in columns:
        numeric = all(isinstance(row.get(name), (int, float, type(None))) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in columns))  # as text: [b] is no markup
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={item:g}" for name, item in value.items())
    return str(value)
