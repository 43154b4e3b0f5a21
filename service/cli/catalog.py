"""Commands that list the data sets, activations and optimisers that come with gradgrid."""

from __future__ import annotations

import click

from service.cli import options


@click.command()
@options.as_json
def datasets(as_json: bool) -> None:
    """List the built-in data sets."""
    from experiments.data.builtin_data import BUILTINS
    from service.cli.output import rows_text

    rows = [{"name": row.name, "task": row.task, "description": row.description} for row in BUILTINS.values()]
    options.print_json({"datasets": rows}) if as_json else rows_text(rows)


@click.command()
@options.as_json
def activations(as_json: bool) -> None:
    """List the activations, with their formulas; with --json their sources too."""
    from engine import ACTIVATIONS
    from service.cli.output import rows_text

    rows = [{"name": row.name, "formula": row.formula, "source": row.source} for row in ACTIVATIONS.values()]
    if as_json:
        options.print_json({"activations": rows})
    else:
        rows_text([{key: row[key] for key in ("name", "formula")} for row in rows])


@click.command()
@options.as_json
def optimizers(as_json: bool) -> None:
    """List the optimisers, with their hyperparameters and what these are when left out."""
    from engine import OPTIMIZERS
    from service.cli.output import rows_text

    rows = [{"name": rule.name, "hyperparameters": dict(rule.hyperparameters)} for rule in OPTIMIZERS.values()]
    options.print_json({"optimizers": rows}) if as_json else rows_text(rows)
