"""`gradgrid edge` and `gradgrid zoom`, on a small map of a network with one data point."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.arrays import Array
from service import RecordedSweep, load_sweep, sweep
from service.inspection.edge import sweep_map
from service.recording.store import Store
from service.results.axes import axis_pairs, swept_axes
from service.results.edge import edge_cells
from service.results.map_pixels import map_pixels
from service.results.phase_diagram import make_phase_diagram
from tests.service.conftest import Recorded, run_command, run_for_json


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    folder = tmp_path_factory.mktemp("maps")
    changes = ["steps=60", "name=point", "grid.learning_rate.layer2.points=20", "grid.learning_rate.layer1.points=24"]
    return sweep("fractal_point", *changes, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


def _uri(found: RecordedSweep) -> str:
    return str(found._store.uri)


def test_the_edge_is_between_lost_and_other_trials(found: RecordedSweep) -> None:
    value = run_for_json("edge", found.id, "--tracking-uri", _uri(found))
    table = found.trials.sort_values(["params.learning_rate.layer2", "params.learning_rate.layer1"])
    lost = table["outcome"].isin(["exploding", "diverged"]).to_numpy().reshape(20, 24)
    mixed = [
        lost[r : r + 2, c : c + 2].any() and not lost[r : r + 2, c : c + 2].all() for r in range(19) for c in range(23)
    ]
    assert value["pixels"] == sum(mixed) > 10
    assert value["blocks"] == 19 * 23
    assert 0.5 < value["dimension"] < 1.6
    text = run_command("edge", found.id, "--tracking-uri", _uri(found)).stdout
    assert f"{value['pixels']} of 437 blocks of 2 x 2 cells are on the edge" in text
    dimension = f"{value['dimension']:.3f} ± {value['error']:.3f}"
    assert f"dimension {dimension} by the line through {value['fitted_sizes']} counts; " in text


def test_conditions_say_which_trials_are_lost(found: RecordedSweep) -> None:
    value = run_for_json("edge", found.id, "--where", "loss<0.1", "--tracking-uri", _uri(found))
    info = found._store.find_sweep(found.id)
    lost = sweep_map(found._store, info, ("loss<0.1",)).lost
    losses = found.trials.pivot(
        index="params.learning_rate.layer2", columns="params.learning_rate.layer1", values="metrics.loss"
    )
    assert (lost == ~(losses.to_numpy() < 0.1)).all()
    assert value["pixels"] != run_for_json("edge", found.id, "--tracking-uri", _uri(found))["pixels"]
    everything = run_for_json("edge", found.id, "--where", "learning_rate.layer1>0", "--tracking-uri", _uri(found))
    assert (everything["pixels"], everything["dimension"]) == (0, None)


def test_a_nudge_trains_trials_of_the_edge_again(found: RecordedSweep) -> None:
    cells = edge_cells(sweep_map(found._store, found._store.find_sweep(found.id)).lost).sum()
    value = run_for_json("edge", found.id, "--nudge", "10000", "--tracking-uri", _uri(found))
    assert value["nudged"] == cells
    assert 0 <= value["flipped"] < 0.2 * cells  # 60 steps are few
    some = run_command("edge", found.id, "--nudge", "9", "--tracking-uri", _uri(found)).stdout
    assert "a nudge of 1 + 2^-52 changed the fate of" in some
    assert "of 9 trials" in some


def test_a_sweep_without_a_map_has_no_edge(recorded: Recorded) -> None:
    for command in (("edge", "small"), ("zoom", "small", "--at", "1,1")):
        result = run_command(*command, "--tracking-uri", recorded.uri)
        assert result.exit_code == 2
        assert "two axes of numbers" in result.stderr


def test_a_zoom_is_a_sweep_of_its_own_that_knows_where_it_comes_from(found: RecordedSweep, tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    arguments = ["zoom", found.id, "--at", "2,300", "--by", "3", "--frames", "2", "--points", "17", "--inline"]
    colours = ["--colour-by", "fit", "--lost-by", "delay"]
    value = run_for_json(*arguments, *colours, "-o", str(film), "--tracking-uri", _uri(found))
    assert value["files"] == [str(film), str(tmp_path / "film.csv")]
    first, second = value["frames"]
    for axis, centre in (("learning_rate.layer1", 2), ("learning_rate.layer2", 300)):
        ranges = [(frame[f"first {axis}"], frame[f"last {axis}"]) for frame in (first, second)]
        assert [np.log10(high / low) for low, high in ranges] == pytest.approx([3, 1])
        assert [(low * high) ** 0.5 for low, high in ranges] == pytest.approx([centre, centre])
    closer = load_sweep(second["sweep"], tracking_uri=_uri(found))
    assert len(closer.trials) == 17 * 17
    assert closer.info.spec == "point"
    run = Store(_uri(found))._client.get_run(closer.info.run_id)
    assert run.data.tags["gradgrid.zoom_of"] == found.id
    listed = run_for_json("list", "--tracking-uri", _uri(found))["sweeps"]
    assert [entry["zoom_of"] for entry in listed] == [found.id, found.id, None]
    ending = found.id.rpartition("-")[2]
    assert run_command("list", "--tracking-uri", _uri(found)).stdout.splitlines()[3].split()[-1] == ending
    shown = run_command("show", second["sweep"], "--tracking-uri", _uri(found)).stdout
    assert shown.splitlines()[0].endswith(f", a zoom of {found.id}")
    with Image.open(film) as image:
        assert getattr(image, "n_frames", 1) == 2
        pixels = np.asarray(image.convert("RGB"))
    _check_frame(pixels, closer=load_sweep(first["sweep"], tracking_uri=_uri(found)))
    with film.with_suffix(".csv").open() as file:
        assert [row["sweep"] for row in csv.DictReader(file)] == [first["sweep"], second["sweep"]]
    again = run_for_json("zoom", second["sweep"], "--at", "2,300", "--dry-run", "--tracking-uri", _uri(found))
    assert np.log10(np.divide(*again["ranges"]["learning_rate.layer1"][::-1])) == pytest.approx(0.5)
    assert again["trials"] == 17 * 17


def _check_frame(pixels: Array, closer: RecordedSweep) -> None:
    """Check the colours of a frame's cells, and that there is text below them."""
    axes = swept_axes(closer.trials, closer.info.swept)
    of_scores = map_pixels(make_phase_diagram(closer.trials, "fit", *axis_pairs(axes)[0], lost_by="delay"))[::-1]
    by_default = map_pixels(make_phase_diagram(closer.trials, "loss", *axis_pairs(axes)[0]))[::-1]
    assert (of_scores != by_default).any()
    scale = -(-512 // 17)
    shown = pixels[scale // 2 : 17 * scale : scale, scale // 2 : 17 * scale : scale]
    assert np.abs(shown.astype(int) - of_scores).max() <= 8  # of a palette
    below = pixels[17 * scale :]
    assert len(below) == 68
    for line in (below[:24], below[24:44], below[44:]):
        assert (line.min(axis=(0, 2)) < 100).sum() > 100  # columns with some black


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "1"], "write two numbers, such as 3.5,0.01, not '1'"),
        (["--at", "-1,2"], "so -1.0 is outside of the map"),
        (["--at", "1,2", "--colour-by", "lates"], "no trial has the metric 'lates'; did you mean 'late'?"),
        (["--at", "1,2", "--lost-by", "dela"], "no trial has the metric 'dela'; did you mean 'delay'?"),
        (["--at", "1,2", "--by", "1e15"], "too close for floating point; zoom less"),
        (["--at", "1,2", "-o", "film.mp4"], "end 'film.mp4' in .gif"),
        (["--at", "1,2", "-o", "nowhere/film.gif"], "there is no folder for 'nowhere/film.gif'"),
    ],
)
def test_a_wrong_zoom_is_refused(found: RecordedSweep, arguments: list[str], message: str) -> None:
    result = run_command("zoom", found.id, *arguments, "--tracking-uri", _uri(found))
    assert result.exit_code == 2
    assert message in result.stderr
