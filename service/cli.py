"""The command: each one parses, calls the library once and renders. Heavy imports stay inside what needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from experiments.errors import GradgridError

if TYPE_CHECKING:
    from experiments.spec import Sweepable

_Command = TypeVar("_Command", bound=Callable[..., Any])

_INTERRUPTED = 130


def _reported(command: _Command) -> _Command:
    """Turn a GradgridError into its message on stderr and its exit code."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GradgridError as error:
            click.echo(f"gradgrid: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("gradgrid: interrupted before anything was recorded", err=True)
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:  # whoever read our output has seen enough
            sys.stderr.close()
            sys.exit(0)

    return run  # type: ignore[return-value]


_tracking_uri = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow's store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.",
)
_backend_store_uri = click.option(
    "--backend-store-uri",
    metavar="URI",
    help="The database behind a tracking server, to record at its speed; else GRADGRID_BACKEND_STORE_URI.",
)
_patience = click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a store that is away is waited for.",
)
_workers = click.option("--workers", type=click.IntRange(min=1), help="Tasks at once; by default one a core.")
_address = click.option(
    "--address", metavar="ADDR", help="A running Ray, host:port; else RAY_ADDRESS, else one of its own."
)
_inline = click.option(
    "--inline", is_flag=True, help="Train in this process, without Ray: same numbers, for debugging."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradgrid")
def main() -> None:
    """Train grids of small neural networks on Ray, every trial an MLflow run.

    Begin with: gradgrid sweep moons
    """


@main.command()
@click.argument("spec", required=False)
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option("--dry-run", is_flag=True, help="Say how much it would be, and run nothing.")
@click.option("--resume", metavar="SWEEP", help="Train what an interrupted sweep has not recorded.")
@_workers
@_address
@_inline
@_tracking_uri
@_backend_store_uri
@_patience
@_as_json
@_reported
def sweep(
    spec: str | None,
    assignments: tuple[str, ...],
    dry_run: bool,
    resume: str | None,
    workers: int | None,
    tracking_uri: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train every trial of SPEC, a sweep file or the name of a ready sweep, and record each as an MLflow run."""
    from experiments.spec import load_spec

    if spec is None and resume is None:
        raise click.UsageError(f"Missing argument 'SPEC': a sweep file, or a ready sweep: {_ready()}.")
    sweepable = load_spec(spec, assignments) if spec is not None else None
    if sweepable is None or not dry_run:
        _run(sweepable, tracking_uri, resume, as_json, workers=workers, **options)
        return
    from service.cluster import available_cores
    from service.plan import make_plan
    from service.render import plan_text, plan_values

    plan = make_plan(sweepable)
    cores = workers or available_cores()
    _print_json(plan_values(plan, cores)) if as_json else click.echo(plan_text(plan, cores))


@main.command()
@click.argument("sweep")
@_workers
@_address
@_inline
@_tracking_uri
@_backend_store_uri
@_patience
@_as_json
@_reported
def resume(sweep: str, tracking_uri: str | None, as_json: bool, **options: Any) -> None:
    """Train what an interrupted SWEEP has not recorded; its spec is read back from the store."""
    _run(None, tracking_uri, sweep, as_json, **options)


def _run(
    sweepable: Sweepable | None, tracking_uri: str | None, resume: str | None, as_json: bool, **options: Any
) -> None:
    """Run a sweep, or what is left of one, and show what it came to."""
    if options["inline"] and options["address"]:
        raise click.UsageError("--inline trains without Ray; leave --address out.")
    from service.progress import make_progress
    from service.render import result_text, result_values
    from service.resume import recorded_spec
    from service.sweep import run_sweep

    if sweepable is None:
        from service.recording.sweeps import Store

        store = Store(tracking_uri)
        sweepable = recorded_spec(store, store.find_sweep(str(resume)))
    result = run_sweep(sweepable, tracking_uri=tracking_uri, resume=resume, observer=make_progress(), **options)
    if as_json:
        _print_json(result_values(result))
    else:
        result_text(result, tracking_uri)


def _ready() -> str:
    from experiments.spec import ready_sweeps

    return ", ".join(ready_sweeps())


@main.command()
@click.argument("sweep")
@click.option("--by", "metric", metavar="METRIC", help="Rank by this metric; by default what the sweep is ranked by.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many trials.")
@_tracking_uri
@_as_json
@_reported
def top(sweep: str, metric: str | None, count: int, tracking_uri: str | None, as_json: bool) -> None:
    """Show the best finished trials of SWEEP: its id, the beginning of it, or a spec's name for the newest."""
    from service.recording.sweeps import Store
    from service.render import top_text, trial_values

    ranking = Store(tracking_uri).ranking(sweep, metric, count)
    if as_json:
        _print_json(
            {"sweep": ranking.sweep.sweep, "by": ranking.metric, "top": list(map(trial_values, ranking.trials))}
        )
    else:
        top_text(ranking)


@main.command()
@click.argument("target", metavar="SWEEP|RUN")
@_tracking_uri
@_as_json
@_reported
def show(target: str, tracking_uri: str | None, as_json: bool) -> None:
    """Show a sweep, or a trial by the beginning of its run id: hyperparameters, curves, final weights."""
    from service.recording.sweeps import Store, SweepInfo
    from service.render import sweep_text, sweep_values, trial_text, trial_values

    store = Store(tracking_uri)
    found = store.find(target)
    if isinstance(found, SweepInfo):
        _print_json(sweep_values(found)) if as_json else sweep_text(found, store)
    else:
        values = {**trial_values(found), "final_weights": store.final_weights(found.run_id)}
        _print_json(values) if as_json else trial_text(found, store)


@main.command("list")
@_tracking_uri
@_as_json
@_reported
def list_sweeps(tracking_uri: str | None, as_json: bool) -> None:
    """List the store's sweeps, newest first."""
    from service.recording.sweeps import Store
    from service.render import sweep_values, sweeps_text

    sweeps = Store(tracking_uri).sweeps()
    _print_json({"sweeps": list(map(sweep_values, sweeps))}) if as_json else sweeps_text(sweeps)


@main.command()
@click.argument("target", metavar="SWEEP|RUN")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N trials, chosen at random.")
@_tracking_uri
@_as_json
@_reported
def verify(target: str, sample: int | None, tracking_uri: str | None, as_json: bool) -> None:
    """Train recorded trials again, and compare every recorded figure and final weight with what comes out."""
    from service.recording.sweeps import Store, SweepInfo
    from service.render import verdict_text, verdict_values
    from service.verify import verify as audit

    store = Store(tracking_uri)
    found = store.find(target)
    if isinstance(found, SweepInfo):
        verdict = audit(store, found, sample=sample)
    else:
        verdict = audit(store, store.find_sweep(found.tags["gradgrid.sweep"]), run_id=found.run_id)
    _print_json(verdict_values(verdict)) if as_json else verdict_text(verdict)
    sys.exit(1 if verdict.significant else 0)


@main.command()
@click.argument("sweep")
@click.option("-o", "--output", metavar="FILE", help="Its ending is the format; by default SWEEP.parquet here.")
@_tracking_uri
@_as_json
@_reported
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
        _print_json({"sweep": found.sweep, "file": str(path), "trials": trials})
    else:
        click.echo(f"{trials:,} trials of {found.spec}/{found.sweep} are in {path}", err=True)


@main.command()
@click.argument("sweep")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_tracking_uri
@_reported
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
@_tracking_uri
@_reported
def dashboard(port: int, tracking_uri: str | None) -> None:
    """Serve the MLflow UI on the store, and print its address; Ctrl-C ends it."""
    from service.recording.dashboard import serve

    serve(tracking_uri, port, announce=click.echo)


@main.command()
@click.option("--address", metavar="ADDR", help="Also try to reach this Ray.")
@_tracking_uri
@_as_json
@_reported
def doctor(address: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Check versions, cores, the store and Ray, and say how to mend what is wrong."""
    from service.doctor import examine
    from service.render import findings_text

    findings = examine(tracking_uri, address)
    if as_json:
        _print_json({"findings": [vars(finding) for finding in findings]})
    else:
        findings_text(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@main.command()
@_as_json
def datasets(as_json: bool) -> None:
    """List the built-in data sets."""
    from experiments.datasets import BUILTINS
    from service.render import rows_text

    rows = [{"name": row.name, "task": row.task, "description": row.description} for row in BUILTINS.values()]
    _print_json({"datasets": rows}) if as_json else rows_text(rows)


@main.command()
@_as_json
def activations(as_json: bool) -> None:
    """List the activations."""
    from engine import ACTIVATIONS
    from service.render import rows_text

    rows = [{"name": row.name, "formula": row.formula} for row in ACTIVATIONS.values()]
    _print_json({"activations": rows}) if as_json else rows_text(rows)


@main.command()
@_as_json
def optimizers(as_json: bool) -> None:
    """List the optimisers, with their hyperparameters and what these are when left out."""
    from engine import OPTIMIZERS
    from service.render import rows_text

    rows = [{"name": rule.name, "hyperparameters": dict(rule.hyperparameters)} for rule in OPTIMIZERS.values()]
    _print_json({"optimizers": rows}) if as_json else rows_text(rows)


if __name__ == "__main__":
    main()
