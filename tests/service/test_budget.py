"""A budget of minutes: a sweep ends in order when it is over, and is resumed to the same bits."""

import time
from typing import Any

import pytest

import service.run
from experiments.errors import StoreError
from experiments.spec import load_spec
from service.api import load_sweep
from service.cli.output import print_result
from service.execution.observer import NullObserver
from service.execution.plan import make_plan
from service.execution.result import SweepResult
from service.recording.infos import SweepInfo
from service.recording.tags import Tag
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "budget",
    "dataset": {"name": "moons", "samples": 40},
    "model": {"hidden": [3]},
    "steps": 5,
    "search": {"method": "sobol", "trials": 12},
    "grid": {"learning_rate": {"loguniform": [0.01, 1]}, "activation": ["relu", "tanh"]},
    "record": {"points": 3},
}


class _Clock(NullObserver):
    """A clock that stands still, but goes on by a minute for each trial that is recorded."""

    def __init__(self) -> None:
        self.minutes = 0

    def advance(self, trials: int, best: float | None) -> None:
        self.minutes += trials

    def now(self) -> float:
        return 60.0 * self.minutes


def test_it_ends_in_order_and_is_resumed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, spec = _Clock(), load_spec(_SPEC)
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", clock.now)
        part = run_sweep(spec, tracking_uri=uri, inline=True, shard_size=1, observer=clock, minutes=4)
    assert part.planned == 12
    assert 4 <= part.trials < 12
    assert part.table["number"].tolist() == list(range(part.trials))  # the first points of the sequence
    sweep = load_sweep(part.sweep, tracking_uri=uri)
    assert sweep.info.status == "KILLED"
    assert_same_trials(sweep.trials, part.table)
    _check_counts(part, uri)
    rest = run_for_json("resume", part.sweep, "--inline", "--tracking-uri", uri)
    assert (rest["trials"], rest["missing"]) == (12, 0)
    assert load_sweep(part.sweep, tracking_uri=uri).info.metrics["seconds"] > sweep.info.metrics["seconds"] >= 240
    assert "of 12" not in run_command("list", "--tracking-uri", uri).stdout
    assert "are recorded" not in run_command("top", part.sweep, "--tracking-uri", uri).stderr
    whole = run_sweep(spec, tracking_uri=uri, inline=True)
    assert_same_trials(load_sweep(part.sweep, tracking_uri=uri).trials, whole.table)


class _Failing(_Clock):
    """A clock as above, and a store that fails after three trials."""

    def advance(self, trials: int, best: float | None) -> None:
        super().advance(trials, best)
        if self.minutes >= 3:
            raise StoreError("the store failed")


def test_the_seconds_of_a_sweep_that_failed_and_of_one_interrupted_early_count(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, spec = _Failing(), load_spec(_SPEC)
    monkeypatch.setattr(time, "monotonic", clock.now)

    def seconds() -> float:
        return load_sweep("budget", tracking_uri=uri).info.metrics["seconds"]

    with pytest.raises(StoreError, match="the store failed"):
        run_sweep(spec, tracking_uri=uri, inline=True, shard_size=1, observer=clock)
    assert load_sweep("budget", tracking_uri=uri).info.status == "FAILED"
    assert seconds() == 60 * clock.minutes >= 180
    failed = seconds()

    def interrupted(*_: object) -> None:
        clock.minutes += 2
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service.run, "recovered_state", interrupted)  # while the recorded trials are read
        with pytest.raises(KeyboardInterrupt):
            run_sweep(spec, tracking_uri=uri, inline=True, resume="budget")
    assert seconds() == failed + 120
    healthy = _Clock()
    monkeypatch.setattr(time, "monotonic", healthy.now)
    result = run_sweep(spec, tracking_uri=uri, inline=True, resume="budget", observer=healthy)
    assert result.trials == 12
    assert seconds() == failed + 120 + 60 * healthy.minutes


def test_the_command_for_the_rest_trains_where_the_sweep_was_trained(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "monotonic", clock.now)
    part = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, shard_size=1, observer=clock, minutes=4)
    for inline, end in ((True, " --inline`"), (False, "`")):
        print_result(part, uri, inline=inline)
        assert f"`gradgrid resume {part.sweep} --tracking-uri {uri}{end} trains them" in capsys.readouterr().err


def _check_counts(part: SweepResult, uri: str) -> None:
    """Check that the commands say how many trials of how many an interrupted sweep has."""
    at = ("--tracking-uri", uri)
    note = (
        f"{part.trials} of 12 trials are recorded: {part.sweep} was interrupted; `gradgrid resume {part.sweep} "
        f"--tracking-uri {uri}` trains the rest"
    )
    assert note in run_command("top", part.sweep, *at).stderr
    assert note in run_command("show", part.sweep, *at).stderr
    assert f" {part.trials} of 12 " in run_command("list", *at).stdout
    assert run_for_json("list", *at)["sweeps"][0]["planned"] == 12
    other = run_sweep(load_spec(_SPEC, ("name=other",)), tracking_uri=uri, inline=True)
    assert note in run_for_json("top", part.sweep, other.sweep, *at)["notes"]


@pytest.mark.parametrize(
    ("status", "params", "text"),
    [
        ("KILLED", {}, "1,000 of 2,000"),
        ("RUNNING", {"refine": "to 1024"}, "1,000 of at most 2,000"),
        ("FAILED", {"search": "tpe"}, "1,000 of at most 2,000"),
        ("KILLED", {"search": "halving"}, "1,000 of 2,000"),
        ("FINISHED", {"search": "tpe"}, "1,000"),
    ],
)
def test_the_count_of_trials_says_of_how_many(status: str, params: dict[str, str], text: str) -> None:
    tags = {Tag.TRIALS: "2000"}
    assert SweepInfo("a", "b", "c", "1", "0", status, 0, tags, {}, params).count_text(1000) == text
    assert SweepInfo("a", "b", "c", "1", "0", status, 0, {}, {}, params).count_text(1000) == "1,000"


def test_a_budget_that_is_over_at_once_says_so_and_is_no_failure(uri: str) -> None:
    at = ("--inline", "--tracking-uri", uri)
    result = run_command("sweep", "xor", "--set", "grid.seed.range=2", "--minutes", "1e-9", *at)
    assert result.exit_code == 0
    assert "the budget of --minutes was over before any of the 96 trials was recorded" in result.stderr
    assert "so reading the data is in it, and starting Ray if the sweep uses Ray\n" in result.stderr
    assert "--inline --minutes N` goes on with a budget of N more minutes" in result.stderr
    assert "finished" not in result.stderr
    assert result.stdout == ""
    assert run_for_json("resume", "xor", *at)["trials"] == 96


@pytest.mark.parametrize("stopping", ["search={method: halving, trials: 9, first: 2}", "early_stopping={patience: 10}"])
def test_a_budget_that_is_over_before_a_comparison_says_that_trials_are_compared(stopping: str, uri: str) -> None:
    at = ("--minutes", "1e-9", "--inline", "--tracking-uri", uri)
    said = run_command("sweep", "xor", "--set", stopping, *at).stderr
    assert "trials are first compared and then recorded" in said
    assert "Ray" not in said


def test_a_budget_that_suffices_changes_nothing(uri: str) -> None:
    result = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True, minutes=60)
    assert (result.trials, result.planned) == (12, 12)
    assert load_sweep(result.sweep, tracking_uri=uri).info.status == "FINISHED"


def test_shards_of_a_search_follow_its_sequence() -> None:
    shards = list(make_plan(load_spec(_SPEC)).shards(1, size=2))
    assert [int(shard.numbers[0]) for shard in shards] == sorted(int(shard.numbers[0]) for shard in shards)
    assert sorted(n for shard in shards for n in shard.numbers.tolist()) == list(range(12))
    assert len({shard.architecture.activation for shard in shards[:4]}) == 2
