"""The page of several sweeps in a real browser, without a network: light and dark, on a desk and on a phone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect

from experiments.spec import load_spec
from service.inspection.compare import compare, find_sweeps
from service.recording.store import Store
from service.report.report import make_comparison
from service.run import run_sweep
from tests.service.browser import keep_screenshot
from tests.service.conftest import SPEC, run_command, run_for_json
from tests.service.page_frames import open_tabs, opened, overlapping_texts, read_page, visible_frames

pytestmark = pytest.mark.pages

_BASE = "http://127.0.0.1:1"
_GRID = {"activation": ["relu", "tanh"], "learning_rate": [0.03, 0.1, 0.3, 1e6, 1e30], "seed": {"range": 3}}
_SGD = {**SPEC, "name": "plain", "grid": _GRID}
_ADAM = {**SPEC, "name": "adam", "optimizer": "adam", "grid": _GRID}
_SHORT = {**SPEC, "name": "short", "steps": 5, "grid": {**_GRID, "learning_rate": [2.0, 3.0]}}


@dataclass(frozen=True)
class _Compared:
    """A page of three sweeps, the third without a partner in the first; and the trials of each."""

    page: Path
    store: Store
    tables: list[pd.DataFrame]
    experiments: list[str]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> _Compared:
    folder = tmp_path_factory.mktemp("comparison")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    results = [run_sweep(load_spec(spec), tracking_uri=uri, inline=True) for spec in (_SGD, _ADAM, _SHORT)]
    store = Store(uri)
    sweeps = find_sweeps(store, [result.sweep for result in results])
    path = folder / "comparison.html"
    assert make_comparison(compare(store, sweeps), store, dashboard=_BASE).write(path) == [path]
    return _Compared(path, store, [result.table for result in results], [result.experiment_id for result in results])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_can_be_read(compared: _Compared, width: int, dark: bool) -> None:
    with opened(compared.page, width, dark=dark) as page:
        headings = page.locator("h2").all_text_contents()
        assert headings == ["Sweeps", "Leaderboard", "Distribution", "Matched trials", "The sweep files"]
        expect(page.locator(".facts")).to_contain_text("72trials")
        expect(page.locator("#sweeps")).to_contain_text("What differs between the sweep files")
        expect(page.locator("#sweeps tr", has_text="optimizer")).to_contain_text("adam")
        expect(page.locator("#matched")).to_contain_text("sgd → adam")
        expect(page.locator("#matched")).to_contain_text("no value of learning_rate in common")
        assert page.locator("#matched [role=tab]").count() == 0  # the third sweep has no pairs to draw
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep_screenshot(page, f"comparison-{width}-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_texts_overlap_and_no_frame_is_empty(compared: _Compared, width: int) -> None:
    with read_page(compared.page, width) as page:
        for _ in open_tabs(page):
            assert overlapping_texts(page) == []
            frames = visible_frames(page)
            assert len(frames) == 4
            assert all(frame.values for frame in frames)


def test_figures_show_the_trials(compared: _Compared) -> None:
    """The ends of the lines of the distribution, and the points of the pairs, are counted from the tables."""
    with read_page(compared.page, 1280) as page:
        distribution, pairs, *_ = visible_frames(page)
        shares = [line[-1] for line in distribution.lines]
        assert shares == pytest.approx([(t["outcome"] != "diverged").mean() for t in compared.tables], abs=1e-6)
        plain, adam = compared.tables[:2]
        names = ["params.activation", "params.learning_rate", "params.seed"]
        merged = plain.merge(adam, on=names)
        calm = merged[(merged["outcome_x"] != "diverged") & (merged["outcome_y"] != "diverged")]
        drawn = [y for line in pairs.lines for y in line]
        assert len(drawn) == len(merged) == 30
        inside = [v for v in calm["metrics.test_loss_y"] if pairs.low < v < pairs.high]
        assert len(inside) > 5
        assert all(any(y == pytest.approx(v, rel=1e-6) for y in drawn if y is not None) for v in inside)


def test_a_click_on_a_pair_opens_the_run_of_the_second_sweep(compared: _Compared) -> None:
    with opened(compared.page) as page:
        page.evaluate("window.open = address => { window.opened = address; return {}; }")
        page.evaluate(
            """() => {
              const plot = [...drawn.get(document.querySelector("#matched .figure"))._roots][0].model;
              openRun(plot.renderers.find((r) => r.glyph.type === "Scatter").data_source.data.run[0]);
            }"""
        )
        address = page.evaluate("window.opened")
        links = page.locator("#best a").evaluate_all("all => all.map((link) => link.href)")
    runs = {
        f"{_BASE}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning": k
        for k, (experiment, table) in enumerate(zip(compared.experiments, compared.tables, strict=True))
        for run in table["run_id"]
    }
    assert runs[address] == 1
    assert len(links) == len(set(links)) > 10
    assert {runs[link] for link in links} == {0, 1, 2}


def test_the_command_writes_the_page(compared: _Compared, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    at = ("report", "plain", "adam", "-o", str(page), "--tracking-uri", compared.store.uri)
    done = run_command(*at)
    assert (done.exit_code, done.stdout.strip()) == (0, str(page))
    assert "it compares 2 sweeps" in done.stderr
    text = page.read_text(encoding="utf-8")
    assert "best mean test loss of adam" in text
    assert "<h1>plain/" in text
    shown = run_for_json(*at, "--by", "accuracy")
    assert len(shown["sweeps"]) == 2
    assert shown["files"] == [str(page)]
    assert "best mean accuracy of adam" in page.read_text(encoding="utf-8")


def test_sweeps_of_which_every_trial_diverged_have_a_page(uri: str, tmp_path: Path) -> None:
    lost = {**SPEC, "grid": {"learning_rate": [1e30], "seed": [0, 1]}}
    for optimizer in ("sgd", "momentum"):
        spec = {**lost, "name": optimizer, "optimizer": optimizer}
        assert run_sweep(load_spec(spec), tracking_uri=uri, inline=True).diverged == 2
    page = tmp_path / "page.html"
    assert run_command("report", "sgd", "momentum", "-o", str(page), "--tracking-uri", uri).exit_code == 0
    assert "No trial finished." in page.read_text(encoding="utf-8")
    shown = run_for_json("top", "sgd", "momentum", "--tracking-uri", uri)
    assert (shown["entries"], shown["matched"][0]["differences"][0]["lost"]) == ([], 2)
    assert run_command("top", "sgd", "momentum", "--tracking-uri", uri).exit_code == 0
