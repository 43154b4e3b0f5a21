"""Options, error handling and output that commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
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
    "export": "interrupted: the file was not written; run the command again",
    "submit": "interrupted: `gradgrid status` shows whether the job has arrived",
    "cancel": "interrupted: `gradgrid status` shows whether the job still runs",
}
"""Command -> its message after Ctrl-C; of other commands it is `interrupted`."""


def handle_errors(command: _Command) -> _Command:
    """Turn a GradgridError into its message on stderr and its exit code, and Ctrl-C into a message and 130."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GradgridError as error:
            print_note(f"gradgrid: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            name = click.get_current_context().info_name or ""
            click.echo(f"gradgrid: {_INTERRUPTED.get(name, 'interrupted')}", err=True)
            sys.exit(_INTERRUPTED_CODE)
        except BrokenPipeError:  # the reader of our output, such as `head`, has ended
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
    help="The database of a tracking server, to record faster; else GRADGRID_BACKEND_STORE_URI.",
)
_SECONDS = click.FloatRange(min=0)
_store_timeout = click.option(
    "--store-timeout",
    type=_SECONDS,
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a store that is unavailable.",
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Tasks at once; by default one per core.")
address = click.option(
    "--address", metavar="ADDR", help="A running Ray, host:port; else RAY_ADDRESS, else Ray is started for the sweep."
)
inline = click.option(
    "--inline", is_flag=True, help="Train in one thread of this process, without Ray: same numbers, for debugging."
)
jobs_address = click.option(
    "--jobs-address",
    metavar="URL",
    help="The cluster's Ray dashboard; else RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265.",
)
token = click.option("--token", metavar="TOKEN", help="The cluster's token; safer in RAY_AUTH_TOKEN.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
trust_parts = click.option(
    "--trust-parts", is_flag=True, help="Run the sweep's parts file, a Python file, even if someone else wrote it."
)


def _use_old_value(context: click.Context, _: click.Parameter, seconds: float | None) -> None:
    """Make the value of --patience the default of --store-timeout."""
    if seconds is not None:
        context.default_map = {**(context.default_map or {}), "store_timeout": seconds}


_patience = click.option(
    "--patience", type=_SECONDS, hidden=True, is_eager=True, expose_value=False, callback=_use_old_value
)


def store_timeout(command: _Command) -> _Command:
    """Add --store-timeout, and --patience, its name before."""
    return _store_timeout(_patience(command))


_minutes = click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="A budget: after N minutes begin no more trials, and end; `gradgrid resume` trains the rest.",
)


def run_options(command: _Command) -> _Command:
    """Add the options of a command that runs a sweep."""
    for option in (_minutes, store_timeout, backend_store_uri, tracking_uri, inline, address, workers):
        command = option(command)
    return command


def where(run_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of `run_options` that say where a sweep is trained."""
    return {name: run_options[name] for name in ("workers", "address", "inline")}


def print_note(text: str) -> None:
    """Print text, if any, on stderr, without the passwords of addresses in it."""
    if text:
        click.echo(without_passwords(text), err=True)


def print_json(value: Any) -> None:
    """Print a value on stdout as JSON."""
    has_every_character = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(value, indent=2, ensure_ascii=not has_every_character))


def emit(as_json: bool, value: Callable[[], Any], print_value: Callable[[], object]) -> None:
    """Print a command's result on stdout. value: returns it for JSON. print_value: prints it as text."""
    if as_json:
        print_json(value())
    else:
        print_value()


def trust(trust_parts: bool) -> Trust:
    """Return which Python files from a store may run: all with `trust_parts`, else the user is asked at a terminal."""
    from service.recording.trust import Trust

    can_answer = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
    return Trust(everything=trust_parts, ask=_ask if can_answer else None)


def _ask(question: str, text: str) -> bool:
    """Show a file and ask whether it may run. Characters that could act on the terminal are written as codes."""
    lines = text.splitlines()
    for line in lines[:_SHOWN_LINES]:
        visible = "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in line)
        click.echo(f"    {visible}", err=True)
    if len(lines) > _SHOWN_LINES:
        click.echo(f"    ... and {len(lines) - _SHOWN_LINES:,} more lines", err=True)
    return click.confirm(question, default=False, err=True)
