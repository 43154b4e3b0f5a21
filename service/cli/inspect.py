"""Commands that look at recorded sweeps and trials."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.argument("sweep")
@click.option("--by", "metric", metavar="METRIC", help="Rank by this metric; by default the sweep's objective.")
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Number of entries.")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Only trials that meet it, such as learning_rate<0.1."
)
@click.option("--trials", "each", is_flag=True, help="Rank single trials instead of means over seeds.")
@click.option(
    "--format", "shape", type=click.Choice(["text", "markdown", "csv"]), default="text", help="Format of the output."
)
@options.tracking_uri
@options.as_json
@options.handle_errors
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
    """Show the best of SWEEP: its id, the beginning of the id, or a spec's name for the newest.

    Trials that differ only in the seed are one entry, ranked by their mean. Entries that the data can't tell apart
    share a rank.
    """
    from service.cli.output import entry_json, print_page
    from service.cli.tables import print_rows, rows_csv, rows_markdown
    from service.cli.trial_output import trial_json
    from service.recording.recorded_table import lost_runs_note, read_table
    from service.recording.store import Store
    from service.results.leaderboard import entry_rows, matching, ranked
    from service.results.trials_table import best_trials, shown_params

    store = Store(tracking_uri)
    info = store.find_sweep(sweep)
    by = metric or info.objective
    table = read_table(store, info)
    entries = ranked(table, by, shown_params(table.columns, info.swept), where, over_seeds=not each, count=count)
    options.print_note(lost_runs_note(store, info, table))
    if not entries and where and not len(matching(table, where)):
        values = f"`gradgrid show {info.sweep}` shows the values of each axis"
        options.print_note(f"no trial meets {' '.join(f'--where {condition!r}' for condition in where)}; {values}")
    if as_json:
        best = store.trials_of_rows(info, best_trials(matching(table, where), by, count))
        lists = {"top": list(map(trial_json, best)), "entries": list(map(entry_json, entries))}
        options.print_json({"sweep": info.sweep, "by": by, **lists})
        return
    rows = entry_rows(entries, by)
    if shape == "text":
        print_rows(rows, title=f"{info.spec}/{info.sweep} by {by}")
        print_page(store, info)
    else:
        click.echo(rows_markdown(rows) if shape == "markdown" else rows_csv(rows))


@click.command()
@click.argument("target", metavar="SWEEP|RUN")
@options.tracking_uri
@options.as_json
@options.handle_errors
def show(target: str, tracking_uri: str | None, as_json: bool) -> None:
    """Show SWEEP, or a trial by (the beginning of) its RUN id: hyperparameters, curves, final weights."""
    from service.cli.output import print_sweep, sweep_json
    from service.cli.trial_output import print_trial, trial_json
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

    store = Store(tracking_uri)
    info = store.find(target)
    if isinstance(info, SweepInfo):
        options.emit(as_json, lambda: sweep_json(info), lambda: print_sweep(info, store))
    else:
        trial, tensors = info, store.final_weights(info.run_id)
        values = {**trial_json(trial), "final_weights": tensors}
        options.emit(as_json, lambda: values, lambda: print_trial(trial, tensors, store))


@click.command()
@click.argument("target", metavar="RUN|SWEEP")
@click.option(
    "--trial", type=click.IntRange(min=0), metavar="N", help="The trial of SWEEP with this number, run or not."
)
@click.option("--step", type=click.IntRange(min=0), help="The step; by default the one at which the outcome began.")
@click.option("--sample", type=click.IntRange(min=0), help="The sample of the graph; by default the step's first.")
@click.option("-o", "--output", metavar="FILE", help="Also write the graph: .svg, or .dot for Graphviz.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def explain(
    target: str,
    trial: int | None,
    step: int | None,
    sample: int | None,
    output: str | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Look into one step of a trial: each unit's gradient, and what went wrong.

    The trial is named by (the beginning of) its RUN id, or by SWEEP and its number, which `gradgrid export` lists.
    """
    from pathlib import Path

    from service.cli.trial_output import explanation_json, print_explanation
    from service.inspection.drawings import write_graph
    from service.inspection.explain import explain as look_into
    from service.inspection.explain import trial_of_number
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    found = store.find_trial(target) if trial is None else trial_of_number(store, store.find_sweep(target), trial)
    explanation = look_into(store, found, step)
    if output:
        write_graph(explanation.graph(sample), Path(output))
    options.emit(as_json, lambda: explanation_json(explanation), lambda: print_explanation(explanation))


@click.command()
@click.argument("sweep")
@click.option(
    "-o", "--output", metavar="FILE", help="The page; by default SWEEP.html. Its pictures go into the same folder."
)
@click.option("--by", "metric", metavar="METRIC", help="The metric to show; by default the sweep's objective.")
@click.option("--dashboard-url", metavar="URL", help="The MLflow server that links lead to; by default the store's.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def report(
    sweep: str,
    output: str | None,
    metric: str | None,
    dashboard_url: str | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Make a page of SWEEP: phase diagrams, curves, gradients, importance. The sweep's run gets a copy."""
    from pathlib import Path

    from service.recording.store import Store
    from service.report.report import checked_path, make_report

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    info = store.find_sweep(sweep)
    path = checked_path(Path(output or f"{info.sweep}.html"))
    page = make_report(store, info, metric=metric, dashboard=dashboard_url)
    files = page.write(path)
    if as_json:
        options.print_json({"sweep": info.sweep, "page": str(path), "files": list(map(str, files))})
    else:
        click.echo(path)
        copy = f"not on the sweep's run: {page.not_kept}" if page.not_kept else "copies on the sweep's run"
        options.print_note(f"the page, and {len(files) - 1} pictures in the same folder; {copy}")


@click.command()
@click.argument("sweep")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@options.tracking_uri
@options.as_json
@options.handle_errors
def watch(sweep: str, every: float, tracking_uri: str | None, as_json: bool) -> None:
    """Follow SWEEP while it runs elsewhere: trials, outcomes, the best value and the heat map."""
    from service.cli.output import sweep_json
    from service.cli.progress import Viewer
    from service.inspection.watch import follow
    from service.recording.store import Store

    with Viewer() as viewer:
        for snapshot in follow(Store(tracking_uri), sweep, every):
            viewer.show(snapshot)
    if as_json:
        options.print_json({**sweep_json(snapshot.sweep), "outcomes": snapshot.outcomes, "best": snapshot.best})
    sys.exit(0 if snapshot.sweep.status == "FINISHED" else 1)


@click.command()
@click.argument("target", metavar="SWEEP|RUN")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N random trials.")
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def verify(target: str, sample: int | None, trust_parts: bool, tracking_uri: str | None, as_json: bool) -> None:
    """Train recorded trials again, and compare every figure and final weight with the recorded ones."""
    from service.cli.output import print_verdict, verdict_json
    from service.inspection.verify import verify as audit
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    info = store.find(target)
    if isinstance(info, SweepInfo):
        verdict = audit(store, info, sample=sample)
    else:
        verdict = audit(store, store.sweep_of(info), run_id=info.run_id)
    options.emit(as_json, lambda: verdict_json(verdict), lambda: print_verdict(verdict))
    sys.exit(1 if verdict.significant else 0)


@click.command()
@click.argument("sweep")
@click.option("-o", "--output", metavar="FILE", help="The file, its format by its ending; by default SWEEP.parquet.")
@options.tracking_uri
@options.as_json
@options.handle_errors
def export(sweep: str, output: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Write the trials of SWEEP to a .parquet, .csv or .json file, one row each."""
    from pathlib import Path

    from service.inspection.export import export_sweep
    from service.recording.store import Store

    store = Store(tracking_uri)
    info = store.find_sweep(sweep)
    path = Path(output or f"{info.sweep}.parquet")
    trials = export_sweep(store, info, path)
    if as_json:
        options.print_json({"sweep": info.sweep, "file": str(path), "trials": trials})
    else:
        click.echo(f"{trials:,} trials of {info.spec}/{info.sweep} are in {path}", err=True)
