"""Findings of the doctor, and measured speeds, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from service.cli.tables import print_rows

if TYPE_CHECKING:
    from service.inspection.doctor import Finding
    from service.inspection.speed import Speed


def findings_json(findings: Sequence[Finding], speed: Speed | None) -> dict[str, Any]:
    """Return the doctor's findings. speed: if it was measured."""
    return {"findings": list(map(vars, findings)), **({"speed": _speed_json(speed)} if speed else {})}


def _speed_json(speed: Speed) -> dict[str, Any]:
    """Return measured speeds, in trials a second."""
    values = {name: round(getattr(speed, name), 1) for name in ("trained", "recorded", "both")}
    return {
        "workers": speed.workers,
        "recorders": speed.recorders,
        "metric_rows": speed.metric_rows,
        **values,
        "bound": speed.bound,
        "useful_workers": speed.useful_workers,
    }


def print_findings(findings: Sequence[Finding], speed: Speed | None) -> None:
    """Print the doctor's findings, below them the remedies, and measured speeds."""
    print_rows([{"": "ok" if f.ok else "WRONG", "subject": f.subject, "seen": f.detail} for f in findings])
    for finding in findings:
        if not finding.ok:
            click.echo(f"{finding.subject}: {finding.remedy}", err=True)
    if speed:
        _print_speed(speed)


def _print_speed(speed: Speed) -> None:
    from service.inspection.speed import MODEL

    click.echo()
    print_rows(
        [
            {"work": "training", "trials a second": f"{speed.trained:,.0f}", "by": _counted(speed.workers, "worker")},
            {
                "work": "recording",
                "trials a second": f"{speed.recorded:,.0f}",
                "by": _counted(speed.recorders, "recorder"),
            },
            {"work": "both", "trials a second": f"{speed.both:,.0f}", "by": f"{speed.bound} is the bound"},
        ],
        title=f"{MODEL} networks, {speed.metric_rows} metric rows each",
    )
    many = _counted(speed.useful_workers, "such worker")
    click.echo(f"{many} train{'s' * (speed.useful_workers == 1)} as many trials as this store records", err=True)
    if speed.file_error:
        click.echo(f"the figures were not kept for later estimates: {speed.file_error}", err=True)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
