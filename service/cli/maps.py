"""Commands for maps: sweeps over two axes of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from service.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from service.inspection.edge import Nudged
    from service.inspection.zoom import Frame, Zoom
    from service.recording.infos import SweepInfo
    from service.recording.store import Store
    from service.results.edge import Edge


@click.command()
@click.argument("sweep")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Trials that don't meet it are lost, such as loss<1.3."
)
@click.option(
    "--nudge",
    "nudged",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train N trials of the edge again, with both values one unit in the last place larger.",
)
@options.trust_parts
@options.tracking_uri
@options.as_json
@options.handle_errors
def edge(
    sweep: str,
    where: tuple[str, ...],
    nudged: int | None,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Measure the edge of SWEEP's map, between trials that trained and trials that are lost: is it rough?

    Without --where, a trial is lost if it exploded or diverged. The dimension of a smooth edge is 1.
    """
    from service.inspection.edge import nudge, sweep_map
    from service.recording.store import Store

    store = Store(tracking_uri, trust=options.trust(trust_parts))
    info = store.find_sweep(sweep)
    found = sweep_map(store, info, where)
    measured = found.edge
    again = nudge(store, info, found, where, nudged) if nudged else None
    value = edge_json(measured, again)
    options.emit(as_json, lambda: {"sweep": info.sweep, **value}, lambda: _print_edge(info, measured, again))


def edge_json(edge: Edge, nudged: Nudged | None) -> dict[str, Any]:
    """Return the measures of an edge. Numbers that are not defined are None."""
    numbers = {name: getattr(edge, name) for name in ("dimension", "error", "intercept", "median_slope")}
    return {
        "pixels": edge.pixels,
        "blocks": edge.blocks,
        **{name: None if number != number else number for name, number in numbers.items()},
        "sizes": edge.sizes.tolist(),
        "counts": edge.counts.tolist(),
        "fitted_sizes": edge.fitted_sizes,
        **({} if nudged is None else {"nudged": nudged.trials, "flipped": nudged.flipped}),
    }


def _print_edge(sweep: SweepInfo, edge: Edge, nudged: Nudged | None) -> None:
    from service.cli.tables import print_rows

    click.echo(f"{sweep.spec}/{sweep.sweep}: {edge.pixels:,} of {edge.blocks:,} blocks of 2 x 2 cells are on the edge")
    fitted = edge.fitted(edge.sizes.astype(float))
    rows = [
        {
            "size": size,
            "squares": count,
            "line": round(float(line), 1),
            "in the fit": "yes" if k < edge.fitted_sizes else "",
        }
        for k, (size, count, line) in enumerate(zip(edge.sizes.tolist(), edge.counts.tolist(), fitted, strict=True))
    ]
    if edge.pixels:
        print_rows(rows, title="Squares that the edge partly fills, by their side in cells")
        line = f"{edge.dimension:.3f} ± {edge.error:.3f} by the line through {edge.fitted_sizes} counts"
        click.echo(f"dimension {line}; {edge.median_slope:.3f} by the median slope")
    if nudged is not None:
        share = f" ({nudged.flipped / nudged.trials:.2%})" if nudged.trials else ""
        click.echo(f"a nudge of 1 + 2^-52 changed the fate of {nudged.flipped:,} of {nudged.trials:,} trials{share}")


@click.command()
@click.argument("sweep")
@click.option("--at", metavar="X,Y", required=True, help="The values of both axes in the middle of the new map.")
@click.option(
    "--by", type=click.FloatRange(min=1, min_open=True), default=2.0, show_default=True, help="The zoom's factor."
)
@click.option("--frames", type=click.IntRange(1, 200), default=1, show_default=True, help="Zooms one after another.")
@click.option("--points", type=click.IntRange(2, 10_000), help="Values of each axis; by default as many as before.")
@click.option(
    "-o", "--output", metavar="FILE", help="Write the frames as an animated .gif, and their table as .csv beside it."
)
@click.option(
    "--colour-by", "metric", metavar="METRIC", help="Colour the frames by this metric; by default SWEEP's objective."
)
@click.option(
    "--lost-by",
    default="",
    metavar="METRIC",
    help="Colour the frames' lost trials by this metric; by default by the step at which they failed.",
)
@click.option("--dry-run", is_flag=True, help="Print the new ranges and the time they need; run nothing.")
@options.trust_parts
@options.run_options
@options.as_json
@options.handle_errors
def zoom(
    sweep: str,
    at: str,
    by: float,
    frames: int,
    points: int | None,
    output: str | None,
    metric: str | None,
    lost_by: str,
    dry_run: bool,
    trust_parts: bool,
    tracking_uri: str | None,
    as_json: bool,
    **run_options: Any,
) -> None:
    """Train SWEEP's map again, closer: the same sweep over a part of both axes. It becomes a sweep of its own.

    With --frames each frame is closer than the one before by the same factor.
    """
    from service.inspection.zoom import first_zoom, map_table
    from service.recording.store import Store

    path = _film_path(output)
    if path is None and (metric or lost_by):
        options.print_note("--colour-by and --lost-by are for the film: name a file with -o")
    store = Store(tracking_uri, trust=options.trust(trust_parts))
    info = store.find_sweep(sweep)
    colours = metric or info.objective, lost_by
    table = map_table(store, info, *colours)  # a metric that no trial has is refused before anything is trained
    closer = first_zoom(store, info, table, _position(at), by, points)
    del table  # it may be large
    of = f", itself a zoom of {info.zoom_of}" if info.zoom_of else ""
    options.print_note(f"zooms into {info.spec}/{info.sweep}{of}")
    if dry_run:
        _print_zoom_plan(closer, tracking_uri, as_json, **run_options)
        if frames > 1:
            options.print_note(f"this is the first of {frames} frames")
        return
    done: list[Frame] = []
    for _ in range(frames):
        done.append(_run_zoom(store, closer, colours, tracking_uri, run_options))
        closer = closer.closer(by) if len(done) < frames else closer
    files = _write_film(done, path) if path else []
    options.emit(as_json, lambda: {"frames": [f.row for f in done], "files": files}, lambda: _print_frames(done, files))


def _position(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"write two numbers, such as 3.5,0.01, not {text!r}", param_hint="'--at'") from None
    return x, y


def _film_path(output: str | None) -> Path | None:
    from pathlib import Path

    if output is not None and Path(output).suffix.lower() != ".gif":
        raise click.BadParameter(f"the film is an animated GIF; end {output!r} in .gif", param_hint="'--output'")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder for {output!r}", param_hint="'--output'")
    return None if output is None else Path(output)


def _print_zoom_plan(closer: Zoom, tracking_uri: str | None, as_json: bool, **run_options: Any) -> None:
    from service.cli.plan_output import plan_json, print_plan
    from service.execution.estimate import estimated
    from service.execution.plan import make_plan

    plan = make_plan(closer.spec)
    estimate = estimated(plan, tracking_uri, **options.where(run_options))
    ranges = {window.name: [window.first, window.last] for window in (closer.columns, closer.rows)}
    options.emit(as_json, lambda: {"ranges": ranges, **plan_json(plan, estimate)}, lambda: print_plan(plan, estimate))
    if not as_json:
        for name, (first, last) in ranges.items():
            click.echo(f"{name}  {first!r} to {last!r}")


def _run_zoom(
    store: Store, closer: Zoom, colours: tuple[str, str], tracking_uri: str | None, run_options: dict[str, Any]
) -> Frame:
    """Run a zoom as a sweep, link it to the sweep that it comes from, and return its frame."""
    from service.cli.progress import make_progress
    from service.inspection.zoom import make_frame, map_table
    from service.recording.tags import Tag
    from service.run import run_sweep

    result = run_sweep(closer.spec, tracking_uri=tracking_uri, observer=make_progress(), **run_options)
    info, seconds = store.find_sweep(result.sweep), result.seconds
    del result  # its table may be large
    store.tag(info, {Tag.ZOOM_OF: closer.sweep.sweep})
    return make_frame(closer, map_table(store, info, *colours), *colours, info.sweep, seconds)


def _write_film(frames: Sequence[Frame], path: Path) -> list[str]:
    from service.cli.tables import rows_csv
    from service.inspection.files import write_file
    from service.inspection.zoom import write_film

    table = path.with_suffix(".csv")
    write_film(frames, path)
    text = rows_csv([frame.row for frame in frames]) + "\n"
    write_file(table, lambda partial: partial.write_text(text, encoding="utf-8"))
    return [str(path), str(table)]


def _print_frames(frames: Sequence[Frame], files: Sequence[str]) -> None:
    from service.cli.tables import print_rows

    print_rows([frame.row for frame in frames])
    for file in files:
        click.echo(file)
