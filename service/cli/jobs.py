"""The commands for sweeps on a cluster; like those of `cli`, each parses, calls the library once and renders."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.argument("spec")
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option("--again", metavar="WORD", default="", help="Run what was submitted already once more, as another job.")
@click.option("--follow", is_flag=True, help="Show what the job says until it ends; exit code 1 if it fails.")
@options.store_timeout
@options.jobs_address
@options.token
@options.as_json
@options.reported
def submit(
    spec: str,
    assignments: tuple[str, ...],
    again: str,
    follow: bool,
    store_timeout: float,
    jobs_address: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Have a cluster run SPEC as a job; its data file is sent along. Submitting the same again is harmless."""
    from experiments.spec import load_spec
    from service.cli.output import job_values
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs
    from service.execution.plan import make_plan
    from service.recording.trust import remember_parts

    sweepable = load_spec(spec, assignments)
    remember_parts(sweepable.parts.text)
    make_plan(sweepable)  # what is wrong is told here, not in the job
    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        # the option's old name: a job's id is a digest of it, and the cluster may run an older gradgrid
        job, new = jobs.submit(sweepable, [f"--patience={store_timeout:g}"], again=again)
        told = "submitted" if new else f"was submitted before and is {job.status.lower()}"
        click.echo(f"job {job.id} {told}; `gradgrid logs {job.id} --follow` shows what it says", err=True)
        if follow:
            for text in jobs.follow(job):
                click.echo(text, nl=False, err=as_json)
            job = jobs.find(job.id)
    if as_json:
        options.print_json({**job_values(job), "new": new})
    elif not follow:
        click.echo(job.id)
    if follow and job.status != "SUCCEEDED":
        click.echo(f"gradgrid: the job {job.id} {job.status.lower()}: {job.message}", err=True)
        sys.exit(1)


@click.command()
@click.argument("job")
@options.jobs_address
@options.token
@options.as_json
@options.reported
def status(job: str, jobs_address: str | None, token: str | None, as_json: bool) -> None:
    """Show how the cluster's JOB goes: its id, the beginning of it, or a spec's name for the newest."""
    from service.cli.output import job_text, job_values
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        found = jobs.find(job)
        last = (jobs.logs(found).rstrip().splitlines() or [""])[-1]
    options.print_json({**job_values(found), "last_line": last}) if as_json else job_text(found, last)


@click.command()
@click.argument("job")
@click.option("--follow", is_flag=True, help="Until it ends.")
@options.jobs_address
@options.token
@options.reported
def logs(job: str, follow: bool, jobs_address: str | None, token: str | None) -> None:
    """Show what the cluster's JOB has said."""
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        found = jobs.find(job)
        for text in jobs.follow(found) if follow else [jobs.logs(found)]:
            click.echo(text, nl=False)


@click.command()
@click.argument("job")
@options.jobs_address
@options.token
@options.reported
def cancel(job: str, jobs_address: str | None, token: str | None) -> None:
    """Stop the cluster's JOB; what it recorded stays, and submitting it again goes on with it."""
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        found = jobs.cancel(jobs.find(job))
    click.echo(f"job {found.id} {found.status.lower()}", err=True)
