"""The leaderboard over seeds: means, intervals, ties and conditions, against independent figures."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.errors import NotFoundError, SweepInterruptedError, UserError
from experiments.spec import load_spec
from service.recording.recorded_table import read_table
from service.recording.store import Store
from service.results.leaderboard import ranked
from service.results.trials_table import best_trials
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded, run_command, run_for_json
from tests.service.observers import Interrupting

_SEEDS = {
    "relu": [0.10, 0.11, 0.12, 0.13],
    "gelu": [0.11, 0.12, 0.13, 0.14],
    "tanh": [0.50, 0.60, 0.70, 0.80],
}


def _table(values: dict[str, list[float]] = _SEEDS, diverged: tuple[int, ...] = ()) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for activation, losses in values.items():
        for seed, loss in enumerate(losses):
            number = len(rows)
            rows.append(
                {
                    "number": number,
                    "trial": f"t{number}",
                    "run_id": f"r{number}",
                    "params.activation": activation,
                    "params.loss": "huber",
                    "params.seed": seed,
                    "outcome": "diverged" if number in diverged else "improving",
                    "metrics.loss": loss,
                    "metrics.accuracy": 1 - loss,
                }
            )
    return pd.DataFrame(rows)


def test_entries_are_means_over_seeds_with_students_interval() -> None:
    """The interval of 0.10 .. 0.13: mean 0.115, s = 0.0129099, t(3, 97.5 %) = 3.182446 (any table of t)."""
    first = ranked(_table(), "loss", ["activation", "seed"])[0]
    assert first.params == {"activation": "relu"}
    assert (first.trials, first.finished, first.run_id) == (4, 4, "r0")
    assert math.isclose(first.mean, 0.115, rel_tol=1e-12)
    half = 3.182446 * 0.0129099 / 2
    assert math.isclose(first.high - first.mean, half, rel_tol=1e-4)
    assert math.isclose(first.mean - first.low, half, rel_tol=1e-4)


def test_entries_that_the_data_can_not_separate_share_a_rank() -> None:
    entries = ranked(_table(), "loss", ["activation", "seed"])
    assert stats.ttest_ind(_SEEDS["relu"], _SEEDS["gelu"], equal_var=False).pvalue > 0.05
    assert stats.ttest_ind(_SEEDS["relu"], _SEEDS["tanh"], equal_var=False).pvalue < 0.05
    assert [(e.params["activation"], e.rank, e.tied) for e in entries] == [
        ("relu", 1, True),
        ("gelu", 1, True),
        ("tanh", 3, False),
    ]


def test_ranks_of_many_entries_say_who_shares_them() -> None:
    values = {f"a{k}": [float(k // 3)] for k in range(3000)} | {"alone": [5000.0]}
    entries = ranked(_table(values), "loss", ["activation"])
    assert [entry.rank for entry in entries] == [k // 3 * 3 + 1 for k in range(3000)] + [3001]
    assert [entry.tied for entry in entries] == [True] * 3000 + [False]


def test_a_metric_of_which_more_is_better_is_ranked_from_the_top() -> None:
    assert [e.params["activation"] for e in ranked(_table(), "accuracy", ["activation", "seed"])] == list(_SEEDS)


def test_entries_that_lost_seeds_come_after_those_that_lost_none() -> None:
    entries = ranked(_table(diverged=(0,)), "loss", ["activation", "seed"])
    assert [(e.params["activation"], e.finished, e.trials) for e in entries] == [
        ("gelu", 4, 4),
        ("tanh", 4, 4),
        ("relu", 3, 4),
    ]
    assert len({e.rank for e in entries}) == 3
    assert ranked(_table(diverged=tuple(range(12))), "loss", ["activation", "seed"]) == []


def test_a_single_seed_has_no_interval_and_no_ties_but_of_equals() -> None:
    entries = ranked(_table({"relu": [0.1], "gelu": [0.1], "tanh": [0.10001]}), "loss", ["activation", "seed"])
    assert [(e.rank, e.tied) for e in entries] == [(1, True), (1, True), (3, False)]
    assert all(math.isnan(e.low) and math.isnan(e.high) for e in entries)


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e307])
def test_means_of_any_size_are_compared(size: float) -> None:
    """The squares of such losses are not finite doubles. Ties do not depend on the unit."""
    ordinary = ranked(_table(), "loss", ["activation", "seed"])
    scaled = ranked(
        _table({name: [loss * size for loss in losses] for name, losses in _SEEDS.items()}),
        "loss",
        ["activation", "seed"],
    )
    assert [(e.params, e.rank, e.tied) for e in scaled] == [(e.params, e.rank, e.tied) for e in ordinary]
    for one, other in zip(scaled, ordinary, strict=True):
        assert [one.mean, one.low, one.high] == pytest.approx([v * size for v in (other.mean, other.low, other.high)])


def test_seeds_that_all_agree_raise_no_warning() -> None:
    entries = ranked(_table({"relu": [1.0, 1.0], "gelu": [0.5, 0.6]}), "accuracy", ["activation", "seed"])
    assert [e.params["activation"] for e in entries] == ["gelu", "relu"]


@pytest.mark.parametrize(
    ("conditions", "activations"),
    [
        (["activation=relu"], ["relu"]),
        (["activation!=relu"], ["gelu", "tanh"]),
        (["loss<0.5"], ["relu", "gelu"]),  # the metric, not the loss that was chosen
        (["params.loss=huber", "activation=tanh"], ["tanh"]),
        (["seed >= 2"], ["relu", "gelu", "tanh"]),
        (["seed=9"], []),
        (["outcome=diverged"], []),
    ],
)
def test_conditions_choose_trials(conditions: list[str], activations: list[str]) -> None:
    entries = ranked(_table(), "loss", ["activation", "seed"], conditions)
    assert [e.params["activation"] for e in entries] == activations


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("activation", "write NAME OPERATOR VALUE"),
        ("activatoin=relu", "no trial has 'activatoin'; did you mean 'activation'"),
        ("loss<small", "'small' is not a number"),
    ],
)
def test_a_wrong_condition_is_refused(condition: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ranked(_table(), "loss", ["activation"], [condition])


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
@pytest.mark.parametrize("count", [0, 1, 7, 40, 200, 1000])
def test_the_best_trials_are_those_of_a_whole_sort(metric: str, count: int) -> None:
    """Values come several times each; some are infinite or missing, and some trials diverged."""
    rng = np.random.default_rng(0)
    values = rng.choice([0.25, 0.5, 0.5000001, 1.5, math.inf, -math.inf, math.nan], 400)
    outcomes = rng.choice(["improving", "diverged"], 400, p=[0.8, 0.2])
    table = pd.DataFrame({"number": rng.permutation(400), f"metrics.{metric}": values, "outcome": outcomes})
    sign = 1 if metric == "loss" else -1
    kept = [
        (sign * value, number)
        for number, value, outcome in table.itertuples(index=False)
        if outcome != "diverged" and not math.isnan(value)
    ]
    assert best_trials(table, metric, count)["number"].tolist() == [number for _, number in sorted(kept)[:count]]


def test_runs_are_asked_for_those_trials_alone_that_are_shown() -> None:
    asked: list[int] = []

    def run_ids(numbers: Sequence[int]) -> list[str | None]:
        asked.extend(numbers)
        return [f"r{number}" for number in numbers]

    table = _table()
    expected = ranked(table, "loss", ["activation", "seed"])
    assert ranked(table.drop(columns="run_id"), "loss", ["activation", "seed"], run_ids=run_ids) == expected
    asked.clear()
    best = ranked(table.drop(columns="run_id"), "loss", ["activation", "seed"], count=1, run_ids=run_ids)
    assert best == expected[:1]
    assert asked == [0, 4]  # the second entry may share the first's rank


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'accuracy'"):
        ranked(_table(), "acuracy", ["activation"])


def test_the_command_shows_the_same_in_every_form(recorded: Recorded) -> None:
    at = ("top", "small", "--tracking-uri", recorded.uri)
    entries = run_for_json(*at)["entries"]
    finished = recorded.result.table[recorded.result.table["outcome"] != "diverged"]
    means = finished.groupby("params.activation")["metrics.test_loss"].mean().sort_values()
    assert [e["params"]["activation"] for e in entries] == list(means.index)
    assert [e["mean"] for e in entries] == pytest.approx(list(means), rel=1e-12)
    assert all(e["finished"] == e["trials"] == 3 for e in entries)
    text = run_command(*at).stdout
    assert "3/3" in text
    rows = list(csv.DictReader(io.StringIO(run_command(*at, "--format", "csv").stdout)))
    assert [float(row["test_loss"]) for row in rows] == [e["mean"] for e in entries]
    markdown = run_command(*at, "--format", "markdown", "--where", "activation=relu").stdout.splitlines()
    assert markdown[1] == "|---|---|---|---|---|---|---|"
    assert len(markdown) == 3
    assert "relu" in markdown[2]
    assert "best run" in run_command("top", "small", "--tracking-uri", recorded.uri).stdout
    assert "seed" in run_command(*at, "--trials").stdout


def test_a_sweep_that_has_not_ended_is_ranked_from_its_runs(recorded: Recorded, uri: str) -> None:
    with pytest.raises(SweepInterruptedError):
        run_sweep(load_spec(SPEC), tracking_uri=uri, inline=True, observer=Interrupting(5), shard_size=1)
    store = Store(uri)
    (sweep,) = store.sweeps()
    ended = read_table(store, sweep)
    store.reopen(sweep)
    running = read_table(store, store.find_sweep(sweep.sweep))
    assert len(running) == len(ended) == 5
    common = [name for name in ended.columns if not name.startswith("params.hidden")]
    ours, theirs = (t.sort_values("number", ignore_index=True)[common] for t in (running, ended))
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, check_exact=True)


def test_trials_one_by_one_take_the_same_options(recorded: Recorded) -> None:
    at = ("top", "small", "--tracking-uri", recorded.uri, "--trials")
    entries = run_for_json(*at, "--where", "activation=relu")["entries"]
    assert [e["trials"] for e in entries] == [1, 1, 1]
    assert {e["params"]["activation"] for e in entries} == {"relu"}
    assert sorted(e["params"]["seed"] for e in entries) == [0, 1, 2]
    assert len(run_command(*at, "--format", "csv").stdout.splitlines()) == 7


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_the_json_lists_the_best_of_the_trials_that_fit(runs: str, uri: str) -> None:
    run_sweep(load_spec({**SPEC, "record": {"points": 2, "runs": runs}}), tracking_uri=uri, inline=True)
    at = ("top", "small", "--tracking-uri", uri)
    for by in ("test_loss", "accuracy"):
        listed = run_for_json(*at, "--by", by, "--trials", "--where", "activation=tanh", "--where", "seed<2")
        assert [trial["params"]["activation"] for trial in listed["top"]] == ["tanh", "tanh"]
        assert [int(trial["params"]["seed"]) for trial in listed["top"]] == [
            entry["params"]["seed"] for entry in listed["entries"]
        ]
        assert [trial["metrics"][by] for trial in listed["top"]] == [entry["mean"] for entry in listed["entries"]]
    everything = run_for_json(*at, "--trials")
    assert [t["run_id"] or None for t in everything["top"]] == [e["run_id"] for e in everything["entries"]]
    assert len(everything["top"]) == 6
    assert run_for_json(*at, "--where", "seed>7")["top"] == []
    assert "no trial meets --where 'seed>7'" in run_command(*at, "--where", "seed>7").stderr
    assert len(run_for_json(*at, "--trials", "-n", "2")["top"]) == 2


@pytest.mark.parametrize(
    "condition", ["activation=tanh", "activation==tanh", "activation = 'tanh'", 'activation="tanh"', "activation!=relu"]
)
def test_a_word_may_be_in_quotes(recorded: Recorded, condition: str) -> None:
    at = ("top", "small", "--tracking-uri", recorded.uri)
    assert [e["params"]["activation"] for e in run_for_json(*at, "--where", condition)["entries"]] == ["tanh"]


def test_a_value_that_no_trial_has_is_named(recorded: Recorded) -> None:
    at = ("top", "small", "--tracking-uri", recorded.uri)
    result = run_command(*at, "--where", "activation=Tanh")
    assert result.exit_code == 2
    assert "--where 'activation=Tanh': no trial has the value 'Tanh'; did you mean 'tanh'?" in result.stderr
    hidden = run_for_json(*at)["top"][0]["params"]["hidden"]
    assert len(run_for_json(*at, "--where", f"hidden={hidden.replace(' ', '')}")["entries"]) == 2
    assert run_for_json(*at, "--where", "outcome=dead", "--where", "activation=tanh")["top"] == []
    assert run_for_json(*at, "--where", "seed>7", "--where", "activation=tanh")["top"] == []


def test_a_sweep_without_trials_yet_is_shown(recorded: Recorded, uri: str) -> None:
    store = Store(uri, create=True)
    sweep = store.begin("20260101-000000-aaaa", "none", SPEC, {"gradgrid.objective": "test_loss"}, {"grid.seed": "0"})
    assert read_table(store, sweep).empty
    for command in ("top", "show"):
        assert run_command(command, "none", "--tracking-uri", uri).exit_code == 0


def test_a_condition_on_words_of_which_some_trials_have_none(uri: str) -> None:
    grid = {"dataset.class_weight": [None, "balanced"], "seed": {"range": 2}}
    run_sweep(load_spec({**SPEC, "steps": 5, "grid": grid}), tracking_uri=uri, inline=True)
    for condition, count in (
        ("=balanced", 2),
        ("!=balanced", 2),
        ("=null", 2),
        ("=null or dataset.class_weight=balanced", 4),
    ):
        where = f"dataset.class_weight{condition}"
        assert len(run_for_json("top", "small", "--trials", "--where", where, "--tracking-uri", uri)["top"]) == count
    result = run_command("top", "small", "--where", "dataset.class_weight=balance", "--tracking-uri", uri)
    assert "did you mean 'balanced'?" in result.stderr
