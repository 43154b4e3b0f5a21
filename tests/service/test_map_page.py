"""A map on the report's page, in a real browser: hover, click, drag and zoom; and its picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from service import RecordedSweep, sweep
from service.report.phase_pictures import phase_picture
from service.results.axes import Axis
from service.results.phase_diagram import PhaseDiagram, make_phase_diagram
from tests.pictures import read_png
from tests.service.conftest import run_command, run_for_json
from tests.service.page_frames import open_tabs, overlapping_texts, read_page

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RecordedSweep:
    folder = tmp_path_factory.mktemp("map")
    changes = ["steps=40", "name=point", "grid.learning_rate.layer2.points=33", "grid.learning_rate.layer1.points=40"]
    return sweep("fractal_point", *changes, tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", inline=True)


@pytest.fixture(scope="module")
def page_file(found: RecordedSweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    found.report(keep=False).write(path)
    return path


@pytest.fixture
def page(page_file: Path) -> Iterator[Page]:
    with read_page(page_file, 1280) as opened:
        yield opened


def _at(page: Page, column: float, row: float) -> tuple[float, float]:
    """Return the place on the screen of a position on the map."""
    point = page.evaluate(
        """([x, y]) => {
          const place = document.querySelector("#phase .figure"), view = [...drawn.get(place)._roots][0];
          const box = view.el.getBoundingClientRect();
          return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
        }""",
        [column, row],
    )
    return point[0], point[1]


def _row(found: RecordedSweep, column: int, row: int) -> pd.Series:
    """Return the trial of a pixel, counted from the lower left."""
    trials = found.trials
    first, second = (np.unique(trials[f"params.learning_rate.layer{k}"]) for k in (1, 2))
    inside = (trials["params.learning_rate.layer1"] == first[column]) & (
        trials["params.learning_rate.layer2"] == second[row]
    )
    return trials[inside].iloc[0]


def test_hovering_says_what_a_pixel_is(page: Page, found: RecordedSweep) -> None:
    trial = _row(found, 8, 10)
    x, y = _at(page, 8, 10)
    page.mouse.move(x - 1, y)
    page.mouse.move(x, y)
    tooltip = page.locator(".bk-Tooltip")
    rates = [float(f"{trial[f'params.learning_rate.layer{k}']:.6g}") for k in (1, 2)]
    for text in (*map(str, rates), f"{trial['metrics.loss']:.4g}", str(trial["outcome"]), str(trial["number"])):
        expect(tooltip.get_by_text(text, exact=True).first).to_be_visible()


def test_a_click_gives_the_command_that_explains_the_trial(page: Page, found: RecordedSweep) -> None:
    trial = _row(found, 35, 30)
    assert trial["outcome"] == "diverged"
    page.mouse.click(*_at(page, 35, 30))
    command = page.get_by_role("status").locator("code")
    expect(command).to_have_text(f"gradgrid explain {found.id} --trial {trial['number']}")
    words = command.inner_text().split()[1:]
    value = run_for_json(*words, "--tracking-uri", str(found._store.uri))
    assert value["outcome"] == "diverged"
    assert value["step"] == min(trial["outcome_step"], trial["last_step"])
    text = run_command(*words, "--tracking-uri", str(found._store.uri)).stdout
    assert f"trial {trial['number']}\nno run: diverged" in text


def test_a_drag_with_the_box_gives_the_command_that_zooms(page: Page, found: RecordedSweep) -> None:
    page.evaluate(
        """() => {
          const plot = [...drawn.get(document.querySelector("#phase .figure"))._roots][0].model;
          plot.toolbar.tools.flatMap((tool) => tool.tools ?? [tool]).forEach((tool) => {
            if (tool.type === "PanTool") tool.active = false;
            if (tool.type === "BoxSelectTool") tool.active = true;
          });
        }"""
    )
    page.mouse.move(*_at(page, 10, 8))
    page.mouse.down()
    page.mouse.move(*_at(page, 15, 12), steps=5)
    page.mouse.move(*_at(page, 20, 16), steps=5)
    page.mouse.up()
    command = page.get_by_role("status").locator("code")
    expect(command).to_be_visible()
    match = re.fullmatch(rf"gradgrid zoom {found.id} --at ([\d.e+-]+),([\d.e+-]+) --by ([\d.]+)", command.inner_text())
    assert match, command.inner_text()
    first, second = (np.unique(found.trials[f"params.learning_rate.layer{k}"]) for k in (1, 2))
    assert np.log10(float(match[1])) == pytest.approx(np.log10(first[15]), abs=0.1)
    assert np.log10(float(match[2])) == pytest.approx(np.log10(second[12]), abs=0.1)
    assert float(match[3]) == pytest.approx(min(39 / 10, 32 / 8), abs=0.3)
    assert (
        run_command(*command.inner_text().split()[1:], "--dry-run", "--tracking-uri", str(found._store.uri)).exit_code
        == 0
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_the_map_and_its_edge_are_on_the_page_and_texts_do_not_overlap(page_file: Path, width: int) -> None:
    with read_page(page_file, width) as page:
        headings = page.locator("#phase h4").all_text_contents()
        assert [heading.strip().split("  ")[0][:12] for heading in headings] == ["Median loss,", "Edge dimensi"]
        assert "± " in headings[1]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for _ in open_tabs(page):
            assert overlapping_texts(page) == []
    assert page_file.stat().st_size < 3 * 2**20


def _phase(side: int) -> PhaseDiagram:
    rows, columns = (axis.ravel() for axis in np.divmod(np.arange(side * side), side))
    lost = columns >= side // 2
    table = pd.DataFrame(
        {
            "params.a": columns + 1.0,
            "params.b": rows + 1.0,
            "outcome": np.where(lost, "diverged", "improving"),
            "outcome_step": rows,
            "run_id": None,
            "metrics.loss": np.where(lost, np.nan, 10.0 ** (8.0 * columns / side - 4.0)),
        }
    )
    values = tuple(float(k + 1) for k in range(side))
    return make_phase_diagram(table, "loss", Axis("a", values), Axis("b", values))


def test_the_picture_of_a_map_has_its_pixels_with_the_largest_row_on_top() -> None:
    picture = read_png(phase_picture(_phase(40), "a sweep"))
    height, width = picture.shape[:2]
    assert width > 700
    assert np.abs(picture[height // 2, round(0.09 * width)] - (253, 231, 37)).max() < 60  # one of the best
    top, bottom = (picture[round(share * height), round(0.6 * width)] for share in (0.08, 0.88))
    assert top.sum() > 600  # lost late
    assert bottom.sum() < 220  # lost at once


def test_a_very_large_map_is_drawn_in_part() -> None:
    from service.report.map_figures import map_block

    block = map_block(_phase(800), "sweep")
    assert block.words.endswith("720 x 720 of 640,000 cells are drawn.")
    source = block.drawings[0].plot.renderers[0].data_source
    assert source.data["pixels"][0].shape == (720, 720)
    assert source.data["number"][0][-1, -1] == 640_000 - 1
