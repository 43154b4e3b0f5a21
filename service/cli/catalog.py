"""Commands that list the data sets, activations and optimisers that come with gradgrid."""

from __future__ import annotations

import click

from service.cli import options


@click.command()
@options.as_json
def datasets(as_json: bool) -> None:
    """List the built-in data sets."""
    from experiments.data.builtin_data import BUILTINS
    from service.cli.tables import print_rows

    rows = [{"name": row.name, "task": row.task, "description": row.description} for row in BUILTINS.values()]
    options.emit(as_json, lambda: {"datasets": rows}, lambda: print_rows(rows))


@click.command()
@options.as_json
def activations(as_json: bool) -> None:
    """List the activations and their formulas; with --json, their sources too."""
    from engine import ACTIVATIONS
    from service.cli.tables import print_rows

    rows = [{"name": row.name, "formula": row.formula, "source": row.source} for row in ACTIVATIONS.values()]
    short = [{"name": row["name"], "formula": row["formula"]} for row in rows]
    options.emit(as_json, lambda: {"activations": rows}, lambda: print_rows(short))


@click.command()
@options.as_json
def optimizers(as_json: bool) -> None:
    """List the optimisers, their hyperparameters and the defaults."""
    from engine import OPTIMIZERS
    from service.cli.tables import print_rows

    rows = [{"name": rule.name, "hyperparameters": dict(rule.hyperparameters)} for rule in OPTIMIZERS.values()]
    options.emit(as_json, lambda: {"optimizers": rows}, lambda: print_rows(rows))
