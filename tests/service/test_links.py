"""Addresses of MLflow's pages, and the saved views that they open."""

import base64
import json
import random
import re
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import pandas as pd
import pytest

from service.recording.links import experiments_link, model_link, public_address, run_link, runs_link, sorted_runs_link
from service.recording.saved_views import MOST_CHARACTERS, TAG_PREFIX, Subject, subject_of, view_tags


@dataclass(frozen=True)
class _Address:
    base: str
    path: list[str]
    query: dict[str, str]


def _taken_apart(address: str) -> _Address:
    base, _, rest = address.partition("#/")
    path, _, query = rest.partition("?")
    return _Address(base, [unquote(p) for p in path.split("/")], {k: v for k, (v,) in parse_qs(query).items()})


_TRAINING = {"workflowType": "machine_learning"}


@pytest.mark.parametrize(
    ("address", "path", "query"),
    [
        (experiments_link("http://host:1"), ["experiments"], {}),
        (run_link("http://host:1", "7", "abc"), ["experiments", "7", "runs", "abc"], {}),
        (runs_link("http://host:1", "7"), ["experiments", "7", "runs"], {}),
        (
            runs_link("http://host:1", "7", view="key", charts=True),
            ["experiments", "7", "runs"],
            {"viewStateShareKey": "key", "compareRunsMode": "CHART"},
        ),
        (
            sorted_runs_link("http://host:1", "7", "test_loss", ascending=True, condition="a = 'b & c'"),
            ["experiments", "7", "runs"],
            {"orderByKey": "metrics.`test_loss`", "orderByAsc": "true", "searchFilter": "a = 'b & c'"},
        ),
        (model_link("http://host:1", "größe #1?&<b>", 3), ["models", "größe #1?&<b>", "versions", "3"], {}),
    ],
)
def test_every_address_asks_for_the_training_mode_and_quotes_its_names(
    address: str, path: list[str], query: dict[str, str]
) -> None:
    assert _taken_apart(address) == _Address("http://host:1/", path, {**_TRAINING, **query})
    assert not set(address.partition("#")[2]) & set(" <>()[]`'\"#|")  # nor does Markdown or a page trip over it


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("http://host:1/", "http://host:1"),
        ("https://host/mlflow/prefix/", "https://host/mlflow/prefix"),
        ("http://user:p%40ss@host:1/prefix", "http://host:1/prefix"),
    ],
)
def test_a_servers_prefix_stays_and_its_password_does_not(server: str, shown: str) -> None:
    assert public_address(server) == shown
    assert run_link(server, "1", "r").startswith(f"{shown}/#/experiments/1/runs/r?")


def test_without_a_base_an_address_is_relative() -> None:
    assert run_link("", "1", "r") == "#/experiments/1/runs/r?workflowType=machine_learning"


def _opened(value: str) -> dict[str, Any]:
    """Return a view's state, read as MLflow's page reads it."""
    envelope = json.loads(value)
    assert {name: type(envelope[name]) for name in ("name", "createdAt", "state")} == {
        "name": str,
        "createdAt": int,
        "state": str,
    }
    header, _, packed = envelope["state"].partition(";")
    assert header == "deflate"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def _views(subject: Subject) -> list[dict[str, Any]]:
    tags = view_tags(subject, 1_700_000_000_000)
    assert all(re.fullmatch(re.escape(TAG_PREFIX) + r"[\w-]+", name) for name in tags)
    assert all(len(value) <= MOST_CHARACTERS for value in tags.values())
    return [_opened(value) for value in tags.values()]


_AXES: dict[str, list[Any]] = {
    "activation": ["relu", "tanh"],
    "learning_rate": [0.1, 1.0],
    "momentum": [0.5, 0.9],
    "seed": [0, 1, 2],
}
_METRICS = ["loss", "grad_norm", "accuracy", "test_loss", "grad_norm.layer1.weight", "test_accuracy"]


def test_the_views_columns_are_axes_outcome_and_main_metrics_best_first() -> None:
    best, every = _views(Subject(_AXES, "test_loss", _METRICS))
    columns = ["metrics.`test_loss`", *(f"params.`{name}`" for name in _AXES), "tags.`gradgrid.outcome`"]
    columns += ["metrics.`test_accuracy`", "metrics.`loss`", "metrics.`accuracy`"]
    for view in (best, every):
        assert view["selectedColumns"] == view["columnOrder"] == columns
        assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`test_loss`", True)
    assert (best["searchFilter"], every["searchFilter"]) == ("attributes.status = 'FINISHED'", "")
    (rising,) = {view["orderByAsc"] for view in _views(Subject(_AXES, "test_accuracy", _METRICS))}
    assert rising is False


def _charts(view: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [chart for chart in view["compareRunCharts"] if chart["type"] == kind]


def test_the_views_charts_compare_the_axes_and_follow_the_objective() -> None:
    best, every = _views(Subject(_AXES, "test_loss", _METRICS))
    (parallel,) = _charts(best, "PARALLEL")
    assert parallel["selectedParams"] == ["activation", "learning_rate", "momentum"]
    assert parallel["selectedMetrics"] == ["test_loss"]
    axes = [(chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in _charts(best, "SCATTER")]
    assert axes == [("learning_rate", "test_loss"), ("momentum", "test_loss"), ("loss", "test_loss")]
    assert [(c["metricKey"], c["scaleType"]) for c in _charts(best, "LINE")] == [
        ("test_loss", "log"),
        ("grad_norm", "log"),
    ]
    assert len({chart["uuid"] for chart in best["compareRunCharts"]}) == len(best["compareRunCharts"])
    sections = {section["uuid"] for section in best["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in best["compareRunCharts"]} <= sections
    assert (best["runsHiddenMode"], every["runsHiddenMode"]) == ("SHOW_ALL", "FIRST_20_RUNS")


def test_the_loss_is_charted_against_that_of_the_validation_part() -> None:
    best, _ = _views(Subject({}, "validation_loss", [*_METRICS, "validation_loss"]))
    axes = [(chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in _charts(best, "SCATTER")]
    assert axes == [("loss", "validation_loss")]


def test_trials_with_a_huge_loss_are_not_in_the_charts() -> None:
    table = pd.DataFrame({"params.seed": [0, 1], "outcome": ["improving", "exploding"], "metrics.loss": [0.1, 1e150]})
    best, _ = _views(subject_of(table, ["seed"], "loss"))
    assert best["runsHiddenMode"] == "FIRST_20_RUNS"  # of the table, which is sorted best first


@pytest.mark.parametrize(
    ("axes", "across"),
    [
        ({"seed": [0, 1]}, ["seed"]),
        ({"activation": ["relu", "tanh"]}, ["activation"]),
        ({"hidden": [[2], [4, 4]], "seed": [0, 1]}, ["hidden"]),
        ({"standardize": [True, False], "batch_size": [8, 16]}, ["batch_size"]),
        ({}, []),
    ],
)
def test_a_sweep_of_few_axes_or_without_a_numeric_one_has_charts_too(axes: dict[str, Any], across: list[str]) -> None:
    best, _ = _views(Subject(axes, "loss", ["loss"]))
    assert [chart["xaxis"]["key"] for chart in _charts(best, "SCATTER")] == across
    assert len(_charts(best, "PARALLEL")) == min(len(across), 1)


def test_a_view_of_two_hundred_axes_with_long_names_keeps_within_a_tags_limit() -> None:
    source = random.Random(0)
    names = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz_é", k=240)) for _ in range(200)]
    best, _ = _views(Subject({name: [0.1, 0.2] for name in names}, "m" * 250, [f"metric{k}" for k in range(10_000)]))
    shown = [column.split("`")[1] for column in best["selectedColumns"] if column.startswith("params")]
    assert 5 < len(shown) < 200
    assert shown == names[: len(shown)]
    (parallel,) = _charts(best, "PARALLEL")
    assert parallel["selectedParams"] == names[: len(parallel["selectedParams"])]
