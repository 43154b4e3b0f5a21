"""Compared sweeps: one leaderboard, columns that differ, and matched trials, against independent figures."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.spec import load_spec
from service.execution.result import SweepResult
from service.results.axes import Axis
from service.results.comparison import ComparedSweep, differing_names, given_names, joined
from service.results.comparison_rows import difference_rows, partners_text, quartiles_along, variant_texts
from service.results.leaderboard import ranked
from service.results.matching import Matching, match
from service.run import run_sweep
from tests.service.conftest import SPEC, TINY, run_command, run_for_json

_MOONS = {"name": "moons", "samples": 40, "noise": 0.1}
_ADAM = {**SPEC, "name": "other", "optimizer": "adam"}


def _table(losses: Sequence[float], diverged: Collection[int] = (), **axes: Sequence[Any]) -> pd.DataFrame:
    """Return a table of the product of the axes, with these losses. diverged: numbers of trials."""
    points = list(itertools.product(*axes.values()))
    assert len(points) == len(losses)
    return pd.DataFrame(
        {
            "number": range(len(points)),
            "trial": [str(dict(zip(axes, point, strict=True))) for point in points],
            "run_id": [f"r{k}" for k in range(len(points))],
            **{f"params.{name}": [point[k] for point in points] for k, name in enumerate(axes)},
            "outcome": ["diverged" if k in diverged else "improving" for k in range(len(points))],
            "metrics.loss": losses,
        }
    )


def _sweep(name: str, table: pd.DataFrame, *given: str, **data: Any) -> ComparedSweep:
    names = {column.removeprefix("params.") for column in table.columns if column.startswith("params.")}
    return ComparedSweep(name, table, given or names, data)


def _matched(first: ComparedSweep, second: ComparedSweep, *, same_data: bool = True) -> Matching:
    table = joined([first, second], same_data=same_data)
    given = given_names([first, second])
    return match(table, (first.name, second.name), "loss", differing_names(table, given), given)


_A = _sweep("A", _table([0.4, 0.5, 0.6, 0.9], optimizer=["sgd"], learning_rate=[0.1, 1.0], seed=[0, 1]))
_B = _sweep("B", _table([0.3, 0.2, 0.7, 0.5], optimizer=["adam"], learning_rate=[0.1, 1.0], seed=[0, 1]))


def test_columns_are_the_hyperparameters_that_differ_within_or_between_sweeps() -> None:
    fixed = _table([0.4, 0.5], activation=["tanh"], momentum=[0.9], steps=[10], seed=[0, 1])
    swept = _table([0.4, 0.5], activation=["relu", "tanh"], steps=[10], seed=[0], beta1=[0.9])
    sweeps = [_sweep("A", fixed, "momentum", "seed"), _sweep("B", swept, "activation")]
    table = joined(sweeps, same_data=True)
    assert differing_names(table, given_names(sweeps)) == ["activation", "momentum", "seed"]
    assert differing_names(table, {"beta1"}) == ["activation", "beta1", "seed"]
    assert table["params.sweep"].tolist() == ["A", "A", "B", "B"]


def test_sweeps_on_other_data_have_the_values_of_the_data_as_columns() -> None:
    first = _sweep("A", _table([0.4], seed=[0]), "seed", dataset="moons", **{"dataset.noise": 0.1})
    noisy = _table([0.5, 0.6], noise=[0.1, 0.3], seed=[0]).rename(columns={"params.noise": "params.dataset.noise"})
    second = _sweep("B", noisy, "seed", dataset="moons")
    table = joined([first, second], same_data=False)
    assert table["params.dataset.noise"].tolist() == [0.1, 0.1, 0.3]
    assert differing_names(table, {"seed"}) == ["dataset.noise"]
    matched = _matched(first, second, same_data=False)
    assert (len(matched.pairs), matched.alone) == (1, (0, 1))
    assert "params.dataset.noise" not in joined([first, _A], same_data=True)


def test_sweeps_are_ranked_on_one_leaderboard() -> None:
    entries = ranked(joined([_A, _B], same_data=True), "loss", ["sweep", "optimizer", "learning_rate", "seed"])
    assert [(e.params["sweep"], e.params["learning_rate"], e.trials) for e in entries] == [
        ("B", 0.1, 2),
        ("A", 0.1, 2),
        ("B", 1.0, 2),
        ("A", 1.0, 2),
    ]
    assert [e.mean for e in entries] == pytest.approx([0.25, 0.45, 0.6, 0.75])


def test_the_difference_of_partners_is_that_of_scipy() -> None:
    """One difference for each configuration, the mean over its seeds; the interval is Student's over these."""
    matched = _matched(_A, _B)
    (difference,) = matched.differences
    changes = np.array([[0.3 - 0.4, 0.2 - 0.5], [0.7 - 0.6, 0.5 - 0.9]])
    interval = stats.ttest_1samp(changes.mean(axis=1), 0).confidence_interval(0.95)
    assert (difference.mean, difference.low, difference.high) == pytest.approx((changes.mean(), *interval))
    assert difference.quartiles == pytest.approx(tuple(np.quantile(changes, [0.25, 0.5, 0.75])))
    assert (difference.pairs, difference.finished, difference.first_better, difference.second_better) == (4, 4, 1, 3)
    assert (matched.shared, matched.differs, matched.alone) == (["learning_rate", "seed"], ["optimizer"], (0, 0))
    assert variant_texts(matched) == ["optimizer sgd → adam"]
    assert matched.pairs[["first", "second"]].to_numpy().tolist() == [[0.4, 0.3], [0.5, 0.2], [0.6, 0.7], [0.9, 0.5]]


def test_seeds_make_the_interval_if_there_is_one_configuration() -> None:
    first = _sweep("A", _table([0.4, 0.5, 0.6], optimizer=["sgd"], seed=[0, 1, 2]))
    second = _sweep("B", _table([0.3, 0.2, 0.7], optimizer=["adam"], seed=[0, 1, 2]))
    (difference,) = _matched(first, second).differences
    interval = stats.ttest_1samp([-0.1, -0.3, 0.1], 0).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(interval))
    assert (difference.over, difference.same) == ("seeds", 0)
    assert "There is one configuration, so ± is over its seeds." in partners_text(_matched(first, second))
    (alone,) = _matched(_sweep("A", _table([0.4], steps=[5])), _sweep("B", _table([0.3], steps=[9]))).differences
    assert math.isnan(alone.low)
    assert alone.over == ""
    assert alone.mean == pytest.approx(-0.1)


def test_trials_that_both_sweeps_have_are_named_and_give_no_interval() -> None:
    """Two sweeps of one file with other numbers of seeds: the partners are the same trials, and 0 ± 0 says nothing."""
    losses = [0.4, 0.5, 0.6, 0.9]
    first = _sweep("A", _table(losses, learning_rate=[0.1, 1.0], seed=[0, 1]))
    second = _sweep("B", _table([0.4, 0.5, 0.7, 0.6, 0.9, 0.8], learning_rate=[0.1, 1.0], seed=[0, 1, 2]))
    matched = _matched(first, second)
    (difference,) = matched.differences
    assert (difference.pairs, difference.same, difference.equal, difference.mean) == (4, 4, 4, 0.0)
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)
    assert difference_rows(matched)[0]["±"] == ""
    assert "4 of 4 pairs are one trial in both sweeps, so they are equal." in partners_text(matched)
    assert "one trial in both" not in partners_text(_matched(_A, _B))


def test_equal_differences_give_no_interval() -> None:
    better = _table([0.5, 0.75, 1.0, 1.25], optimizer=["adam"], learning_rate=[0.1, 1.0], seed=[0, 1])
    worse = _table([0.75, 1.0, 1.25, 1.5], optimizer=["sgd"], learning_rate=[0.1, 1.0], seed=[0, 1])
    (difference,) = _matched(_sweep("A", worse), _sweep("B", better)).differences
    assert (difference.mean, difference.same, difference.over) == (-0.25, 0, "")
    assert math.isnan(difference.low)


def test_a_lost_trial_is_worse_than_its_partner_and_has_no_difference() -> None:
    infinite = _table([0.3, math.inf, 0.7, 0.9], {0}, optimizer=["adam"], learning_rate=[0.1, 1.0], seed=[0, 1])
    lost = _table([0.4, 0.5, 0.6, 0.9], {0}, optimizer=["sgd"], learning_rate=[0.1, 1.0], seed=[0, 1])
    (difference,) = _matched(_sweep("A", lost), _sweep("B", infinite)).differences
    assert (difference.pairs, difference.finished, difference.lost, difference.equal) == (4, 2, 1, 1)
    assert (difference.first_better, difference.second_better) == (2, 0)
    assert difference.mean == pytest.approx(0.05)
    (row,) = difference_rows(_matched(_sweep("A", lost), _sweep("B", infinite)))
    assert row["both lost"] == 1


def test_of_a_metric_like_accuracy_the_greater_value_is_better() -> None:
    sweeps = [_sweep(s.name, s.table.rename(columns={"metrics.loss": "metrics.accuracy"})) for s in (_A, _B)]
    table, given = joined(sweeps, same_data=True), given_names(sweeps)
    (difference,) = match(table, ("A", "B"), "accuracy", differing_names(table, given), given).differences
    assert (difference.first_better, difference.second_better) == (3, 1)


def test_values_that_differ_in_the_last_bits_are_equal_and_large_seeds_are_not() -> None:
    seeds = [2**60, 2**60 + 1]
    first = _sweep("A", _table([0.4, 0.5], optimizer=["sgd"], learning_rate=[0.1 + 0.2], seed=seeds))
    second = _sweep("B", _table([0.3, 0.2], optimizer=["adam"], learning_rate=[0.3], seed=seeds))
    matched = _matched(first, second)
    assert (len(matched.pairs), matched.alone) == (2, (0, 0))


def test_partners_are_listed_for_each_combination_that_one_sweep_alone_has() -> None:
    """rmsprop has no beta1, and no sweep file gives it: it does not keep trials apart."""
    table = _table([0.3, 0.2, 0.6, 0.7], optimizer=["adam", "rmsprop"], seed=[0, 1])
    others = _sweep("B", table.assign(**{"params.beta1": [0.9, 0.9, np.nan, np.nan]}), "optimizer", "seed")
    matched = _matched(_sweep("A", _table([0.4, 0.5], optimizer=["sgd"], seed=[0, 1])), others)
    assert variant_texts(matched) == ["optimizer sgd → adam", "optimizer sgd → rmsprop"]
    assert [d.mean for d in matched.differences] == pytest.approx([-0.2, 0.2])
    assert [d.pairs for d in matched.differences] == [2, 2]


def test_a_hyperparameter_that_one_sweep_does_not_have_is_not_shared() -> None:
    momentum = _sweep("B", _table([0.3, 0.2], momentum=[0.5, 0.9], seed=[0]))
    matched = _matched(_sweep("A", _table([0.4], seed=[0])), momentum)
    assert variant_texts(matched) == ["momentum none → 0.5", "momentum none → 0.9"]


def test_many_values_of_one_sweep_are_one_row() -> None:
    rates = np.linspace(0.1, 1.0, 60).tolist()
    drawn = _sweep("B", _table(rates, learning_rate=rates, seed=[0]))
    matched = _matched(_sweep("A", _table([0.5], learning_rate=[0.05], seed=[0])), drawn)
    assert variant_texts(matched) == ["learning_rate 0.05 → 60 values"]
    assert matched.differences[0].pairs == 60


def test_the_interval_of_many_values_in_one_row_is_over_the_values_not_their_seeds() -> None:
    rates = np.linspace(0.1, 1.0, 60).tolist()
    losses = np.random.default_rng(0).normal(size=120)
    drawn = _sweep("B", _table(losses.tolist(), learning_rate=rates, seed=[0, 1]))
    first = _sweep("A", _table([0.5, 0.6], learning_rate=[0.05], seed=[0, 1]))
    (difference,) = _matched(first, drawn).differences
    changes = (losses.reshape(60, 2) - [0.5, 0.6]).mean(axis=1)
    interval = stats.ttest_1samp(changes, 0).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(interval))
    assert (difference.over, difference.pairs) == ("configurations", 120)


def test_trials_without_a_partner_are_counted() -> None:
    wider = _sweep("B", _table([0.3, 0.2, 0.7], optimizer=["adam"], learning_rate=[1.0, 2.0, 3.0], seed=[0]))
    matched = _matched(_A, wider)
    assert (len(matched.pairs), matched.alone) == (1, (3, 2))
    assert partners_text(matched).endswith(
        "Without a partner: 3 of A, 2 of B. "
        "3 of A and 2 of B: values of learning_rate and seed that the other sweep does not have."
    )
    apart = _sweep("B", _table([0.3, 0.2], optimizer=["adam"], learning_rate=[2.0, 3.0], seed=[0]))
    text = partners_text(_matched(_A, apart))
    assert text == (
        "No trial has a partner: the two sweeps have no value of learning_rate in common. "
        "Without a partner: 4 of A, 2 of B."
    )


def test_the_reasons_why_trials_have_no_partner_are_told_apart() -> None:
    """Of A, one trial was stopped, one has a rate that B lacks, and one has both values of B, but not together."""
    first = _table([0.4, 0.5, 0.6, 0.9], learning_rate=[0.1, 1.0], seed=[0, 1]).assign(last_step=[10, 50, 50, 50])
    first.loc[0, "outcome"] = "stopped"
    second = _table([0.3, 0.2, 0.7, 0.8], learning_rate=[0.1, 1.0], seed=[0, 1]).assign(last_step=50)
    rates = second["params.learning_rate"].where(second.index != 3, 2.0)
    second = second.assign(**{"params.learning_rate": rates})
    matched = _matched(_sweep("A", first), _sweep("B", second))
    assert len(matched.pairs) == 2
    assert [vars(side) for side in matched.unmatched] == [
        {"trials": 2, "stopped": 1, "foreign": 0, "names": []},
        {"trials": 2, "stopped": 1, "foreign": 1, "names": ["learning_rate"]},
    ]
    assert [side.rest for side in matched.unmatched] == [1, 0]
    assert partners_text(matched).endswith(
        "Without a partner: 2 of A, 2 of B. 1 of A and 1 of B: the trial with the same values was trained for another "
        "number of steps, because one of the two was stopped early. 1 of B: values of learning_rate that the other "
        "sweep does not have. 1 of A: no trial of the other sweep has these values together."
    )


def test_quartiles_along_an_axis_are_those_of_its_pairs() -> None:
    rows = quartiles_along(_matched(_A, _B).pairs, Axis("learning_rate", (0.1, 1.0)))
    assert rows["position"].tolist() == [0, 1]
    assert rows["middle"].tolist() == pytest.approx([np.median([-0.1, -0.3]), np.median([0.1, -0.4])])
    assert rows["low"].tolist() == pytest.approx([np.quantile([-0.1, -0.3], 0.25), np.quantile([0.1, -0.4], 0.25)])
    assert rows["pairs"].tolist() == [2, 2]


# --------------------------------------------------------------------------------------------------------- the command


def _run(uri: str, *specs: Mapping[str, Any]) -> list[SweepResult]:
    return [run_sweep(load_spec(spec), tracking_uri=uri, inline=True) for spec in specs]


def test_top_ranks_the_trials_of_all_sweeps_and_compares_partners(uri: str) -> None:
    first, second = _run(uri, SPEC, _ADAM)
    at = ("top", "small", "other", "--tracking-uri", uri)
    shown = run_for_json(*at)
    assert [s["sweep"] for s in shown["sweeps"]] == [first.sweep, second.sweep]
    assert shown["differences"] == {"optimizer": ["—", "adam"]}
    tables = {first.sweep: first.table, second.sweep: second.table}
    for entry in shown["entries"]:
        table = tables[entry["sweep"]]
        chosen = table[(table["params.activation"] == entry["params"]["activation"])]
        chosen = chosen[chosen["params.learning_rate"] == entry["params"]["learning_rate"]]
        assert set(chosen["params.optimizer"]) == {entry["params"]["optimizer"]}
        assert entry["mean"] == pytest.approx(chosen["metrics.test_loss"].mean())
    assert [e["rank"] for e in shown["entries"]] == sorted(e["rank"] for e in shown["entries"])
    together = pd.concat(tables.values())
    best = together[together["outcome"] != "diverged"]["metrics.test_loss"].nsmallest(10)
    assert [t["metrics"]["test_loss"] for t in shown["top"]] == pytest.approx(best.tolist())
    (matched,) = shown["matched"]
    assert (matched["pairs"], matched["first_alone"], matched["second_alone"]) == (12, 0, 0)
    assert matched["differs"] == ["optimizer"]
    (difference,) = matched["differences"]
    pairs = first.table.merge(second.table, on=["params.activation", "params.learning_rate", "params.seed"])
    finished = pairs[(pairs["outcome_x"] != "diverged") & (pairs["outcome_y"] != "diverged")]
    change = finished["metrics.test_loss_y"] - finished["metrics.test_loss_x"]
    assert difference["finished"] == len(finished) == 6
    assert difference["quartiles"][1] == pytest.approx(change.median())
    assert difference["second_better"] == int((change < 0).sum()) + int(
        ((pairs["outcome_x"] == "diverged") & (pairs["outcome_y"] != "diverged")).sum()
    )


def test_top_of_several_takes_the_options_of_top(uri: str) -> None:
    first, second = _run(uri, SPEC, _ADAM)
    at = ("top", "small", "other", "--tracking-uri", uri)
    text = run_command(*at)
    assert f"{second.sweep} minus {first.sweep}: test_loss of matched trials" in text.stdout
    assert "sgd → adam" in text.stdout
    assert f"Without a partner: 0 of {first.sweep}, 0 of {second.sweep}." in text.stdout
    assert all(f"gradgrid dashboard {sweep.sweep}" in text.stderr for sweep in (first, second))
    rows = list(csv.DictReader(io.StringIO(run_command(*at, "--format", "csv", "-n", "3").stdout)))
    assert len(rows) == 3
    assert list(rows[0]) == [
        "rank", "test_loss", "±", "seeds", "sweep", "activation", "optimizer", "learning_rate", "best run",
    ]  # fmt: skip
    markdown = run_command(*at, "--format", "markdown").stdout
    assert markdown.count("|---|") > 2
    by = run_for_json(*at, "--by", "accuracy", "--trials", "--where", "activation=tanh", "--where", "seed>0")
    assert by["by"] == "accuracy"
    assert {entry["params"]["activation"] for entry in by["entries"]} == {"tanh"}
    assert {entry["params"]["seed"] for entry in by["entries"]} == {1, 2}
    assert by["matched"][0]["pairs"] == 4
    only = run_for_json(*at, "--where", f"sweep={second.sweep}")
    assert {entry["sweep"] for entry in only["entries"]} == {second.sweep}
    assert (only["matched"][0]["pairs"], only["matched"][0]["second_alone"]) == (0, 12)
    nothing = run_command(*at, "--where", "seed>7")
    assert nothing.exit_code == 0
    assert "no trial meets --where 'seed>7'" in nothing.stderr


def test_top_of_several_notes_trials_that_were_stopped(uri: str) -> None:
    search = {**SPEC, "steps": 9, "search": {"method": "halving", "first": 3}}
    first, second = _run(uri, search, {**search, "name": "other", "optimizer": "adam"})
    stopped = sum(int((sweep.table["outcome"] == "stopped").sum()) for sweep in (first, second))
    assert stopped > 0
    shown = run_command("top", "small", "other", "--tracking-uri", uri)
    assert f"{stopped} of {first.trials + second.trials} trials were stopped early" in shown.stderr
    assert "because one of the two was stopped early" in shown.stdout


def test_sweeps_that_can_not_be_compared_are_refused(uri: str) -> None:
    validated = {**SPEC, "name": "validated", "dataset": {**_MOONS, "validation_fraction": 0.25}}
    sine = {"name": "sine", "dataset": {"name": "sine"}, "steps": 5, "grid": {"seed": [0]}}
    small, *_ = _run(uri, SPEC, validated, sine, {**TINY, "record": {"measures": ["roc_auc"]}})

    def refused(*arguments: str) -> str:
        result = run_command(*arguments, "--tracking-uri", uri)
        assert result.exit_code == 2
        return result.stderr

    assert "different tasks" in refused("top", "small", "sine")
    assert "validation_loss in" in refused("top", "small", "validated")
    assert "choose a metric of all of them with --by" in refused("report", "small", "validated")
    assert "are the same sweep" in refused("top", "small", small.sweep)
    assert f"no trial of {small.sweep} has the metric 'roc_auc'" in refused("top", "tiny", "small", "--by", "roc_auc")
    assert "did you mean 'accuracy'?" in refused("top", "tiny", "small", "--by", "acuracy")
    assert "too many to compare" in refused("top", *["small"] * 9)
    noted = run_command("top", "small", "validated", "--by", "test_loss", "--tracking-uri", uri)
    assert noted.exit_code == 0
    assert "different data (dataset.validation_fraction is — and 0.25)" in noted.stderr


def test_one_sweep_that_sweeps_what_the_other_fixes_has_its_column(uri: str) -> None:
    grid = {"learning_rate": [0.1], "seed": [0, 1]}
    fixed = {**SPEC, "name": "fixed", "model": {"hidden": [3], "activation": "tanh"}, "grid": grid}
    _run(uri, fixed, SPEC)
    shown = run_for_json("top", "fixed", "small", "--tracking-uri", uri, "-n", "50")
    assert {entry["params"]["activation"] for entry in shown["entries"]} == {"relu", "tanh"}
    (matched,) = shown["matched"]
    assert (matched["pairs"], matched["first_alone"], matched["second_alone"]) == (2, 0, 10)
    assert matched["differs"] == []
    assert matched["differences"][0]["equal"] == 2  # the same trials, so the same bits
