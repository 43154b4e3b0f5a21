"""The command that examines this machine, the store and the workers."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.option("--address", metavar="ADDR", help="Connect to this Ray instead of starting one.")
@click.option("--cluster", is_flag=True, help="Check the jobs and nodes of a cluster instead of Ray here.")
@click.option("--speed", is_flag=True, help="Also measure how many trials a second are trained and recorded.")
@options.workers
@options.jobs_address
@options.token
@options.backend_store_uri
@options.tracking_uri
@options.as_json
@options.handle_errors
def doctor(
    address: str | None,
    cluster: bool,
    speed: bool,
    workers: int | None,
    jobs_address: str | None,
    token: str | None,
    backend_store_uri: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Check versions, cores, the store and Ray, and print a remedy for each problem.

    With --speed, some thousand small networks are trained and recorded, which takes about 20 seconds. The dry runs of
    later sweeps use the figures.
    """
    from service.cli.findings import findings_json, print_findings
    from service.inspection.doctor import examine, examine_cluster

    if cluster and speed:
        raise click.UsageError("--speed measures from inside a cluster: give --address on one of its nodes instead.")
    findings = examine_cluster(tracking_uri, jobs_address, token) if cluster else examine(tracking_uri, address)
    measured = None
    if speed and all(finding.ok for finding in findings):
        from service.inspection.speed import measure

        measured = measure(tracking_uri, address, workers, backend_store_uri)
    options.emit(as_json, lambda: findings_json(findings, measured), lambda: print_findings(findings, measured))
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
