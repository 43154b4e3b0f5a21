"""What commands share: options, errors as messages, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from experiments.errors import GradgridError
from service.recording.redaction import without_passwords

if TYPE_CHECKING:
    from service.recording.trust import Trust

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SHOWN_LINES = 200
_INTERRUPTED_CODE = 130
_INTERRUPTED = {
    "sweep": "interrupted before anything was recorded",
    "resume": "interrupted before anything more was recorded",
    "verify": "interrupted: not every trial was compared",
    "report": "interrupted: the page is not complete; run the command again",
    "promote": "interrupted: run the command again, or look in the model registry whether it is there",
    "export": "interrupted: the file is not complete; run the command again",
    "submit": "interrupted: `gradgrid status` shows whether the job has arrived",
    "cancel": "interrupted: `gradgrid status` shows whether the job still runs",
}
"""Command -> the message after Ctrl-C, where there is more to say than that."""


def reported(command: _Command) -> _Command:
    """Turn a GradgridError into its message on stderr and its exit code."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GradgridError as error:
            tell(f"gradgrid: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            name = click.get_current_context().info_name or ""
            click.echo(f"gradgrid: {_INTERRUPTED.get(name, 'interrupted')}", err=True)
            sys.exit(_INTERRUPTED_CODE)
        except BrokenPipeError:  # whoever read our output has seen enough
            sys.stderr.close()
            sys.exit(0)

    return run  # type: ignore[return-value]


tracking_uri = click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow's store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in this folder.",
)
backend_store_uri = click.option(
    "--backend-store-uri",
    metavar="URI",
    help="The database behind a tracking server, to record at its speed; else GRADGRID_BACKEND_STORE_URI.",
)
patience = click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a store that is away is waited for.",
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Tasks at once; by default one a core.")
address = click.option(
    "--address", metavar="ADDR", help="A running Ray, host:port; else RAY_ADDRESS, else one of its own."
)
inline = click.option("--inline", is_flag=True, help="Train in this process, without Ray: same numbers, for debugging.")
jobs_address = click.option(
    "--jobs-address",
    metavar="URL",
    help="The cluster's Ray dashboard; else RAY_API_SERVER_ADDRESS, else here.",
)
token = click.option("--token", metavar="TOKEN", help="What the cluster asks for; better, RAY_AUTH_TOKEN.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
trust_parts = click.option(
    "--trust-parts", is_flag=True, help="Run the Python file of parts that the sweep brings along, whoever wrote it."
)


def tell(text: str) -> None:
    """Say something on stderr, without the passwords of addresses in it; nothing where there is nothing to say."""
    if text:
        click.echo(without_passwords(text), err=True)


def trust(trust_parts: bool) -> Trust:
    """Whether Python files out of a store may run; the user is asked at a terminal."""
    from service.recording.trust import Trust

    can_answer = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
    return Trust(everything=trust_parts, ask=_ask if can_answer else None)


def _ask(question: str, text: str) -> bool:
    """Show a file and ask whether it may run. Characters that could act on the terminal are written as codes."""
    lines = text.splitlines()
    for line in lines[:_SHOWN_LINES]:
        shown = "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)
        click.echo(f"    {shown}", err=True)
    if len(lines) > _SHOWN_LINES:
        click.echo(f"    ... and {len(lines) - _SHOWN_LINES:,} more lines", err=True)
    return click.confirm(question, default=False, err=True)


def print_json(value: Any) -> None:
    has_every_sign = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(value, indent=2, ensure_ascii=not has_every_sign))


def running(command: _Command) -> _Command:
    """The options of what runs a sweep."""
    for option in (patience, backend_store_uri, tracking_uri, inline, address, workers):
        command = option(command)
    return command
