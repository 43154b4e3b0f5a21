"""Commands that show the results of one sweep, or compare several: the leaderboard and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from service.cli import options

if TYPE_CHECKING:
    from service.recording.store import Store


@click.command()
@click.argument("sweeps", metavar="SWEEP...", nargs=-1, required=True)
@click.option("--by", "metric", metavar="METRIC", help="Rank by this metric; by default the sweep's objective.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of entries.")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Only trials that meet it, such as 'learning_rate<0.1'."
)
@click.option("--trials", "each", is_flag=True, help="Rank single trials instead of means over seeds.")
@click.option(
    "--format", "shape", type=click.Choice(["text", "markdown", "csv"]), default="text", help="Format of the output."
)
@options.tracking_uri
@options.as_json
@options.handle_errors
def top(
    sweeps: tuple[str, ...],
    metric: str | None,
    count: int,
    where: tuple[str, ...],
    each: bool,
    shape: str,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Show the best of SWEEP: its id, the beginning of the id, or a spec's name for the newest.

    Trials that differ only in the seed are one entry, ranked by their mean. Entries that the data can't tell apart
    share a rank. With several SWEEPs their trials are on one leaderboard, and trials that are equal in everything that
    two sweeps share are compared.
    """
    from service.recording.store import Store

    show = _top_of_several if len(sweeps) > 1 else _top_of_one
    show(Store(tracking_uri), sweeps, _Ranking(metric, count, where, each, shape, as_json))


@dataclass(frozen=True)
class _Ranking:
    """What a leaderboard shows, and how: the options of `top`."""

    metric: str | None
    count: int
    where: tuple[str, ...]
    each: bool
    shape: str
    as_json: bool

    @property
    def nothing(self) -> str:
        """The note that no trial meets the conditions."""
        return f"no trial meets {' '.join(f'--where {condition!r}' for condition in self.where)}"


def _top_of_one(store: Store, sweeps: tuple[str, ...], ranking: _Ranking) -> None:
    from service.cli.output import entry_json, print_page
    from service.cli.tables import print_rows, rows_csv, rows_markdown
    from service.cli.trial_output import trial_json
    from service.recording.recorded_table import lost_runs_note, missing_trials_note, read_table
    from service.results.choice import part_note, stopped_note
    from service.results.columns import columns_to_rank
    from service.results.leaderboard import entry_rows, matching, means_text, ranked
    from service.results.metrics import METRICS, validation_metric
    from service.results.trials_table import best_trials, shown_params

    info = store.find_sweep(sweeps[0])
    by, where, count = ranking.metric or info.objective, ranking.where, ranking.count
    beside = METRICS + validation_metric(by)
    table = read_table(store, info, columns_to_rank(info.swept, by, where, more=[beside]))
    names = shown_params(table.columns, info.swept)
    entries = ranked(table, by, names, where, over_seeds=not ranking.each, count=count)
    options.print_note(missing_trials_note(store, info, table))
    options.print_note(lost_runs_note(store, info, table))
    chosen = matching(table, where)
    options.print_note(stopped_note(chosen))
    options.print_note(part_note(by, [beside in table]))
    if not entries and where and not len(chosen):
        options.print_note(f"{ranking.nothing}; `gradgrid show {info.sweep}` shows the values of each axis")
    elif not entries and len(table):
        options.print_note(f"no trial that finished has a value of {by}")
    if ranking.as_json:
        rows = store.whole_rows(info, best_trials(chosen, by, count))
        best = store.trials_of_rows(info, rows)
        lists = {"top": list(map(trial_json, best)), "entries": list(map(entry_json, entries))}
        options.print_json({"sweep": info.sweep, "by": by, **lists})
        return
    shown = entry_rows(entries, by)
    if ranking.shape == "text":
        print_rows(shown, title=f"{info.spec}/{info.sweep} by {by}{means_text(entries, info.swept)}")
        print_page(store, info)
    else:
        click.echo(rows_markdown(shown) if ranking.shape == "markdown" else rows_csv(shown))


def _top_of_several(store: Store, sweeps: tuple[str, ...], ranking: _Ranking) -> None:
    from service.cli.compare_output import comparison_json, print_comparison
    from service.inspection.compare import compare, find_sweeps
    from service.results.choice import part_note, stopped_note

    comparison = compare(store, find_sweeps(store, sweeps), ranking.metric, ranking.where)
    entries = comparison.entries(over_seeds=not ranking.each, count=ranking.count)
    for note in (
        *comparison.notes,
        stopped_note(comparison.table),
        part_note(comparison.metric, comparison.has_validation),
    ):
        options.print_note(note)
    if not entries and ranking.where and not len(comparison.table):
        options.print_note(ranking.nothing)
    options.emit(
        ranking.as_json,
        lambda: comparison_json(comparison, entries, store, ranking.count),
        lambda: print_comparison(comparison, entries, store, ranking.shape),
    )


@click.command()
@click.argument("sweeps", metavar="SWEEP...", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE", help="The page; by default SWEEP.html. Its pictures go into the same folder."
)
@click.option("--by", "metric", metavar="METRIC", help="The metric to show; by default the sweep's objective.")
@click.option(
    "--lost-by",
    metavar="METRIC",
    default="",
    help="Colour a map's lost trials by this metric, not by the step at which they failed.",
)
@click.option("--dashboard-url", metavar="URL", help="The MLflow server that links lead to; by default the store's.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def report(
    sweeps: tuple[str, ...],
    output: str | None,
    metric: str | None,
    lost_by: str,
    dashboard_url: str | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Make a page of SWEEP: phase diagrams, curves, gradients, importance. The sweep's run gets a copy.

    With several SWEEPs the page compares them: one leaderboard, distributions, and trials that are equal in everything
    that two sweeps share.
    """
    if lost_by and len(sweeps) > 1:
        raise click.UsageError("--lost-by is for the report of one sweep")
    from pathlib import Path

    from service.inspection.compare import compare, find_sweeps
    from service.recording.store import Store
    from service.report.report import checked_path, make_comparison, make_report

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    infos = find_sweeps(store, sweeps)
    path = checked_path(Path(output or f"{'-'.join(info.sweep for info in infos)}.html"))
    if len(infos) > 1:
        page = make_comparison(compare(store, infos, metric), store, dashboard=dashboard_url)
        ids: dict[str, object] = {"sweeps": [info.sweep for info in infos]}
    else:
        page = make_report(store, infos[0], metric=metric, lost_by=lost_by, dashboard=dashboard_url)
        ids = {"sweep": infos[0].sweep}
    files = page.write(path)
    if as_json:
        options.print_json({**ids, "page": str(path), "files": list(map(str, files))})
        return
    click.echo(path)
    if len(infos) > 1:
        options.print_note(f"the page; it compares {len(infos)} sweeps, so no run has a copy")
    else:
        copy = f"not on the sweep's run: {page.not_kept}" if page.not_kept else "copies on the sweep's run"
        options.print_note(f"the page, and {len(files) - 1} pictures in the same folder; {copy}")
