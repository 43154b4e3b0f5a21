"""The pictures of a report: each shows the numbers of its section, in the colours of the legend."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from service.recording.store import Store
from service.report.contents import Contents, gather
from service.report.pictures import make_pictures
from service.results.colours import FIRST_CLASS, OUTCOME_COLOURS, SECOND_CLASS, line_colour
from service.results.importance import Importance
from tests.pictures import Pixels, is_colour, is_colourful, read_png
from tests.service.conftest import Recorded


@pytest.fixture(scope="module")
def contents(recorded: Recorded) -> Contents:
    store = Store(recorded.uri)
    return gather(store, store.find_sweep("small"))


@pytest.fixture(scope="module")
def pictures(contents: Contents) -> dict[str, Pixels]:
    """The pixels of each picture, by the name of its file."""
    return {name: read_png(picture) for name, picture in make_pictures(contents).items()}


def test_every_section_has_its_picture(pictures: dict[str, Pixels]) -> None:
    assert set(pictures) == {"phase.png", "curves.png", "gradients.png", "importance.png", "surfaces.png"}


def test_the_phase_diagram_shows_medians_and_outcomes(pictures: dict[str, Pixels]) -> None:
    pixels = pictures["phase.png"]
    outcomes = [is_colour(pixels, OUTCOME_COLOURS[name]) for name in ("improving", "diverged")]
    assert min(outcome.sum() for outcome in outcomes) > 1_000
    improving, diverged = (np.nonzero(outcome)[1] for outcome in outcomes)
    assert np.quantile(improving, 0.9) < np.quantile(diverged, 0.1)  # the small learning rate stands on the left
    medians = pixels[: np.nonzero(outcomes[0])[0].min()]
    assert is_colour(medians, "#dddddd").sum() > 1_000  # no median where all diverged
    assert len(np.unique(medians[is_colourful(medians)], axis=0)) > 20  # the colour bar at least


@pytest.mark.parametrize("name", ["curves.png", "gradients.png"])
def test_each_line_crosses_its_frame(pictures: dict[str, Pixels], name: str) -> None:
    pixels = pictures[name]
    for index in (0, 1):
        columns = np.nonzero(is_colour(pixels, line_colour(index)).any(axis=0))[0]
        assert np.ptp(columns) > 0.6 * pixels.shape[1]
        assert len(columns) > 0.6 * np.ptp(columns)


def test_bars_are_as_long_as_the_shares_they_stand_for(contents: Contents) -> None:
    shares = [Importance("activation", 0.8, 0.9), Importance("learning_rate", 0.2, 0.5)]
    pixels = read_png(make_pictures(replace(contents, importance=shares))["importance.png"])
    alone, both = _bar_lengths(pixels)
    assert alone[0] / alone[1] == pytest.approx(0.8 / 0.2, rel=0.03)
    assert both[0] / both[1] == pytest.approx(0.9 / 0.5, rel=0.03)
    assert alone[0] / both[0] == pytest.approx(0.8 / 0.9, rel=0.03)


_SMOOTHED = 3  # pixels over which one colour may pass into another


def _bar_lengths(pixels: Pixels) -> tuple[list[int], list[int]]:
    """Return the lengths, in pixels, of the dark part of each bar, and of each whole bar, from top to bottom."""
    dark, pale = is_colour(pixels, line_colour(0)), is_colour(pixels, "#c6d3e1")
    lengths: list[tuple[int, int]] = []
    for row in range(len(pixels)):
        coloured = np.nonzero(dark[row] | pale[row])[0]
        if not len(coloured):
            continue
        bar = coloured[np.cumprod(np.diff(coloured, prepend=coloured[0]) <= _SMOOTHED) == 1]
        lengths.append((int(dark[row, bar].sum()), int(np.ptp(bar)) + 1))
    bars = [bar for bar, _ in Counter(lengths).most_common() if 0 < bar[0] < bar[1]][:2]
    bars.sort(key=lengths.index)
    return [bar[0] for bar in bars], [bar[1] for bar in bars]


def test_surfaces_have_the_data_of_both_classes_on_grounds_of_their_colours(pictures: dict[str, Pixels]) -> None:
    pixels = pictures["surfaces.png"]
    assert is_colour(pixels, "#333333").sum() > 200  # the edge between the classes
    for colour in (FIRST_CLASS, SECOND_CLASS):
        assert is_colour(pixels, colour).sum() > 300  # the points
    assert len(np.unique(pixels[is_colourful(pixels)], axis=0)) > 50  # from one class to the other


def test_a_section_without_numbers_has_no_picture(contents: Contents) -> None:
    empty = replace(contents, phases=[], curves={}, gradients=None, importance=[], surfaces=[])
    assert make_pictures(empty) == {}
