"""A recorded sweep in the MLflow UI, in a real browser, from the address that `gradgrid dashboard` prints."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from service.execution.result import SweepResult
from service.recording.saved_views import BEST_FIRST
from service.recording.store import Store
from service.report.report import make_report
from tests.service.browser import keep_screenshot, open_page, visit
from tests.service.conftest import Recorded
from tests.service.dashboards import Dashboard, running_dashboard

pytestmark = pytest.mark.pages

_WIDE = 2_200  # every column of the table beside MLflow's assistant


_SIZE_AND_COLOURS = """async (image) => {
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  return [image.naturalWidth, new Set(new Uint32Array(data.buffer)).size];
}"""
"""The width of a picture in pixels, and how many colours are in it."""


@pytest.fixture(scope="module")
def dashboard(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    store = Store(recorded.uri)
    with running_dashboard(recorded.uri, tmp_path_factory.mktemp("ui"), recorded.result.sweep) as running:
        make_report(store, store.find_sweep("small"), dashboard=running.base)
        yield running


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a browser that has not seen MLflow before."""
    with open_page(width=_WIDE) as opened:
        yield opened


def _shown(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_text(text).first).to_be_visible()


def _row(page: Page, run_id: str) -> Locator:
    """Return a row of the table of runs; each of the table's parts has one."""
    return page.locator(f"[role=row][row-id='{run_id}']")


def _cell(page: Page, run_id: str, column: str) -> Locator:
    return _row(page, run_id).locator(f"[role=gridcell][col-id='{column}']")


def _in_training_mode(page: Page) -> None:
    """Check that the page is that of runs, not of traces or evaluations."""
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    _shown(page, "Model registry")


def _best(result: SweepResult) -> tuple[str, dict[str, float], dict[str, object]]:
    assert result.best is not None
    return str(result.best["run_id"]), result.best["metrics"], result.best["params"]


def _first(page: Page) -> Locator:
    """Return the link to the first run of the table."""
    return page.locator("[role=row][row-index='0'] a[href*='/runs/']").first


def _open_table(page: Page, dashboard: Dashboard) -> None:
    visit(page, dashboard.address, _first(page))


def _open_best(page: Page, dashboard: Dashboard, result: SweepResult) -> None:
    """Go from the printed address to the page of the first run in the table."""
    _open_table(page, dashboard)
    run_id, _, _ = _best(result)
    expect(_first(page)).to_have_attribute("href", re.compile(run_id))
    _first(page).click()
    expect(page.get_by_role("heading", name=re.compile("relu|tanh"))).to_be_visible()


def test_the_printed_address_shows_axes_and_outcomes_best_first(
    page: Page, dashboard: Dashboard, recorded: Recorded
) -> None:
    _open_table(page, dashboard)
    _in_training_mode(page)
    run_id, metrics, params = _best(recorded.result)
    expect(_first(page)).to_have_attribute("href", re.compile(run_id))
    expect(_cell(page, run_id, "params.`learning_rate`")).to_have_text(str(params["learning_rate"]))
    expect(_cell(page, run_id, "params.`activation`")).to_have_text(str(params["activation"]))
    shown = _cell(page, run_id, "metrics.`test_loss`").inner_text()
    assert float(shown) == pytest.approx(metrics["test_loss"], rel=1e-12)
    expect(_cell(page, run_id, "tags.`gradgrid.outcome`")).to_have_text(re.compile("converged|improving|stalled"))
    _shown(page, re.compile(r"6 matching runs"))  # the others have diverged
    keep_screenshot(page, "table")


def test_the_view_of_all_trials_has_those_that_diverged_too(
    page: Page, dashboard: Dashboard, recorded: Recorded
) -> None:
    _open_table(page, dashboard)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="all", exact=True).click()
    every = opened.value
    _in_training_mode(every)
    _shown(every, re.compile(r"12 matching runs"))
    diverged = recorded.result.table.query("outcome == 'diverged'")["run_id"].iloc[0]
    expect(_cell(every, diverged, "tags.`gradgrid.outcome`")).to_have_text("diverged")
    expect(_cell(every, diverged, "params.`learning_rate`")).to_have_text("1e+30")
    keep_screenshot(every, "all")


def test_the_views_charts_compare_the_trials(page: Page, dashboard: Dashboard) -> None:
    _open_table(page, dashboard)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="as charts").click()
    charts = opened.value
    _shown(charts, "Parallel Coordinates")
    for axis in ("activation", "learning_rate", "test_loss"):
        expect(charts.locator(".parcoords .label", has_text=axis)).to_be_attached()
    _shown(charts, "learning_rate vs. test_loss")
    points = charts.locator(".scatterlayer .points path.point")
    expect(points.nth(5)).to_be_attached()
    heights = [tick.text_content() or "" for tick in charts.locator(".ytick text").all()]
    assert heights
    assert not any("e+" in tick or tick.endswith(("M", "B", "T")) for tick in heights)  # 1e30 would squash the others
    keep_screenshot(charts, "charts")


def test_a_runs_page_shows_its_hyperparameters_and_metrics(
    page: Page, dashboard: Dashboard, recorded: Recorded
) -> None:
    _open_best(page, dashboard, recorded.result)
    _, metrics, _ = _best(recorded.result)
    for name in ("learning_rate", "activation", "initializer", "test_loss", "grad_norm", "update_ratio"):
        _shown(page, name)
    _shown(page, str(round(metrics["test_loss"], 4))[:5])
    _shown(page, "Finished")
    keep_screenshot(page, "run")


def test_a_runs_curves_are_drawn(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    _open_best(page, dashboard, recorded.result)
    page.get_by_text("Model metrics", exact=True).first.click()
    _shown(page, "grad_norm")
    lines = page.locator(".plotly .scatterlayer path.js-line")
    expect(lines.first).to_be_attached()
    drawn = [line.get_attribute("d") or "" for line in lines.all()]
    assert max(len(re.findall(r"[MLC]", path)) for path in drawn) >= 6  # a curve of six points
    keep_screenshot(page, "curves")


def test_a_runs_weights_can_be_read(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    _open_best(page, dashboard, recorded.result)
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("final_weights.json").first.click()
    _shown(page, re.compile("layer1.weight"))
    (first, *_) = recorded.store.final_weights(_best(recorded.result)[0]) or []
    _shown(page, re.compile(re.escape(repr(first["values"][0]))))
    keep_screenshot(page, "weights")


def test_runs_are_compared(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    _open_table(page, dashboard)
    chosen = recorded.result.table.query("outcome != 'diverged'")["run_id"].head(3).tolist()
    for run_id in chosen:
        _row(page, run_id).locator("input[type=checkbox]").first.check()
    page.get_by_role("button", name="Compare").click()
    _shown(page, re.compile(r"Comparing 3 Runs"))
    for seed in range(3):
        _shown(page, f"relu, 0.1, {seed}")
    _shown(page, "learning_rate")
    keep_screenshot(page, "comparison")


def _open_sweep(page: Page, dashboard: Dashboard) -> Page:
    """Go from the printed address to the page of the sweep's own run; return its tab."""
    _open_table(page, dashboard)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="the sweep's run and report").click()
    return opened.value


def test_the_sweeps_run_leads_to_its_trials_and_shows_its_picture(
    page: Page, dashboard: Dashboard, recorded: Recorded
) -> None:
    run = _open_sweep(page, dashboard)
    run_id, metrics, _ = _best(recorded.result)
    best = run.get_by_role("link", name=f"{metrics['test_loss']:.6g}")
    expect(best).to_have_attribute("href", re.compile(rf"runs/{run_id}\?workflowType=machine_learning$"))
    link = run.get_by_role("link", name="The 12 trials")
    expect(link).to_have_attribute("href", re.compile(rf"experiments/{recorded.result.experiment_id}/runs\?"))
    keep_screenshot(run, "sweep")
    with run.context.expect_page() as opened:
        run.get_by_role("link", name="best first").click()
    _in_training_mode(opened.value)
    _shown(opened.value, re.compile(r"6 matching runs"))
    run.get_by_text("Artifacts", exact=True).first.click()
    run.get_by_text("heat_map.png").first.click()
    picture = run.locator("img[src^='blob:'], img[src*='heat_map'], .image-container img").first
    expect(picture).to_be_visible()
    width, colours = picture.evaluate(_SIZE_AND_COLOURS)
    assert width > 300
    assert colours > 50
    keep_screenshot(run, "picture")


def test_the_report_opens_inside_the_dashboard(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    """Its frame may not open a window: a click shows the run's address instead."""
    run = _open_sweep(page, dashboard)
    run.get_by_text("Artifacts", exact=True).first.click()
    run.get_by_text("report", exact=True).first.click()
    run.get_by_text("report.html").first.click()
    frame = run.frame_locator("iframe.mlflow-html-iframe")
    expect(frame.get_by_role("heading", name="Phase diagram")).to_be_visible()
    expect(frame.locator("#phase .figure").first).to_have_attribute("data-drawn", "yes")
    run_id = recorded.result.table["run_id"].iloc[0]
    frame.locator("body").evaluate("(_, run) => openRun(run)", run_id)
    expect(frame.get_by_role("status")).to_contain_text(f"runs/{run_id}?workflowType=machine_learning")
    keep_screenshot(run, "report-in-dashboard")


def test_a_trials_page_leads_back_to_the_sweep(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    """MLflow leaves the training mode on the way to a run. The experiment's description leads back into it."""
    _open_best(page, dashboard, recorded.result)
    page.get_by_role("link", name=f"small/{recorded.result.sweep}").last.click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="the sweep's run and report").click()
    run = opened.value
    expect(run.get_by_role("heading", name=recorded.result.sweep)).to_be_visible()
    _shown(run, "Model registry")


def test_mlflows_home_page_leads_to_the_newest_trials(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    """MLflow opens in another mode there, and a click on an experiment stays in it. Its description leads out of it."""
    name = page.get_by_role("link", name="small", exact=True)
    visit(page, dashboard.base, name)
    name.click()
    _shown(page, "Sweeps of small")
    keep_screenshot(page, "home")
    dismiss = page.get_by_role("button", name="Got it")  # of a hint that lies over the page
    page.add_locator_handler(dismiss, lambda: dismiss.click())
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="its trials").click()
    _in_training_mode(opened.value)
    assert f"experiments/{recorded.result.experiment_id}/runs" in opened.value.url
    assert BEST_FIRST in opened.value.url
    run_id, _, _ = _best(recorded.result)
    expect(_cell(opened.value, run_id, "params.`learning_rate`")).to_have_text("0.1")


def test_without_its_views_a_table_is_plain_but_in_order(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    """Another address takes the place of a view's."""
    from service.recording.links import sorted_runs_link
    from service.recording.saved_views import FINISHED

    experiment = recorded.result.experiment_id
    address = sorted_runs_link(dashboard.base, experiment, "test_loss", ascending=True, condition=FINISHED)
    visit(page, address, _first(page))
    _in_training_mode(page)
    _shown(page, re.compile(r"6 matching runs"))
    run_id, _, _ = _best(recorded.result)
    expect(_first(page)).to_have_attribute("href", re.compile(run_id))


def test_a_registered_models_page_opens_by_its_address(page: Page, dashboard: Dashboard, recorded: Recorded) -> None:
    from service.inspection.models import promote
    from service.recording.links import model_link

    made = promote(recorded.store, recorded.store.find_trial(_best(recorded.result)[0]), "größe #1 <b>")
    visit(page, model_link(dashboard.base, made.name, made.version), page.get_by_text("größe #1 <b>").first)
    _shown(page, re.compile("Version 1"))
    keep_screenshot(page, "model")
