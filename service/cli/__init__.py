"""The command `gradgrid`. Each subcommand parses, calls the library once and prints. It imports what is heavy."""

from __future__ import annotations

import click

from service.cli import catalog, doctor, inspect, jobs, maps, options, results, run, store
from service.cli.process import prepare_process


class _Commands(click.Group):
    """Commands. An option that comes before the command is an error that shows the right place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            option = error.option_name
            names = [name for name, command in self.commands.items() if _takes(command, option)]
            if not names:
                raise
            example = next((word for word in args if word in names), names[0])
            raise click.UsageError(
                f"{option} belongs after the command: gradgrid {example} {option} ...", ctx
            ) from None


def _takes(command: click.Command, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradgrid")
@click.option(
    "--profile",
    envvar="GRADGRID_PROFILE",
    metavar="NAME",
    help="A profile of the configuration file: addresses and tokens of a cluster.",
)
@options.handle_errors
def main(profile: str | None) -> None:
    """Train grids of small neural networks on Ray, every trial an MLflow run.

    Start with: gradgrid sweep moons
    """
    prepare_process()
    if profile:
        from service.execution.profiles import use_profile

        use_profile(profile)


for module in (run, results, inspect, maps, store, jobs, catalog, doctor):
    for command in vars(module).values():
        if isinstance(command, click.Command):
            main.add_command(command)
