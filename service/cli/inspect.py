"""Commands that look at what was recorded."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.argument("sweep")
@click.option("--by", "metric", metavar="METRIC", help="Rank by this metric; by default what the sweep is ranked by.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="How many entries.")
@click.option("--where", multiple=True, metavar="CONDITION", help="Only trials with, say, learning_rate<0.1.")
@click.option("--trials", "each", is_flag=True, help="Rank the trials one by one, not their means over seeds.")
@click.option("--format", "shape", type=click.Choice(["text", "markdown", "csv"]), default="text", help="On stdout.")
@options.tracking_uri
@options.as_json
@options.reported
def top(
    sweep: str,
    metric: str | None,
    count: int,
    where: tuple[str, ...],
    each: bool,
    shape: str,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Show the best of SWEEP, named by its id, the beginning of it, or a spec's name for the newest.

    Trials that differ in the seed alone are one entry, by their mean; what the data can't tell apart has one rank.
    """
    from service.cli.output import entry_values, page_text, rows_csv, rows_markdown, rows_text
    from service.cli.trial_output import trial_values
    from service.recording.recorded_table import lost_runs_note, read_table
    from service.recording.store import Store
    from service.results.leaderboard import entry_rows, matching, ranked
    from service.results.trials_table import best_trials, shown_params

    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    by = metric or found.objective
    table = read_table(store, found)
    entries = ranked(table, by, shown_params(table.columns, found.swept), where, over_seeds=not each, count=count)
    options.tell(lost_runs_note(store, found, table))
    if not entries and where and not len(matching(table, where)):
        values = f"`gradgrid show {found.sweep}` shows the values of each axis"
        options.tell(f"no trial fits {' '.join(f'--where {condition!r}' for condition in where)}; {values}")
    if as_json:
        best = store.trials_of_rows(found, best_trials(matching(table, where), by, count))
        listed = {"top": list(map(trial_values, best)), "entries": list(map(entry_values, entries))}
        options.print_json({"sweep": found.sweep, "by": by, **listed})
        return
    rows = entry_rows(entries, by)
    if shape == "text":
        rows_text(rows, title=f"{found.spec}/{found.sweep} by {by}")
        page_text(store, found)
    else:
        click.echo(rows_markdown(rows) if shape == "markdown" else rows_csv(rows))


@click.command()
@click.argument("target", metavar="SWEEP|RUN")
@options.tracking_uri
@options.as_json
@options.reported
def show(target: str, tracking_uri: str | None, as_json: bool) -> None:
    """Show a sweep, or a trial by the beginning of its run id: hyperparameters, curves, final weights."""
    from service.cli.output import sweep_text, sweep_values
    from service.cli.trial_output import trial_text, trial_values
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

    store = Store(tracking_uri)
    found = store.find(target)
    if isinstance(found, SweepInfo):
        options.print_json(sweep_values(found)) if as_json else sweep_text(found, store)
    else:
        values = {**trial_values(found), "final_weights": store.final_weights(found.run_id)}
        options.print_json(values) if as_json else trial_text(found, store)


@click.command()
@click.argument("run")
@click.option("--step", type=click.IntRange(min=0), help="By default the step at which the trial's outcome began.")
@click.option("--sample", type=click.IntRange(min=0), help="Whose graph is drawn; by default the step's first.")
@click.option("-o", "--output", metavar="FILE", help="Write the graph too: a .svg, or a .dot for Graphviz.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.reported
def explain(
    run: str,
    step: int | None,
    sample: int | None,
    output: str | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Look into one step of a trial, RUN by the beginning of its run id: each unit's gradient, and why it died."""
    from pathlib import Path

    from service.cli.trial_output import explanation_text, explanation_values
    from service.inspection.drawings import write_graph
    from service.inspection.explain import explain as look_into
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    explanation = look_into(store, store.find_trial(run), step)
    if output:
        write_graph(explanation.graph(sample), Path(output))
    options.print_json(explanation_values(explanation)) if as_json else explanation_text(explanation)


@click.command()
@click.argument("sweep")
@click.option("-o", "--output", metavar="FILE", help="By default SWEEP.html here; its pictures are put beside it.")
@click.option("--by", "metric", metavar="METRIC", help="What is shown; by default what the sweep is ranked by.")
@click.option("--dashboard-url", metavar="URL", help="Where links to runs lead; by default the store's own server.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.reported
def report(
    sweep: str,
    output: str | None,
    metric: str | None,
    dashboard_url: str | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Make a page of SWEEP: phase diagrams, curves, gradients, what matters. It is put on the sweep's run too."""
    from pathlib import Path

    from service.recording.store import Store
    from service.report.report import checked_path, make_report

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    found = store.find_sweep(sweep)
    path = checked_path(Path(output or f"{found.sweep}.html"))
    made = make_report(store, found, metric=metric, dashboard=dashboard_url)
    written = made.write(path)
    if as_json:
        options.print_json({"sweep": found.sweep, "page": str(path), "files": list(map(str, written))})
    else:
        click.echo(path)
        where = f"not on the sweep's run: {made.not_kept}" if made.not_kept else "on the sweep's run as well"
        options.tell(f"the page, and {len(written) - 1} pictures beside it; {where}")


@click.command()
@click.argument("sweep")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=2.0, show_default=True, metavar="SECONDS", help="Look so often."
)
@options.tracking_uri
@options.as_json
@options.reported
def watch(sweep: str, every: float, tracking_uri: str | None, as_json: bool) -> None:
    """Follow SWEEP while it runs elsewhere: trials, outcomes, the best, and its heat map as it fills."""
    from service.cli.output import sweep_values
    from service.cli.progress import Viewer
    from service.inspection.watch import follow
    from service.recording.store import Store

    with Viewer() as viewer:
        for look in follow(Store(tracking_uri), sweep, every):
            viewer.show(look)
    if as_json:
        options.print_json({**sweep_values(look.sweep), "outcomes": look.outcomes, "best": look.best})
    sys.exit(0 if look.sweep.status == "FINISHED" else 1)


@click.command()
@click.argument("target", metavar="SWEEP|RUN")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N trials, chosen at random.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.reported
def verify(target: str, sample: int | None, trust_parts: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Train recorded trials again, and compare every recorded figure and final weight with what comes out."""
    from service.cli.output import verdict_text, verdict_values
    from service.inspection.verify import verify as audit
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    found = store.find(target)
    if isinstance(found, SweepInfo):
        verdict = audit(store, found, sample=sample)
    else:
        verdict = audit(store, store.sweep_of(found), run_id=found.run_id)
    options.print_json(verdict_values(verdict)) if as_json else verdict_text(verdict)
    sys.exit(1 if verdict.significant else 0)


@click.command()
@click.argument("sweep")
@click.option("-o", "--output", metavar="FILE", help="Its ending is the format; by default SWEEP.parquet here.")
@options.tracking_uri
@options.as_json
@options.reported
def export(sweep: str, output: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Write every trial of SWEEP, a row each, to a .parquet, .csv or .json file."""
    from pathlib import Path

    from service.inspection.export import export_sweep
    from service.recording.store import Store

    store = Store(tracking_uri)
    found = store.find_sweep(sweep)
    path = Path(output or f"{found.sweep}.parquet")
    trials = export_sweep(store, found, path)
    if as_json:
        options.print_json({"sweep": found.sweep, "file": str(path), "trials": trials})
    else:
        click.echo(f"{trials:,} trials of {found.spec}/{found.sweep} are in {path}", err=True)
