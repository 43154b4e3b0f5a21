"""The rungs of halving and Hyperband: in `show`, in the dry run, in the progress and in `watch`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.errors import StoreError
from experiments.spec import load_spec
from service.api import RecordedSweep, sweep
from service.cli import progress
from service.cli.progress import PlainProgress
from service.execution.plan import make_plan
from service.inspection.rungs import RungReader
from service.inspection.watch import SweepSnapshot, follow
from service.recording.infos import SweepInfo
from service.results.rungs import RungCounts, rung_counts
from tests.service.clocks import Clock
from tests.service.conftest import run_command, run_for_json

_SPEC: dict[str, Any] = {
    "name": "rungs",
    "dataset": {"name": "moons", "samples": 40},
    "model": {"hidden": [3]},
    "steps": 36,
    "search": {"method": "hyperband", "trials": 20, "first": 4},
    "grid": {"learning_rate": {"loguniform": [0.01, 10]}, "seed": {"range": 2}},
    "record": {"points": 3, "curves": "none"},
}
_SECOND = "rung 2 of 3: comparing 6 trials at step 12"


@pytest.fixture(scope="module")
def hyperband(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordedSweep, str]:
    """Return a sweep by Hyperband of 20 configurations and two seeds, and its store."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('hyperband') / 'mlflow.db'}"
    return sweep(_SPEC, tracking_uri=uri, inline=True), uri


def test_the_counts_are_those_of_the_trials(hyperband: tuple[RecordedSweep, str]) -> None:
    found, uri = hyperband
    plan = make_plan(load_spec(_SPEC))
    assert plan.ladder is not None
    last = found.trials["outcome_step"].where(found.trials["outcome"] == "stopped", 36).to_numpy()
    expected = []
    for number, bracket in enumerate(plan.ladder.brackets, 1):
        steps = last[np.isin(plan.configurations, bracket.members)]
        for rung in (4, 12, 36)[bracket.first :]:
            went_on = None if rung == 36 else int((steps > rung).sum())
            expected.append(
                {"bracket": number, "steps": rung, "trials": int((steps >= rung).sum()), "went_on": went_on}
            )
    assert len({row["bracket"] for row in expected}) == 3
    shown = run_for_json("show", "rungs", "--tracking-uri", uri)
    assert shown["rungs"] == expected
    text = run_command("show", "rungs", "--tracking-uri", uri).stdout
    assert "Rungs by test_loss" in text
    first = [row["trials"] for row in expected if row["bracket"] == 1]
    assert ["1", *map(str, first)] in [line.split() for line in text.splitlines()]


def test_show_of_halving_has_a_line_for_each_rung(tmp_path: Path) -> None:
    at = ("--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
    sweep({**_SPEC, "search": {**_SPEC["search"], "method": "halving"}}, tracking_uri=at[1], inline=True)
    lines = [line.split() for line in run_command("show", "rungs", *at).stdout.splitlines()]
    assert [line for line in lines if line and line[0] in ("4", "12", "36") and len(line) < 4] == [
        ["4", "40", "12"],
        ["12", "12", "4"],
        ["36", "4"],
    ]


def test_a_sweep_is_followed_although_its_file_of_steps_is_half_written(
    hyperband: tuple[RecordedSweep, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = hyperband
    (whole,) = follow(found._store, found.id, 0.1)
    assert len(whole.rungs) == 6

    def steps(sweep: SweepInfo) -> None:
        raise StoreError("steps.parquet can't be read")

    monkeypatch.setattr(found._store, "steps", steps)
    (cut,) = follow(found._store, found.id, 0.1)
    assert (cut.trials, cut.rungs) == (40, ())


def _counted(name: str, read_file: Callable[[SweepInfo], Any], read: list[str]) -> Callable[[SweepInfo], Any]:
    def counted(sweep: SweepInfo) -> Any:
        read.append(name)
        return read_file(sweep)

    return counted


def test_what_stays_the_same_is_read_once(
    hyperband: tuple[RecordedSweep, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = hyperband
    store, read = found._store, list[str]()
    for name in ("steps", "brackets", "spec"):
        monkeypatch.setattr(store, name, _counted(name, getattr(store, name), read))
    reader = RungReader(store, found.info)
    first = reader.read()
    assert [reader.read(), reader.read()] == [first, first]
    assert len(first) == 6
    assert sorted(read) == ["brackets", "spec", "steps", "steps", "steps"]


def test_brackets_that_are_not_written_yet_are_read_again(
    hyperband: tuple[RecordedSweep, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver begins the sweep's run, and writes its brackets a moment later."""
    found, _ = hyperband
    reader = RungReader(found._store, found.info)
    with monkeypatch.context() as patch:
        patch.setattr(found._store, "steps", lambda sweep: None)
        patch.setattr(found._store, "brackets", lambda sweep: None)
        assert [(count.bracket, count.trials) for count in reader.read()] == [(1, 40)]
    assert len({count.bracket for count in reader.read()}) == 3


def test_a_sweep_without_rungs_shows_none(uri: str) -> None:
    sweep({"name": "plain", "dataset": {"name": "xor"}, "steps": 2}, tracking_uri=uri, inline=True)
    assert run_for_json("show", "plain", "--tracking-uri", uri)["rungs"] == []
    assert "Rungs" not in run_command("show", "plain", "--tracking-uri", uri).stdout


def test_the_counts_end_at_the_rung_that_is_compared() -> None:
    firsts = np.array([0, 0, 0, 0, 1, 1])
    assert rung_counts((4, 12, 36), firsts, np.zeros(6, dtype=np.int64)) == [
        RungCounts(1, 4, 4, None),
        RungCounts(2, 12, 2, None),
    ]
    assert rung_counts((4, 12, 36), firsts, np.array([4, 4, 0, 0, 0, 0])) == [
        RungCounts(1, 4, 4, 2),
        RungCounts(1, 12, 2, None),
        RungCounts(2, 12, 2, None),
    ]


def test_a_single_configuration_is_not_compared() -> None:
    """As `Ladder.compared`: here of two seeds, in a bracket of its own and beside a bracket of three."""
    undecided = np.zeros(8, dtype=np.int64)
    alone = [RungCounts(1, 4, 2, 2), RungCounts(1, 12, 2, 2), RungCounts(1, 36, 2, None)]
    assert rung_counts((4, 12, 36), undecided[:2], undecided[:2], repeats=2) == alone
    firsts = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    assert rung_counts((4, 12, 36), firsts, undecided, repeats=2) == [*alone, RungCounts(2, 12, 6, None)]


@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_comparisons_are_those_of_the_ladder(hyperband: tuple[RecordedSweep, str], count: int) -> None:
    """After each decision, the trials that are to be compared next are those of the brackets that the ladder yields."""
    plan = make_plan(load_spec({**_SPEC, "search": {**_SPEC["search"], "trials": count}}))
    ladder, configurations = plan.ladder, plan.configurations
    assert ladder is not None
    info, table = replace(hyperband[0].info, status="RUNNING"), hyperband[0].trials
    firsts, steps = ladder.firsts(configurations), np.zeros(plan.trials, dtype=np.int64)
    still_in, rng = np.ones(count, dtype=bool), np.random.default_rng(1)

    def comparison() -> str:
        counts = rung_counts(plan_rungs, firsts, steps, repeats=2)
        return SweepSnapshot(info, table, plan.trials, 0.0, rungs=counts).comparison

    plan_rungs = ladder.rungs
    for rung, at in enumerate(plan_rungs[:-1]):
        if compared := list(ladder.compared(rung, still_in)):
            trials = 2 * sum(len(bracket.members) for bracket in compared)
            assert comparison() == f"rung {rung + 1} of 3: comparing {trials} trials at step {at}"
            leave = ladder.worst(rung, still_in, rng.random(count))
            still_in[leave] = False
            steps[np.isin(configurations, leave)] = at
    assert comparison() == ""


def test_the_dry_run_of_hyperband_has_a_line_for_each_bracket() -> None:
    plan = make_plan(load_spec(_SPEC))
    assert plan.ladder is not None
    told = run_for_json("sweep", *_assignments(), "--dry-run")
    assert [row["steps"] for row in told["brackets"]] == [[4, 12, 36], [12, 36], [36]]
    assert [row["configurations"][0] for row in told["brackets"]] == [len(b.members) for b in plan.ladder.brackets]
    text = run_command("sweep", *_assignments(), "--dry-run").stdout
    first = told["brackets"][0]["configurations"]
    assert f"bracket 1: {first[0]} to step 4, {first[1]} to step 12, {first[2]} to step 36" in text
    assert f"bracket 3: {told['brackets'][2]['configurations'][0]} to step 36" in text


def _assignments() -> list[str]:
    """Return the arguments that make a ready sweep one of 20 configurations."""
    values = ["model.hidden=[3]", "steps=36", "search={method: hyperband, trials: 20, first: 4}"]
    grid = "grid={learning_rate: {loguniform: [0.01, 10]}, seed: {range: 2}}"
    return ["moons", *(part for value in (*values, grid) for part in ("--set", value))]


def test_progress_names_the_rung_and_gives_a_time_only_in_the_end(
    hyperband: tuple[RecordedSweep, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, shown = Clock(), PlainProgress()
    monkeypatch.setattr(progress, "time", clock)
    plan = make_plan(load_spec({**_SPEC, "search": {**_SPEC["search"], "method": "halving"}}))
    shown.begin(plan, hyperband[0].info, done=0, workers=1, note="")
    shown.comparing(40, 4)
    clock.advance(20)
    shown.advance(28, None)
    shown.comparing(12, 12)
    clock.advance(20)
    shown.advance(8, None)  # the four that go to the end are left
    clock.advance(20)
    shown.advance(2, None)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "rung 1 of 3: comparing 40 trials at step 4",
        "28 of 40 trials, 1.4/s",
        "rung 2 of 3: comparing 12 trials at step 12",
        "36 of 40 trials, 0.9/s",
        "38 of 40 trials, 0.6/s, 20 s left",
    ]


@pytest.mark.parametrize(
    ("rungs", "text"),
    [
        ([RungCounts(1, 4, 20, None), RungCounts(2, 12, 6, None)], "rung 1 of 3: comparing 20 trials at step 4"),
        (
            [RungCounts(1, 4, 20, 6), RungCounts(1, 12, 6, None), RungCounts(2, 12, 6, None)],
            "rung 2 of 3: comparing 12 trials at step 12",
        ),
        ([RungCounts(1, 4, 20, 6), RungCounts(1, 12, 6, 2), RungCounts(1, 36, 2, None)], ""),
        ([RungCounts(1, 4, 1, 1), RungCounts(1, 12, 1, 1), RungCounts(2, 12, 6, None)], _SECOND),
        ([RungCounts(1, 4, 1, None)], "rung 1 of 3: comparing 1 trial at step 4"),
        ([], ""),
    ],
)
def test_a_followed_sweep_names_the_rung(
    hyperband: tuple[RecordedSweep, str], rungs: list[RungCounts], text: str
) -> None:
    info, table = hyperband[0].info, hyperband[0].trials
    running = SweepSnapshot(replace(info, status="RUNNING"), table, len(table), 0.0, rungs=rungs)
    assert running.comparison == text
    assert SweepSnapshot(info, table, len(table), 0.0, rungs=rungs).comparison == ""
    assert text in progress._snapshot_line(running)
