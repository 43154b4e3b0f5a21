"""Commands that run a sweep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from service.cli import options

if TYPE_CHECKING:
    from experiments.spec import ResolvedSpec


@click.command()
@click.argument("spec", required=False)
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option("--dry-run", is_flag=True, help="Print the number of trials and the time they need; run nothing.")
@click.option("--resume", metavar="SWEEP", help="Train the trials that an interrupted sweep has not recorded.")
@options.trust_parts
@options.run_options
@options.as_json
@options.handle_errors
def sweep(
    spec: str | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    workers: int | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
    **run_options: Any,
) -> None:
    """Train every trial of SPEC, a sweep file or a ready sweep's name, and record each as an MLflow run."""
    from experiments.spec import load_spec

    if spec is None and resume is None:
        raise click.UsageError(f"Missing argument 'SPEC': a sweep file, or a ready sweep: {_ready_sweeps()}.")
    resolved = load_spec(spec, assignments) if spec is not None else _recorded(str(resume), tracking_uri, trust_parts)
    if dry_run:
        _print_plan(resolved, tracking_uri, as_json, workers=workers, **run_options)
    else:
        _run(resolved, tracking_uri, resume, as_json, workers=workers, **run_options)


def _print_plan(resolved: ResolvedSpec, tracking_uri: str | None, as_json: bool, **run_options: Any) -> None:
    """Print the result of a dry run."""
    from service.cli.plan_output import plan_json, print_plan
    from service.execution.estimate import estimated
    from service.execution.plan import make_plan

    plan = make_plan(resolved)
    estimate = estimated(plan.newest, tracking_uri, **options.where(run_options))
    options.emit(as_json, lambda: plan_json(plan, estimate), lambda: print_plan(plan, estimate))


@click.command()
@click.argument("sweep")
@options.trust_parts
@options.run_options
@options.as_json
@options.handle_errors
def resume(sweep: str, trust_parts: bool, tracking_uri: str | None, as_json: bool, **run_options: Any) -> None:
    """Train the trials that an interrupted SWEEP has not recorded. Its spec is read from the store."""
    _run(_recorded(sweep, tracking_uri, trust_parts), tracking_uri, sweep, as_json, **run_options)


@click.command()
@click.argument("sweep")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    required=True,
    metavar="K=V",
    help="A key that is different in the new trials: --set grid.seed.range=20.",
)
@click.option("--dry-run", is_flag=True, help="Print the number of trials and the time they need; run nothing.")
@options.trust_parts
@options.run_options
@options.as_json
@options.handle_errors
def extend(
    sweep: str,
    assignments: tuple[str, ...],
    dry_run: bool,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
    **run_options: Any,
) -> None:
    """Add trials to SWEEP, and train only what it does not have: more values, seeds, blocks, steps or points."""
    from service.execution.recorded_plan import extended_spec
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    info = store.find_sweep(sweep)
    resolved = extended_spec(store, info, assignments)
    if dry_run:
        _print_plan(resolved, tracking_uri, as_json, **run_options)
    else:
        _run(resolved, tracking_uri, info.sweep, as_json, extend=True, **run_options)


def _recorded(sweep: str, tracking_uri: str | None, trust_parts: bool) -> ResolvedSpec:
    """Return the spec of a recorded sweep."""
    from service.execution.recorded_plan import recorded_spec
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    return recorded_spec(store, store.find_sweep(sweep))


def _run(
    resolved: ResolvedSpec, tracking_uri: str | None, resume: str | None, as_json: bool, **run_options: Any
) -> None:
    """Run a sweep, or the rest of the sweep `resume`, and print the result."""
    if run_options["inline"] and run_options["address"]:
        raise click.UsageError("--inline trains without Ray; leave --address out.")
    from service.cli.output import print_result, result_json
    from service.cli.progress import make_progress
    from service.run import run_sweep

    job = os.environ.get("GRADGRID_JOB")
    result = run_sweep(
        resolved, tracking_uri=tracking_uri, resume=resume, job=job, observer=make_progress(), **run_options
    )
    options.emit(
        as_json,
        lambda: result_json(result),
        lambda: print_result(result, tracking_uri, resolved.source.data, inline=run_options["inline"]),
    )


def _ready_sweeps() -> str:
    from experiments.spec import ready_sweeps

    return ", ".join(ready_sweeps())
