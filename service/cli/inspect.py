"""Commands that look at recorded sweeps and trials."""

from __future__ import annotations

import sys

import click

from service.cli import options


@click.command()
@click.argument("target", metavar="SWEEP|RUN")
@options.tracking_uri
@options.as_json
@options.handle_errors
def show(target: str, tracking_uri: str | None, as_json: bool) -> None:
    """Show SWEEP, or a trial by (the beginning of) its RUN id: hyperparameters, curves, final weights."""
    from service.cli.output import print_sweep, settings, sweep_json
    from service.cli.trial_output import print_trial, trial_json
    from service.inspection.rungs import recorded_rungs
    from service.recording.infos import SweepInfo
    from service.recording.store import Store

    store = Store(tracking_uri)
    info = store.find(target)
    if isinstance(info, SweepInfo):
        options.emit(
            as_json,
            lambda: {
                **sweep_json(info),
                "settings": settings(store.spec(info)),
                "rungs": list(map(vars, recorded_rungs(store, info))),
            },
            lambda: print_sweep(info, store),
        )
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
