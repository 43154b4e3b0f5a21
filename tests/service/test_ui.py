"""A recorded sweep in the MLflow UI, in a real browser: what is on the pages."""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from service.recording.store import Store
from service.report.report import make_report
from tests.service.browser import keep_screenshot, open_page
from tests.service.conftest import Recorded
from tests.service.tracking import TrackingServer


@pytest.fixture(scope="module")
def ui(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = TrackingServer(tmp_path_factory.mktemp("ui"), recorded.uri)
    server.start()
    try:
        yield f"{server.uri}/#"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_page() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _fresh(page: Page) -> None:
    """MLflow's pages keep what was chosen on the one before."""
    page.goto("about:blank")


def _shown(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_text(text).first).to_be_visible()


def test_the_table_of_runs_lists_every_trial(page: Page, ui: str, recorded: Recorded) -> None:
    page.goto(f"{ui}/experiments/{recorded.result.experiment_id}/runs")
    for activation in ("relu", "tanh"):
        for seed in range(3):
            _shown(page, f"{activation}, 0.1, {seed}")
    _shown(page, re.compile(r"12 matching runs"))
    keep_screenshot(page, "runs")


def test_a_runs_page_shows_its_hyperparameters_and_metrics(page: Page, ui: str, recorded: Recorded) -> None:
    best = recorded.result.best
    assert best is not None
    page.goto(f"{ui}/experiments/{recorded.result.experiment_id}/runs/{best['run_id']}")
    for name in ("learning_rate", "activation", "initializer", "test_loss", "grad_norm", "update_ratio"):
        _shown(page, name)
    _shown(page, str(round(best["metrics"]["test_loss"], 4))[:5])
    _shown(page, "Finished")
    keep_screenshot(page, "run")


def test_a_runs_curves_are_drawn(page: Page, ui: str, recorded: Recorded) -> None:
    best = recorded.result.best
    assert best is not None
    page.goto(f"{ui}/experiments/{recorded.result.experiment_id}/runs/{best['run_id']}/model-metrics")
    _shown(page, "grad_norm")
    lines = page.locator(".plotly .scatterlayer path.js-line")
    expect(lines.first).to_be_attached()
    drawn = [line.get_attribute("d") or "" for line in lines.all()]
    assert max(len(re.findall(r"[MLC]", path)) for path in drawn) >= 6  # a curve of six points
    keep_screenshot(page, "curves")


def test_a_runs_weights_can_be_read(page: Page, ui: str, recorded: Recorded) -> None:
    best = recorded.result.best
    assert best is not None
    place = f"{ui}/experiments/{recorded.result.experiment_id}/runs/{best['run_id']}/artifacts/final_weights.json"
    page.goto(place)
    _shown(page, re.compile("layer1.weight"))
    (first, *_) = recorded.store.final_weights(best["run_id"]) or []
    _shown(page, re.compile(re.escape(repr(first["values"][0]))))
    keep_screenshot(page, "weights")


def test_runs_are_compared(page: Page, ui: str, recorded: Recorded) -> None:
    runs = recorded.result.table[recorded.result.table["outcome"] != "diverged"]["run_id"].head(3).tolist()
    query = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([recorded.result.experiment_id]))}"
    page.goto(f"{ui}/compare-runs?{query}")
    _shown(page, re.compile(r"Comparing 3 Runs"))
    for seed in range(3):
        _shown(page, f"relu, 0.1, {seed}")
    _shown(page, "learning_rate")
    keep_screenshot(page, "comparison")


def test_the_sweeps_run_links_to_its_trials_and_shows_its_picture(page: Page, ui: str, recorded: Recorded) -> None:
    run = recorded.client.get_run(recorded.result.sweep_run_id)
    place = f"{ui}/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    page.goto(place)
    link = page.get_by_role("link", name="The 12 trials")
    expect(link).to_be_visible()
    assert (link.get_attribute("href") or "").endswith(f"experiments/{recorded.result.experiment_id}/runs")
    keep_screenshot(page, "sweep")
    page.goto(f"{place}/artifacts/heat_map.png")
    picture = page.locator("img[src^='blob:'], img[src*='heat_map'], .image-container img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep_screenshot(page, "picture")


def test_the_report_opens_inside_the_dashboard(page: Page, ui: str, recorded: Recorded) -> None:
    """In a frame that may open no window: a click tells the run's address instead."""
    store = Store(recorded.uri)
    make_report(store, store.find_sweep("small"), dashboard=ui.removesuffix("/#"))
    sweeps = recorded.client.get_run(recorded.result.sweep_run_id).info.experiment_id
    run = f"{ui}/experiments/{sweeps}/runs/{recorded.result.sweep_run_id}"
    page.goto(f"{run}/artifacts/report/report.html")
    frame = page.frame_locator("iframe.mlflow-html-iframe")
    expect(frame.get_by_role("heading", name="Phase diagram")).to_be_visible()
    expect(frame.locator("#phase .figure").first).to_have_attribute("data-drawn", "yes")
    run_id = recorded.result.table["run_id"].iloc[0]
    frame.locator("body").evaluate("(_, run) => openRun(run)", run_id)
    expect(frame.get_by_role("status")).to_contain_text(f"runs/{run_id}")
    keep_screenshot(page, "report-in-dashboard")
