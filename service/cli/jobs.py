"""Commands for the jobs of a cluster."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.argument("spec")
@click.option("--set", "assignments", multiple=True, metavar="K=V", help="Override a key: --set grid.seed.range=3.")
@click.option(
    "--again", metavar="WORD", default="", help="Run the same sweep again as another job; WORD names the repetition."
)
@click.option("--follow", is_flag=True, help="Print the job's output until it ends; exit code 1 if it fails.")
@options.store_timeout
@options.jobs_address
@options.token
@options.as_json
@options.handle_errors
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
    """Run SPEC as a job on a cluster; its data file is sent along. Submitting the same again is harmless."""
    from experiments.spec import load_spec
    from service.cli.output import job_json
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs
    from service.execution.plan import make_plan
    from service.recording.trust import remember_parts

    resolved = load_spec(spec, assignments)
    remember_parts(resolved.parts.text)
    make_plan(resolved)  # raises its errors here instead of in the job
    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        # the option's old name: a job's id is a digest of it, and the cluster may run an older gradgrid
        job, new = jobs.submit(resolved, [f"--patience={store_timeout:g}"], again=again)
        state = "submitted" if new else f"was submitted before and is {job.status.lower()}"
        click.echo(f"job {job.id} {state}; `gradgrid logs {job.id} --follow` prints its output", err=True)
        if follow:
            for text in jobs.follow(job):
                click.echo(text, nl=False, err=as_json)
            job = jobs.find(job.id)
    if as_json:
        options.print_json({**job_json(job), "new": new})
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
@options.handle_errors
def status(job: str, jobs_address: str | None, token: str | None, as_json: bool) -> None:
    """Show the state of the cluster's JOB: its id, the beginning of the id, or a spec's name for the newest."""
    from service.cli.output import job_json, print_job
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        info = jobs.find(job)
        last_line = (jobs.logs(info).rstrip().splitlines() or [""])[-1]
    options.emit(as_json, lambda: {**job_json(info), "last_line": last_line}, lambda: print_job(info, last_line))


@click.command()
@click.argument("job")
@click.option("--follow", is_flag=True, help="Continue until the job ends.")
@options.jobs_address
@options.token
@options.handle_errors
def logs(job: str, follow: bool, jobs_address: str | None, token: str | None) -> None:
    """Print the output of the cluster's JOB."""
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        info = jobs.find(job)
        for text in jobs.follow(info) if follow else [jobs.logs(info)]:
            click.echo(text, nl=False)


@click.command()
@click.argument("job")
@options.jobs_address
@options.token
@options.handle_errors
def cancel(job: str, jobs_address: str | None, token: str | None) -> None:
    """Stop the cluster's JOB. Recorded trials stay; submitting it again trains the rest."""
    from service.execution.cluster import open_jobs
    from service.execution.jobs import Jobs

    with open_jobs(jobs_address, token) as client:
        jobs = Jobs(client)
        info = jobs.cancel(jobs.find(job))
    click.echo(f"job {info.id} {info.status.lower()}", err=True)
