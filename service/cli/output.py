"""Results of the commands, as JSON and as text. Results go to stdout, notes about them to stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from service.cli.options import print_note
from service.cli.tables import picture_height, picture_width, print_rows, print_text
from service.execution.estimate import sweep_seconds
from service.recording.redaction import tracking_option, without_passwords
from service.recording.signs_of_life import shown_status, why_lost

if TYPE_CHECKING:
    import pandas as pd

    from experiments.data.datasets import Dataset
    from experiments.trials import BlockCounts
    from service.execution.jobs import Job
    from service.execution.plan import Plan
    from service.execution.result import SweepResult
    from service.inspection.doctor import Finding
    from service.inspection.verify import Verdict
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.results.leaderboard import Entry

_LISTED = 10


def plan_json(plan: Plan, workers: int | None) -> dict[str, Any]:
    """Return a dry run's result. Figures of the work are those of the last extension, if there is one.

    workers: how many tasks train at once; None if the sweep's own process trains.
    """
    new = plan.newest
    return {
        "name": plan.name,
        "trials": plan.trials,
        "new": new.trials,
        "blocks": [_block_json(counts) for counts in plan.grid.blocks],
        "programs": len(set(new.programs)),
        "shards": new.shard_count(workers or 1),
        "runs": new.runs,
        "metric_rows": new.metric_rows,
        "seconds": round(sweep_seconds(new, workers), 1),
        "data": _data_json(plan.dataset),
        "data_sets": len(plan.datasets),
        "notes": list(plan.notes),
    }


def _block_json(counts: BlockCounts) -> dict[str, Any]:
    block = counts.block
    factors = [{"axes": list(names), "values": _values_json(block.axes[names[0]])} for names in block.together]
    numbers = {"points": block.points, "unmet": counts.unmet, "equal": counts.equal, "trials": counts.trials}
    return {"block": block.name, "factors": factors, **numbers}


def _values_json(values: Sequence[Any]) -> int | list[float]:
    """Return how many values an axis has; the two ends of one from which a search draws."""
    from experiments.axis import Interval

    return [values.low, values.high] if isinstance(values, Interval) else len(values)


def _data_json(data: Dataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "task": data.task,
        "fingerprint": data.fingerprint,
        "samples": len(data.training_targets),
        "test_samples": len(data.test_targets),
        "validation_samples": len(data.validation_targets),
        "columns": len(data.columns),
        "inputs": data.feature_count,
        "encoded": {column.name: column.categories for column in data.columns if column.categories is not None},
        "rows_dropped": data.dropped,
        "cells_filled": data.filled,
        "notes": data.notes,
    }


def _data_lines(data: Dataset) -> list[str]:
    samples = f"{len(data.training_targets):,} samples, {len(data.test_targets):,} to test on"
    if len(data.validation_targets):
        samples += f", {len(data.validation_targets):,} to validate on"
    inputs = f"{data.feature_count} input{'s' * (data.feature_count != 1)}"
    lines = [f"data      {data.name}, {data.task}: {samples}, {inputs}"]
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


def print_plan(plan: Plan, workers: int | None) -> None:
    """Print a dry run's result. workers: as for `plan_json`."""
    from experiments.axis import MAX_TRIALS

    values = plan_json(plan, workers)
    blocks = plan.grid.blocks
    axes = blocks[0].block.factors if len(blocks) == 1 else ""
    weights = sorted({program.weight_count for program in plan.newest.programs})
    where = f"on {workers} worker{'s' if workers > 1 else ''}" if workers else "in the sweep's own process"
    of_which = f", {values['new']:,} of them new" if values["new"] < plan.trials else ""
    lines = [
        f"{plan.name}: {plan.trials:,} trials{of_which}{f' ({axes})' if axes else ''}, of {MAX_TRIALS:,} at most",
        *_block_lines(blocks),
        *(
            ["refine    only the coarse map and its edge are trained: the figures below are for every trial"]
            * plan.is_refined
        ),
        *_data_lines(plan.dataset),
        *([f"          {len(plan.datasets):,} data sets; this is the first"] if len(plan.datasets) > 1 else []),
        f"programs  {values['programs']}, with {' or '.join(map(str, weights))} weights",
        f"shards    {values['shards']:,} {where}",
        f"MLflow    {values['runs']:,} runs, {values['metric_rows']:,} metric rows",
        f"time      about {values['seconds']:,.0f} s",
        *(f"note      {text}" for text in plan.notes),
    ]
    click.echo("\n".join(lines))


def _block_lines(blocks: Sequence[BlockCounts]) -> list[str]:
    """Return the lines of the blocks, if there are several or if some points are no trials."""
    if len(blocks) == 1:
        left_out = _left_out(blocks[0])
        return [f"grid      {blocks[0].block.points:,} points{left_out}"] if left_out else []
    return [
        f"{counts.block.name:9} {counts.trials:,} trials: {counts.block.factors or 'no axes'}{_left_out(counts)}"
        for counts in blocks
    ]


def _left_out(counts: BlockCounts) -> str:
    """Return how many points of a block are no trials, and why; empty if all are."""
    unmet = f", {counts.unmet:,} left out by only" if counts.unmet else ""
    equal = f", {counts.equal:,} equal to earlier ones" if counts.equal else ""
    return unmet + equal


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


def print_result(result: SweepResult, tracking_uri: str | None, spec: Mapping[str, Any] | None = None) -> None:
    """Print the leaderboard and the heat map of a sweep that has just run, and the commands that show more.

    spec: the content of the sweep file.
    """
    from service.results.leaderboard import entry_rows, ranked
    from service.results.refined_table import with_untrained_cells
    from service.results.trials_table import shown_params

    names = shown_params(result.overview.columns, result.swept)
    entries = ranked(result.overview, result.objective, names, count=_LISTED)
    rows = entry_rows(entries, result.objective)
    repeats = "seeds and folds" if "dataset.fold" in result.swept else "seeds"
    means = f", means over {repeats}" if any(entry.trials > 1 for entry in entries) else ""
    print_rows(rows, title=f"The best of {result.trials:,} trials by {result.objective}{means}")
    _print_map(with_untrained_cells(result.overview, spec or {}), result.objective, result.swept)
    rate = result.recorded / result.seconds
    speed = f" ({rate:,.{0 if rate >= 10 else 1}f} a second)" if result.recorded else ""
    option = tracking_option(tracking_uri)
    best_run = rows[0]["best run"] if rows else "RUN"
    show = f"one of them:   gradgrid show {best_run}{option}\n" if best_run else ""
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in result.outcomes.items() if count)
    missing = result.planned - result.trials
    rest = f"the budget is over: {missing:,} trials are missing; `gradgrid resume {result.sweep}{option}` trains them\n"
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


def _print_map(table: pd.DataFrame, metric: str, swept: Sequence[str]) -> None:
    """Print a large map as a picture if the terminal has colours, another sweep as a heat map of characters."""
    from service.cli.heat_map import sweep_map, sweep_picture

    width, height = picture_width(), picture_height()
    picture = sweep_picture(table, metric, swept, width, height) if height else None
    print_text(picture or sweep_map(table, metric, swept, width))


def _runs_text(result: SweepResult) -> str:
    runs = int(result.overview["run_id"].notna().sum())
    if runs == result.trials:
        return "each an MLflow run"
    return f"{runs:,} of them MLflow runs and all in trials.parquet" if runs else "all in trials.parquet"


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
        "params": dict(sweep.params),
        "metrics": dict(sweep.metrics),
    }


def print_sweep(sweep: SweepInfo, store: Store) -> None:
    """Print a recorded sweep: its status, spec, metrics, leaderboard and heat map."""
    from service.recording.recorded_table import lost_runs_note, read_table
    from service.results.leaderboard import entry_rows, ranked
    from service.results.refined_table import with_untrained_cells
    from service.results.trials_table import shown_params

    click.echo(f"{sweep.spec}/{sweep.sweep}: {_status(sweep)}, begun {_local_time(sweep.start_time)}")
    _note_if_lost(sweep)
    print_rows([{"key": name, "value": value} for name, value in sweep.params.items()])
    print_rows([{"metric": name, "value": value} for name, value in sorted(sweep.metrics.items())])
    table, by = read_table(store, sweep), sweep.objective
    entries = ranked(table, by, shown_params(table.columns, sweep.swept), count=_LISTED)
    print_note(lost_runs_note(store, sweep, table))
    print_rows(entry_rows(entries, by), title=f"The best by {by}")
    _print_map(with_untrained_cells(table, store.spec(sweep)), by, sweep.swept)
    print_page(store, sweep)


def print_page(store: Store, sweep: SweepInfo) -> None:
    """Print the address of a sweep's trials in MLflow, or the command that serves them."""
    from service.recording.pages import served_page

    page = served_page(store, sweep) or f"gradgrid dashboard {sweep.sweep}{store.option}"
    click.echo(f"the dashboard: {page}", err=True)


def print_sweeps(sweeps: Sequence[SweepInfo]) -> None:
    """Print the store's sweeps."""
    rows = []
    for sweep in sweeps:
        best = next(((name, value) for name, value in sweep.metrics.items() if name.startswith("best_")), None)
        counts = {name: int(sweep.metrics[name]) if name in sweep.metrics else "" for name in ("trials", "diverged")}
        best_text = f"{best[0].removeprefix('best_')} {best[1]:.4g}" if best else ""
        row = {"sweep": sweep.sweep, "spec": sweep.spec, "status": _status(sweep), **counts}
        rows.append({**row, "best": best_text, "begun": _local_time(sweep.start_time)})
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


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the doctor's findings, and below them the remedies."""
    print_rows([{"": "ok" if f.ok else "WRONG", "subject": f.subject, "seen": f.detail} for f in findings])
    for finding in findings:
        if not finding.ok:
            click.echo(f"{finding.subject}: {finding.remedy}", err=True)


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
