"""Ways to a sweep's pages in MLflow: `gradgrid dashboard`, links in the terminal, descriptions, saved views."""

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from experiments.spec import load_spec
from service.execution.summary import description
from service.recording import pages
from service.recording.pages import SweepPages, sweep_pages
from service.recording.saved_views import BEST_FIRST, EVERY_TRIAL, TAG_PREFIX
from service.recording.store import Store
from service.run import run_sweep
from tests.ports import free_port
from tests.service.conftest import TINY, Recorded, run_command, run_for_json, write_spec
from tests.service.dashboards import running_dashboard
from tests.service.tracking import TrackingServer, flaky

_NOTE = "mlflow.note.content"


def _best_first(base: str, experiment_id: str) -> str:
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={BEST_FIRST}"


def _sorted(base: str, experiment_id: str) -> str:
    order = "orderByKey=metrics.%60loss%60&orderByAsc=true&searchFilter=attributes.status%20%3D%20%27FINISHED%27"
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&{order}"


def _page(uri: str, sweep: str, base: str = "http://host") -> str:
    store = Store(uri)
    return sweep_pages(store, store.find_sweep(sweep), base).trials


@pytest.mark.slow
def test_the_dashboard_prints_the_address_of_the_newest_or_of_a_named_sweep(tmp_path: Path, uri: str) -> None:
    older, newer = (run_sweep(load_spec({**TINY, "name": n}), tracking_uri=uri, inline=True) for n in ("a", "b"))
    with running_dashboard(uri, tmp_path) as dashboard:
        assert dashboard.address == _best_first(dashboard.base, newer.experiment_id)
        assert "MLflow" in requests.get(dashboard.address, timeout=30).text
    with running_dashboard(uri, tmp_path, "a") as dashboard:
        assert dashboard.address == _best_first(dashboard.base, older.experiment_id)
    unknown = run_command("dashboard", "c", "--tracking-uri", uri)
    assert (unknown.exit_code, "has no sweep 'c'" in unknown.stderr, unknown.stdout) == (2, True, "")


@pytest.mark.slow
def test_the_dashboard_of_a_store_without_sweeps_says_how_to_make_one(tmp_path: Path, uri: str) -> None:
    Store(uri, create=True)
    with running_dashboard(uri, tmp_path) as dashboard:
        assert dashboard.address == f"{dashboard.base}/#/experiments?workflowType=machine_learning"
    assert "`gradgrid sweep moons` makes one" in (tmp_path / "dashboard.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_open_gives_the_address_to_the_browser(tmp_path: Path, uri: str) -> None:
    run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n', encoding="utf-8")
    browser.chmod(0o755)
    with running_dashboard(uri, tmp_path, "--open", environment={"BROWSER": f"{browser} %s"}) as dashboard:
        deadline = time.monotonic() + 60
        while not opened.exists() and time.monotonic() < deadline:  # it is opened after it is printed
            time.sleep(0.1)
        assert opened.read_text(encoding="utf-8") == dashboard.address


def test_the_dashboard_and_other_commands_print_the_address_of_a_server(
    tracking_server: TrackingServer, tmp_path: Path
) -> None:
    at = ("--tracking-uri", tracking_server.uri)
    made = run_command("sweep", write_spec(tmp_path, TINY), "--inline", *at)
    assert made.exit_code == 0, made.stderr
    match = re.search(r"sweep (\S+): 3 trials", made.stderr)
    assert match is not None
    sweep = Store(tracking_server.uri).find_sweep(match[1])
    page = _best_first(tracking_server.uri, sweep.experiment_id)
    assert f"the dashboard: {page}\n" in made.stderr
    assert run_command("dashboard", sweep.sweep, *at).stdout == f"{page}\n"
    for shown in (run_command("top", sweep.sweep, *at), run_command("show", sweep.sweep, *at)):
        assert f"the dashboard: {page}\n" in shown.stderr
    (best,) = run_for_json("top", sweep.sweep, "-n", "1", *at)["top"]
    run = f"{tracking_server.uri}/#/experiments/{sweep.experiment_id}/runs/{best['run_id']}"
    assert f"the dashboard: {run}?workflowType=machine_learning\n" in run_command("show", best["run_id"], *at).stderr
    promoted = run_command("promote", sweep.sweep, "--name", "größe #1", *at)
    model = f"{tracking_server.uri}/#/models/gr%C3%B6%C3%9Fe%20%231/versions/1?workflowType=machine_learning"
    assert f"in MLflow: {model}\n" in promoted.stderr


def test_without_a_server_the_terminal_names_the_command_that_serves(tmp_path: Path, uri: str) -> None:
    made = run_command("sweep", write_spec(tmp_path, TINY), "--inline", "--tracking-uri", uri)
    (sweep,) = Store(uri).sweeps()
    assert f"the dashboard: gradgrid dashboard {sweep.sweep} --tracking-uri {uri}\n" in made.stderr


@contextmanager
def _recording_proxy() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a proxy that answers only 502, and the requests that it got."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        do_POST = do_CONNECT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}", asked
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def _through(proxy: str) -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "all_proxy")
    return {**{n: proxy for name in names for n in (name, name.upper())}, "no_proxy": "", "NO_PROXY": ""}


@pytest.mark.slow
def test_the_dashboard_asks_its_own_server_without_a_proxy(tmp_path: Path, uri: str) -> None:
    made = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    with _recording_proxy() as (proxy, asked):
        with running_dashboard(uri, tmp_path, environment=_through(proxy)) as dashboard:
            assert dashboard.address == _best_first(dashboard.base, made.experiment_id)
        assert asked == []
    dead = f"http://127.0.0.1:{free_port()}"
    with running_dashboard(uri, tmp_path, environment=_through(dead)) as dashboard:
        assert dashboard.address == _best_first(dashboard.base, made.experiment_id)


@pytest.mark.slow
def test_a_sweep_recorded_without_views_gets_them_from_the_dashboard(tmp_path: Path, uri: str) -> None:
    made = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    client = MlflowClient(uri)
    kept = client.get_experiment(made.experiment_id).tags
    for name in (TAG_PREFIX + BEST_FIRST, TAG_PREFIX + EVERY_TRIAL, _NOTE):
        client.delete_experiment_tag(made.experiment_id, name)
    assert _page(uri, made.sweep) == _sorted("http://host", made.experiment_id)
    with running_dashboard(uri, tmp_path, made.sweep) as dashboard:
        assert dashboard.address == _best_first(dashboard.base, made.experiment_id)
    again = client.get_experiment(made.experiment_id).tags
    assert again.keys() == kept.keys()
    assert again[_NOTE] == kept[_NOTE]
    states = [json.loads(tags[TAG_PREFIX + BEST_FIRST])["state"] for tags in (kept, again)]
    assert states[0] == states[1]


@pytest.mark.parametrize("version", ["4.0.0", "2.22.1", "3.16.9", "unknown"])
def test_with_another_mlflow_links_lead_to_the_plain_table_and_no_view_is_written(
    uri: str, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    seen = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    monkeypatch.setattr(pages, "metadata", SimpleNamespace(version=lambda _: version))
    assert _page(uri, seen.sweep) == _sorted("http://host", seen.experiment_id)
    made = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    client = MlflowClient(uri)
    assert TAG_PREFIX + BEST_FIRST not in client.get_experiment(made.experiment_id).tags
    assert _page(uri, made.sweep) == _sorted("http://host", made.experiment_id)
    assert BEST_FIRST not in client.get_run(made.sweep_run_id).data.tags[_NOTE]
    assert _sorted("", made.experiment_id).removeprefix("/") in client.get_run(made.sweep_run_id).data.tags[_NOTE]


@pytest.mark.parametrize("refused", ["set-experiment-tag", "/version"])
def test_a_sweep_goes_on_with_plain_links_if_a_server_refuses_views(
    tracking_server: TrackingServer, refused: str
) -> None:
    with flaky(tracking_server, lambda path: "refuse" if refused in path else "pass") as proxy:
        made = run_sweep(load_spec(TINY), tracking_uri=proxy, inline=True)
        assert (made.trials, made.page) == (3, _sorted(proxy, made.experiment_id))
        store = Store(proxy)
        run = store.find_sweep(made.sweep)
        assert run.status == "FINISHED"
        assert _sorted("", made.experiment_id).removeprefix("/") in run.tags[_NOTE]


def test_the_dashboard_leads_to_the_sweeps_own_run_if_trials_have_none(uri: str) -> None:
    made = run_sweep(load_spec({**TINY, "record": {"runs": "summary"}}), tracking_uri=uri, inline=True)
    client = MlflowClient(uri)
    sweep = Store(uri).find_sweep(made.sweep)
    run = f"#/experiments/{sweep.parent_id}/runs/{made.sweep_run_id}?workflowType=machine_learning"
    assert _page(uri, made.sweep) == f"http://host/{run}"
    tags = client.get_experiment(made.experiment_id).tags
    assert tags[_NOTE] == f"Trials of tiny/{made.sweep}: [the sweep's run and report]({run})"
    assert not any(name.startswith(TAG_PREFIX) for name in tags)
    assert "3 trials: 3 finished, 0 diverged." in client.get_run(made.sweep_run_id).data.tags[_NOTE]


def test_both_experiments_describe_where_their_pages_are(recorded: Recorded) -> None:
    result, client = recorded.result, recorded.client
    sweep = recorded.store.find_sweep(result.sweep)
    pages = sweep_pages(recorded.store, sweep)
    trials, sweeps = (client.get_experiment(e).tags[_NOTE] for e in (result.experiment_id, sweep.parent_id))
    assert re.findall(r"\]\((\S+)\)", trials) == [pages.trials, pages.charts, pages.all_trials, pages.run]
    table = f"#/experiments/{sweep.parent_id}/runs?workflowType=machine_learning"
    assert re.findall(r"\]\((\S+)\)", sweeps) == [table, pages.trials, pages.run]


def test_the_sweeps_description_leads_to_the_newest_and_keeps_the_users_text(uri: str) -> None:
    first = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    client, store = MlflowClient(uri), Store(uri)
    parent = store.find_sweep(first.sweep).parent_id
    client.set_experiment_tag(first.experiment_id, _NOTE, "my own words")
    second = run_sweep(load_spec(TINY), tracking_uri=uri, inline=True)
    assert second.sweep_run_id in client.get_experiment(parent).tags[_NOTE]
    run_sweep(load_spec(TINY), tracking_uri=uri, inline=True, resume=first.sweep)
    assert second.sweep_run_id in client.get_experiment(parent).tags[_NOTE]
    assert client.get_experiment(first.experiment_id).tags[_NOTE] == "my own words"


def test_values_with_odd_signs_are_plain_text_in_the_description(recorded: Recorded) -> None:
    from service.execution.plan import make_plan

    plan = make_plan(recorded.resolved)
    table = recorded.result.table.copy()
    odd = "a|b](http://x) <b>*c*_d_ `e` @f :g:"
    table["params.activation"] = odd
    text = description(plan, "1", table, SweepPages("r", "t", "c", "a"), recorded.result.run_ids)
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == 6
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5
        cell = row.split("|")[2].strip()
        assert not set(cell) & set("[]()<>*_`@:|")
        assert _decoded(cell) == odd


def _decoded(text: str) -> str:
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)


def test_the_weights_file_is_what_the_docs_say(recorded: Recorded, root: Path, tmp_path: Path) -> None:
    best = recorded.result.best
    assert best is not None
    path = recorded.client.download_artifacts(best["run_id"], "final_weights.json", str(tmp_path))
    content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    (description,) = re.findall(
        r"`final_weights\.json`: (an object .*?) \|", (root / "docs" / "mlflow.md").read_text("utf-8")
    )
    named = re.findall(r"`(\w+)`", description)
    assert named == [*content, *content["tensors"][0]]
    assert isinstance(content, dict)
    assert isinstance(content["tensors"], list)
