"""The command: each one parses, calls the library once and renders. Heavy imports stay inside what needs them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from service import jobs_cli, options, seeing_cli

if TYPE_CHECKING:
    from experiments.spec import Sweepable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradgrid")
@click.option("--profile", envvar="GRADGRID_PROFILE", metavar="NAME", help="A cluster of the configuration file.")
@options.reported
def main(profile: str | None) -> None:
    """Train grids of small neural networks on Ray, every trial an MLflow run.

    Begin with: gradgrid sweep moons
    """
    if profile:
        from service.profiles import use_profile

        use_profile(profile)


@main.command()
@click.argument("spec", required=False)
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option("--dry-run", is_flag=True, help="Say how much it would be, and run nothing.")
@click.option("--resume", metavar="SWEEP", help="Train what an interrupted sweep has not recorded.")
@options.running
@options.as_json
@options.reported
def sweep(
    spec: str | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    workers: int | None,
    tracking_uri: str | None,
    as_json: bool,
    **running: Any,
) -> None:
    """Train every trial of SPEC, a sweep file or the name of a ready sweep, and record each as an MLflow run."""
    from experiments.spec import load_spec

    if spec is None and resume is None:
        raise click.UsageError(f"Missing argument 'SPEC': a sweep file, or a ready sweep: {_ready()}.")
    sweepable = load_spec(spec, assignments) if spec is not None else _recorded(str(resume), tracking_uri)
    if not dry_run:
        _run(sweepable, tracking_uri, resume, as_json, workers=workers, **running)
        return
    from service.cluster import available_cores
    from service.plan import make_plan
    from service.render import plan_text, plan_values

    plan = make_plan(sweepable)
    cores = workers or available_cores()
    options.print_json(plan_values(plan, cores)) if as_json else click.echo(plan_text(plan, cores))


@main.command()
@click.argument("sweep")
@options.running
@options.as_json
@options.reported
def resume(sweep: str, tracking_uri: str | None, as_json: bool, **running: Any) -> None:
    """Train what an interrupted SWEEP has not recorded; its spec is read back from the store."""
    _run(_recorded(sweep, tracking_uri), tracking_uri, sweep, as_json, **running)


def _recorded(sweep: str, tracking_uri: str | None) -> Sweepable:
    """The spec of a sweep that was recorded."""
    from service.recording.sweeps import Store
    from service.resume import recorded_spec

    store = Store(tracking_uri)
    return recorded_spec(store, store.find_sweep(sweep))


def _run(sweepable: Sweepable, tracking_uri: str | None, resume: str | None, as_json: bool, **running: Any) -> None:
    """Run a sweep, or what is left of one, and show what it came to."""
    if running["inline"] and running["address"]:
        raise click.UsageError("--inline trains without Ray; leave --address out.")
    from service.progress import make_progress
    from service.render import result_text, result_values
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


@main.command()
@click.argument("target", metavar="RUN|SWEEP")
@click.option("--name", required=True, metavar="NAME", help="Of the model in the registry.")
@options.tracking_uri
@options.as_json
@options.reported
def promote(target: str, name: str, tracking_uri: str | None, as_json: bool) -> None:
    """Register a trial's network, RUN by the beginning of its run id, or the best of SWEEP, as an MLflow model."""
    from service.models import promote as register
    from service.recording.sweeps import Store

    store = Store(tracking_uri)
    made = register(store, store.find_trial(target, best=True), name)
    if as_json:
        options.print_json(vars(made))
    else:
        click.echo(made.uri)
        click.echo(f"registered; mlflow.pyfunc.load_model({made.uri!r}) gives it back", err=True)


@main.command("list")
@click.option("--jobs", is_flag=True, help="The cluster's jobs instead.")
@options.jobs_address
@options.token
@options.tracking_uri
@options.as_json
@options.reported
def list_sweeps(
    jobs: bool, jobs_address: str | None, token: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """List the store's sweeps, newest first."""
    if jobs:
        from service.cluster import open_jobs
        from service.jobs import Jobs
        from service.render import job_values, jobs_text

        with open_jobs(jobs_address, token) as client:
            known = Jobs(client).all()
        options.print_json({"jobs": list(map(job_values, known))}) if as_json else jobs_text(known)
        return
    from service.recording.sweeps import Store
    from service.render import sweep_values, sweeps_text

    sweeps = Store(tracking_uri).sweeps()
    options.print_json({"sweeps": list(map(sweep_values, sweeps))}) if as_json else sweeps_text(sweeps)


@main.command()
@click.argument("target", metavar="SWEEP|RUN")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N trials, chosen at random.")
@options.tracking_uri
@options.as_json
@options.reported
def verify(target: str, sample: int | None, tracking_uri: str | None, as_json: bool) -> None:
    """Train recorded trials again, and compare every recorded figure and final weight with what comes out."""
    from service.recording.infos import SweepInfo
    from service.recording.sweeps import Store
    from service.render import verdict_text, verdict_values
    from service.verify import verify as audit

    store = Store(tracking_uri)
    found = store.find(target)
    if isinstance(found, SweepInfo):
        verdict = audit(store, found, sample=sample)
    else:
        verdict = audit(store, store.find_sweep(found.tags["gradgrid.sweep"]), run_id=found.run_id)
    options.print_json(verdict_values(verdict)) if as_json else verdict_text(verdict)
    sys.exit(1 if verdict.significant else 0)


@main.command()
@click.argument("sweep")
@click.option("-o", "--output", metavar="FILE", help="Its ending is the format; by default SWEEP.parquet here.")
@options.tracking_uri
@options.as_json
@options.reported
def export(sweep: str, output: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Write every trial of SWEEP, a row each, to a .parquet, .csv or .json file."""
    from pathlib import Path

    from service.export import export_sweep
    from service.recording.sweeps import Store

    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    path = Path(output or f"{found.sweep}.parquet")
    trials = export_sweep(store, found, path)
    if as_json:
        options.print_json({"sweep": found.sweep, "file": str(path), "trials": trials})
    else:
        click.echo(f"{trials:,} trials of {found.spec}/{found.sweep} are in {path}", err=True)


@main.command()
@click.argument("sweep")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.tracking_uri
@options.reported
def delete(sweep: str, yes: bool, tracking_uri: str | None) -> None:
    """Delete SWEEP and its trials, as MLflow deletes: they can be restored until `mlflow gc` is run."""
    from service.recording.sweeps import Store

    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    if not yes:
        click.confirm(f"Delete {found.spec}/{found.sweep} and all its trials?", abort=True, err=True)
    store.delete(found)
    click.echo(f"{found.spec}/{found.sweep} is deleted", err=True)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on this machine.")
@options.tracking_uri
@options.reported
def dashboard(port: int, tracking_uri: str | None) -> None:
    """Serve the MLflow UI on the store, and print its address; Ctrl-C ends it."""
    from service.recording.dashboard import serve

    serve(tracking_uri, port, announce=click.echo)


@main.command()
@click.option("--address", metavar="ADDR", help="Also try to reach this Ray.")
@click.option("--cluster", is_flag=True, help="Look at the cluster's jobs and nodes instead of a Ray of this machine.")
@options.jobs_address
@options.token
@options.tracking_uri
@options.as_json
@options.reported
def doctor(
    address: str | None,
    cluster: bool,
    jobs_address: str | None,
    token: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Check versions, cores, the store and Ray, and say how to mend what is wrong."""
    from service.doctor import examine, examine_cluster
    from service.render import findings_text

    findings = examine_cluster(tracking_uri, jobs_address, token) if cluster else examine(tracking_uri, address)
    if as_json:
        options.print_json({"findings": [vars(finding) for finding in findings]})
    else:
        findings_text(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@options.as_json
def datasets(as_json: bool) -> None:
    """List the built-in data sets."""
    from experiments.builtin_data import BUILTINS
    from service.render import rows_text

    rows = [{"name": row.name, "task": row.task, "description": row.description} for row in BUILTINS.values()]
    options.print_json({"datasets": rows}) if as_json else rows_text(rows)


@main.command()
@options.as_json
def activations(as_json: bool) -> None:
    """List the activations."""
    from engine import ACTIVATIONS
    from service.render import rows_text

    rows = [{"name": row.name, "formula": row.formula} for row in ACTIVATIONS.values()]
    options.print_json({"activations": rows}) if as_json else rows_text(rows)


@main.command()
@options.as_json
def optimizers(as_json: bool) -> None:
    """List the optimisers, with their hyperparameters and what these are when left out."""
    from engine import OPTIMIZERS
    from service.render import rows_text

    rows = [{"name": rule.name, "hyperparameters": dict(rule.hyperparameters)} for rule in OPTIMIZERS.values()]
    options.print_json({"optimizers": rows}) if as_json else rows_text(rows)


for command in (
    *(seeing_cli.top, seeing_cli.show, seeing_cli.explain, seeing_cli.report, seeing_cli.watch),
    *(jobs_cli.submit, jobs_cli.status, jobs_cli.logs, jobs_cli.cancel),
):
    main.add_command(command)

if __name__ == "__main__":
    main()
