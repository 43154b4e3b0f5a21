"""Commands for the store as a whole: its sweeps, the dashboard, the model registry, and what may be wrong."""

from __future__ import annotations

import sys
import webbrowser

import click

from service.cli import options


@click.command()
@click.argument("target", metavar="RUN|SWEEP")
@click.option("--name", required=True, metavar="NAME", help="Of the model in the registry.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.reported
def promote(target: str, name: str, trust_parts: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Register a trial's network, RUN by the beginning of its run id, or the best of SWEEP, as an MLflow model."""
    from service.inspection.models import promote as register
    from service.recording.connection import is_server
    from service.recording.links import model_link
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    made = register(store, store.find_trial(target, best=True), name)
    if as_json:
        options.print_json(vars(made))
    else:
        click.echo(made.uri)
        click.echo(f"registered; mlflow.pyfunc.load_model({made.uri!r}) gives it back", err=True)
        if is_server(store.uri):
            click.echo(f"in MLflow: {model_link(store.uri, made.name, made.version)}", err=True)


@click.command("list")
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
        from service.cli.output import job_values, jobs_text
        from service.execution.cluster import open_jobs
        from service.execution.jobs import Jobs

        with open_jobs(jobs_address, token) as client:
            known = Jobs(client).all()
        options.print_json({"jobs": list(map(job_values, known))}) if as_json else jobs_text(known)
        return
    from service.cli.output import sweep_values, sweeps_text
    from service.recording.store import Store

    sweeps = Store(tracking_uri).sweeps()
    options.print_json({"sweeps": list(map(sweep_values, sweeps))}) if as_json else sweeps_text(sweeps)


@click.command()
@click.argument("sweep")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.tracking_uri
@options.reported
def delete(sweep: str, yes: bool, tracking_uri: str | None) -> None:
    """Delete SWEEP and its trials, as MLflow deletes: they can be restored until `mlflow gc` is run."""
    from service.recording.store import Store

    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    if not yes:
        click.confirm(f"Delete {found.spec}/{found.sweep} and all its trials?", abort=True, err=True)
    store.delete(found)
    click.echo(f"{found.spec}/{found.sweep} is deleted", err=True)


@click.command()
@click.argument("sweep", required=False)
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on this machine.")
@click.option("--open", "opened", is_flag=True, help="Open the address in the browser.")
@options.tracking_uri
@options.reported
def dashboard(sweep: str | None, port: int, opened: bool, tracking_uri: str | None) -> None:
    """Serve the MLflow UI on the store, and print the address of SWEEP's trials, by default the newest's.

    Ctrl-C ends it. A tracking server has its UI already: its address is printed.
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
            click.echo("Ctrl-C ends the dashboard", err=True)
        click.echo(address)
        if opened and not webbrowser.open(address):
            click.echo("no browser could be started: open the address yourself", err=True)

    with terminable():
        serve(store, port, shown, announce=announce)


@click.command()
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
    from service.cli.output import findings_text
    from service.inspection.doctor import examine, examine_cluster

    findings = examine_cluster(tracking_uri, jobs_address, token) if cluster else examine(tracking_uri, address)
    if as_json:
        options.print_json({"findings": [vars(finding) for finding in findings]})
    else:
        findings_text(findings)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
