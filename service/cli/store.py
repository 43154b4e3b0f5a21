"""Commands for the store as a whole: its sweeps, the dashboard and the model registry."""

from __future__ import annotations

import webbrowser

import click

from service.cli import options


@click.command()
@click.argument("target", metavar="RUN|SWEEP")
@click.option("--name", required=True, metavar="NAME", help="The model's name in the registry.")
@click.option(
    "--by", "metric", metavar="METRIC", help="Take the best trial by this metric; by default the sweep's objective."
)
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def promote(
    target: str, name: str, metric: str | None, trust_parts: bool, tracking_uri: str | None, as_json: bool
) -> None:
    """Register the network of a trial, or of the best single trial of SWEEP, as an MLflow model.

    RUN is a trial's run id or the beginning of it.
    """
    from service.cli.promoted import best_json, print_choice
    from service.inspection.best import best_of
    from service.inspection.models import promote as register
    from service.recording.connection import is_server
    from service.recording.infos import TrialInfo
    from service.recording.links import model_link
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    found = store.find(target)
    if isinstance(found, TrialInfo):
        if metric:
            raise click.UsageError("--by chooses a trial of a sweep, and you named a run; leave --by out.")
        trial, best = found, None
    else:
        best = best_of(store, found, metric)
        trial = best.trial
    model = register(store, trial, name)
    if as_json:
        options.print_json({**vars(model), **best_json(trial, best)})
    else:
        click.echo(model.uri)
        print_choice(trial, best, f"--name {name}{store.option}")
        click.echo(f"registered; load it with mlflow.pyfunc.load_model({model.uri!r})", err=True)
        if is_server(store.uri):
            click.echo(f"in MLflow: {model_link(store.uri, model.name, model.version)}", err=True)


@click.command("list")
@click.option("--jobs", is_flag=True, help="List the cluster's jobs instead.")
@options.jobs_address
@options.token
@options.tracking_uri
@options.as_json
@options.handle_errors
def list_sweeps(
    jobs: bool, jobs_address: str | None, token: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """List the store's sweeps, newest first.

    The best trial is a single one, while `gradgrid top` ranks configurations by their means over seeds.
    """
    if jobs:
        from service.cli.output import job_json, print_jobs
        from service.execution.cluster import open_jobs
        from service.execution.jobs import Jobs

        with open_jobs(jobs_address, token) as client:
            all_jobs = Jobs(client).all()
        options.emit(as_json, lambda: {"jobs": list(map(job_json, all_jobs))}, lambda: print_jobs(all_jobs))
        return
    from service.cli.output import print_sweeps, sweep_json
    from service.recording.store import Store

    sweeps = Store(tracking_uri).sweeps()
    options.emit(as_json, lambda: {"sweeps": list(map(sweep_json, sweeps))}, lambda: print_sweeps(sweeps))


@click.command()
@click.argument("sweep")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.tracking_uri
@options.handle_errors
def delete(sweep: str, yes: bool, tracking_uri: str | None) -> None:
    """Delete SWEEP and its trials. As always in MLflow, they can be restored until `mlflow gc` runs."""
    from service.recording.store import Store

    store = Store(tracking_uri)
    info = store.find_sweep(sweep)
    if not yes:
        click.confirm(f"Delete {info.spec}/{info.sweep} and all its trials?", abort=True, err=True)
    store.delete(info)
    click.echo(f"{info.spec}/{info.sweep} is deleted", err=True)


@click.command()
@click.argument("sweep", required=False)
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on this machine.")
@click.option("--open", "opened", is_flag=True, help="Open the address in the browser.")
@options.tracking_uri
@options.handle_errors
def dashboard(sweep: str | None, port: int, opened: bool, tracking_uri: str | None) -> None:
    """Serve the MLflow UI of the store, and print the address of the trials of SWEEP, by default the newest.

    Ctrl-C stops it. A tracking server serves its UI itself; then only the address is printed.
    """
    from service.execution.interrupts import terminable
    from service.recording.dashboard import serve, shown_sweep
    from service.recording.store import Store

    store = Store(tracking_uri)
    shown = shown_sweep(store, sweep)

    def announce(address: str, here: bool) -> None:
        if shown is None:
            click.echo("the store has no sweeps yet; `gradgrid sweep moons` makes one", err=True)
        else:
            click.echo(f"the trials of {shown.spec}/{shown.sweep} in MLflow, best first:", err=True)
        if here:
            click.echo("Ctrl-C stops the dashboard", err=True)
        click.echo(address)
        if opened and not webbrowser.open(address):
            click.echo("no browser could be started; open the address yourself", err=True)

    with terminable():
        serve(store, port, shown, announce=announce)
