"""The report in a real browser, without a network: light and dark, on a desk and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from experiments.spec import load_spec
from service.recording.store import Store
from service.report.report import make_report
from service.run import run_sweep
from tests.service.browser import keep_screenshot
from tests.service.conftest import Recorded
from tests.service.page_frames import opened, read_page

_BASE = "http://127.0.0.1:1"
_LARGE = {
    "name": "large",
    "dataset": {"name": "moons", "samples": 40},
    "model": {"hidden": [2]},
    "steps": 8,
    "grid": {
        "activation": ["relu", "gelu", "sigmoid", "tanh"],
        "learning_rate": {"logspace": [0.001, 1000.0], "points": 50},
        "init_scale": [0.1, 0.3, 1.0, 3.0, 10.0],
        "seed": {"range": 10},
    },
    "record": {"points": 9, "weights": "none"},
}


@pytest.fixture(scope="module")
def page_file(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(recorded.uri)
    report = make_report(store, store.find_sweep("small"), dashboard=_BASE, keep=False)
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write(path)
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1300, 390])
def test_the_page_can_be_read(page_file: Path, width: int, dark: bool) -> None:
    with opened(page_file, width, dark=dark) as page:
        headings = page.locator("h2").all_text_contents()
        assert headings[:3] == ["Phase diagram", "Curves", "Gradients by layer"]
        assert {"Importance", "Every trial", "Parallel coordinates", "Learned functions"} < set(headings)
        expect(page.locator(".facts")).to_contain_text("12trials")
        expect(page.locator(".keys").first).to_contain_text("6 diverged")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground, text = page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        light, shade = (sum(map(int, c[4:-1].split(","))) for c in (ground, text))
        assert (light < 200 < 500 < shade) if dark else (shade < 200 < 500 < light)
        drawn = page.locator("#phase .figure").first
        assert page.locator("#phase canvas").count() >= 1
        assert (drawn.bounding_box() or {"width": 0})["width"] > 300
        keep_screenshot(page, f"report-{width}-{'dark' if dark else 'light'}")


def test_hovering_shows_a_trial_and_a_click_leads_to_its_run(page_file: Path, recorded: Recorded) -> None:
    with opened(page_file) as page:
        place = page.locator("#phase .figure").first
        box = place.bounding_box()
        assert box is not None
        x, y = box["x"] + 0.3 * box["width"], box["y"] + 18
        page.mouse.move(x, y)
        page.mouse.move(x + 2, y + 2)
        tooltip = page.locator(".bk-Tooltip")
        for text in ("learning rate", "0.1", "relu", "median test loss", "3 improving", "best run"):
            expect(tooltip.get_by_text(text, exact=False).first).to_be_visible()
        page.evaluate("window.open = address => { window.opened = address; return {}; }")
        page.mouse.click(x, y)
        page.wait_for_function("window.opened")
        address = page.evaluate("window.opened")
    runs = f"{_BASE}/#/experiments/{recorded.result.experiment_id}/runs"
    assert address in {f"{runs}/{run}?workflowType=machine_learning" for run in recorded.result.table["run_id"]}


def test_tabs_show_other_figures_and_the_ground_can_change(page_file: Path) -> None:
    with opened(page_file) as page:
        page.get_by_role("tab", name="gradient norm").click()
        panel = page.locator("#curves [role=tabpanel]:visible")
        expect(panel).to_have_count(1)
        expect(panel.locator(".figure").first).to_have_attribute("data-drawn", "yes")
        assert page.evaluate("[...drawn.keys()].length") > 5
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(20, 24, 29)'")
        expect(page.locator("#phase .figure").first).to_have_attribute("data-drawn", "yes")
        page.evaluate("openRun('')")
        expect(page.get_by_role("status")).to_contain_text("This trial has no run")


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_of_the_outer_parallel_axes_lie_beside_the_lines(page_file: Path, width: int) -> None:
    with read_page(page_file, width) as page:
        box = page.locator("#parallel .figure").bounding_box()
        assert box is not None
        inside = [
            (entry["text"], [x for x, _ in entry["corners"]])
            for entry in page.evaluate("allTexts()")
            if all(box["y"] <= y <= box["y"] + box["height"] for _, y in entry["corners"])
        ]
    ends = {text: (min(xs), max(xs)) for text, xs in inside}
    left, right = (sum(ends[name]) / 2 for name in ("activation", "rank"))
    assert all(ends[name][1] < left for name in ("relu", "tanh"))
    assert all(ends[name][0] > right for name in ("best", "worst"))
    assert min(start for start, _ in ends.values()) >= box["x"]
    assert max(end for _, end in ends.values()) <= box["x"] + box["width"]


@pytest.mark.pages
def test_a_report_of_ten_thousand_trials_is_small_and_readable(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run_sweep(load_spec(_LARGE), tracking_uri=uri, inline=True)
    store = Store(uri)
    path = tmp_path / "large.html"
    make_report(store, store.find_sweep("large"), dashboard=_BASE).write(path)
    assert path.stat().st_size < 5 * 2**20
    for width, dark in ((1300, False), (390, True)):
        with opened(path, width, dark=dark) as page:
            expect(page.locator(".facts")).to_contain_text("10,000trials")
            tabs = page.locator("#phase [role=tab]").all_text_contents()
            assert tabs[0] == "learning rate × activation"
            assert len(tabs) == 3
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            keep_screenshot(page, f"report-10000-{width}")
