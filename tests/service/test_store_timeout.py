"""The option --store-timeout, and its old name."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from service.cli import main, options


@click.command()
@options.store_timeout
def _show(store_timeout: float) -> None:
    click.echo(store_timeout)


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ([], 600),
        (["--store-timeout", "5"], 5),
        (["--patience", "7"], 7),
        (["--patience=7", "--store-timeout=5"], 5),
        (["--store-timeout=5", "--patience=7"], 5),
    ],
)
def test_patience_is_the_old_name_of_store_timeout(arguments: list[str], seconds: float) -> None:
    result = CliRunner().invoke(_show, arguments, catch_exceptions=False)
    assert (float(result.stdout), result.stderr) == (seconds, "")


@pytest.mark.parametrize("command", ["sweep", "resume", "submit"])
def test_commands_take_both_names_and_show_the_new_one(command: str) -> None:
    help_text = CliRunner().invoke(main, [command, "--help"]).stdout
    assert "--store-timeout SECONDS" in help_text
    assert "--patience" not in help_text
    refused = CliRunner().invoke(main, [command, "moons", "--patience", "-1"])
    assert (refused.exit_code, "-1" in refused.stderr) == (2, True)
