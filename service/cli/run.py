"""Commands that run a sweep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from service.cli import options

if TYPE_CHECKING:
    from experiments.spec import Sweepable


@click.command()
@click.argument("spec", required=False)
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option("--dry-run", is_flag=True, help="Say how much it would be, and run nothing.")
@click.option("--resume", metavar="SWEEP", help="Train what an interrupted sweep has not recorded.")
@options.trust_parts
@options.running
@options.as_json
@options.reported
def sweep(
    spec: str | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    workers: int | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
    **running: Any,
) -> None:
    """Train every trial of SPEC, a sweep file or the name of a ready sweep, and record each as an MLflow run."""
    from experiments.spec import load_spec

    if spec is None and resume is None:
        raise click.UsageError(f"Missing argument 'SPEC': a sweep file, or a ready sweep: {_ready()}.")
    sweepable = load_spec(spec, assignments) if spec is not None else _recorded(str(resume), tracking_uri, trust_parts)
    if not dry_run:
        _run(sweepable, tracking_uri, resume, as_json, workers=workers, **running)
        return
    from service.cli.output import plan_text, plan_values
    from service.execution.cores import available_cores
    from service.execution.plan import make_plan

    plan = make_plan(sweepable)
    cores = workers or available_cores()
    options.print_json(plan_values(plan, cores)) if as_json else click.echo(plan_text(plan, cores))


@click.command()
@click.argument("sweep")
@options.trust_parts
@options.running
@options.as_json
@options.reported
def resume(sweep: str, trust_parts: bool, tracking_uri: str | None, as_json: bool, **running: Any) -> None:
    """Train what an interrupted SWEEP has not recorded; its spec is read back from the store."""
    _run(_recorded(sweep, tracking_uri, trust_parts), tracking_uri, sweep, as_json, **running)


def _recorded(sweep: str, tracking_uri: str | None, trust_parts: bool) -> Sweepable:
    """The spec of a sweep that was recorded."""
    from service.execution.recorded_plan import recorded_spec
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    return recorded_spec(store, store.find_sweep(sweep))


def _run(sweepable: Sweepable, tracking_uri: str | None, resume: str | None, as_json: bool, **running: Any) -> None:
    """Run a sweep, or what is left of one, and show what it came to."""
    if running["inline"] and running["address"]:
        raise click.UsageError("--inline trains without Ray; leave --address out.")
    from service.cli.output import result_text, result_values
    from service.cli.progress import make_progress
    from service.run import run_sweep

    job = os.environ.get("GRADGRID_JOB")
    result = run_sweep(
        sweepable, tracking_uri=tracking_uri, resume=resume, job=job, observer=make_progress(), **running
    )
    if as_json:
        options.print_json(result_values(result))
    else:
        result_text(result, tracking_uri)


def _ready() -> str:
    from experiments.spec import ready_sweeps

    return ", ".join(ready_sweeps())
