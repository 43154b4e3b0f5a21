"""`gradgrid extend`: adds trials to a recorded sweep and trains only those, to the bits of one sweep of all of them."""

from collections.abc import Sequence
from typing import Any

import pytest

from experiments.errors import SpecError, SweepInterruptedError
from experiments.spec import check_spec, load_spec
from service.api import RecordedSweep, load_sweep
from service.execution.plan import make_plan
from service.execution.recorded_plan import extended_spec
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials

_SPEC: dict[str, Any] = {
    "name": "grows",
    "dataset": {"name": "moons", "samples": 40},
    "model": {"hidden": [3]},
    "steps": 6,
    "learning_rate": 0.1,
    "grid": {"activation": ["relu", "tanh"], "seed": {"range": 2}},
    "record": {"points": 3},
}
_SEARCH: dict[str, Any] = {
    **{name: value for name, value in _SPEC.items() if name != "learning_rate"},
    "search": {"method": "sobol", "trials": 5},
    "grid": {"learning_rate": {"loguniform": [0.01, 1]}, "activation": ["relu", "tanh"], "seed": {"range": 2}},
}


def _run(uri: str, **changes: Any) -> RecordedSweep:
    result = run_sweep(load_spec({**_SPEC, **changes}), tracking_uri=uri, inline=True)
    return load_sweep(result.sweep, tracking_uri=uri)


@pytest.mark.parametrize("runs", ["all", "summary", {"top": 3}])
def test_more_seeds_and_values_are_added_and_what_was_there_stays(uri: str, runs: Any) -> None:
    sweep = _run(uri, record={"points": 3, "runs": runs})
    before = sweep.trials
    extended = sweep.extend("grid.seed.range=4", "grid.activation=[tanh, sin]", inline=True)
    after = extended.trials
    assert (len(before), len(after)) == (4, 4 + 2 + 4)
    assert_same_trials(after.head(4), before)
    whole = _run(uri, grid=[_SPEC["grid"], {"activation": ["tanh", "sin"], "seed": {"range": 4}}])
    columns = [name for name in after.columns if name != "run_id"]
    assert_same_trials(after[[*columns, "run_id"]], whole.trials[[*columns, "run_id"]])
    assert extended.info.trial_count == 10
    assert extended.info.status == "FINISHED"
    assert extended.info.params["extend.1"] == "grid.seed.range=4 grid.activation=[tanh, sin]"
    assert run_command("verify", sweep.id, "--tracking-uri", uri).exit_code == 0
    assert len(extended.curves("loss")) == 3 * 10
    best = extended.leaderboard()
    assert set(best["activation"]) == {"relu", "tanh", "sin"}


def test_only_new_trials_are_trained(uri: str) -> None:
    sweep = _run(uri)
    before = sweep.trials
    trained = run_for_json("extend", sweep.id, "--set", "grid.seed.range=3", "--inline", "--tracking-uri", uri)
    assert (trained["trials"], trained["sweep"]) == (6, sweep.id)
    after = load_sweep(sweep.id, tracking_uri=uri).trials
    assert before["run_id"].tolist() == after.head(4)["run_id"].tolist()
    assert after["params.seed"].tolist() == [0, 1, 0, 1, 2, 2]


def test_a_block_of_its_own_is_added(uri: str) -> None:
    sweep = _run(uri).extend("grid={hidden: [[4]], seed: [0]}", inline=True)
    assert sweep.trials["params.hidden"].tolist() == ["[3]"] * 4 + ["[4]"]


def test_a_value_outside_the_grid_becomes_an_axis(uri: str) -> None:
    sweep = (
        _run(uri).extend("learning_rate=0.3", "steps=9", inline=True).extend("grid.init_scale=[0.5, 1]", inline=True)
    )
    assert sweep.info.swept == ["activation", "seed", "steps", "learning_rate", "init_scale"]
    configurations = sweep.trials[["params.learning_rate", "params.steps", "params.init_scale"]].drop_duplicates()
    assert sorted(configurations.itertuples(index=False, name=None)) == [
        (0.1, 6, 1.0), (0.3, 9, 0.5), (0.3, 9, 1.0),
    ]  # fmt: skip
    with_axis = _run(uri).extend("grid.learning_rate=[0.1, 0.2]", inline=True)
    assert with_axis.trials["params.learning_rate"].value_counts().to_dict() == {0.1: 4, 0.2: 4}


def test_a_trial_of_more_steps_has_the_bits_of_one_long_run(uri: str) -> None:
    extended = _run(uri, schedule="cosine").extend("steps=12", inline=True).trials
    alone = _run(uri, schedule="cosine", steps=12).trials
    longer = extended[extended["params.steps"] == 12].reset_index(drop=True)
    assert longer["trial"].tolist() == alone["trial"].tolist()
    assert longer["metrics.loss"].tolist() == alone["metrics.loss"].tolist()


@pytest.mark.parametrize("runs", ["all", "summary"])
def test_a_search_goes_on_with_its_sequence(uri: str, runs: str) -> None:
    spec = {**_SEARCH, "record": {"points": 3, "runs": runs}}
    result = run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    extended = load_sweep(result.sweep, tracking_uri=uri).extend("search.trials=9", inline=True)
    alone = run_sweep(load_spec({**spec, "search": {"method": "sobol", "trials": 9}}), tracking_uri=uri, inline=True)
    assert_same_trials(extended.trials, alone.table)
    more = extended.extend("grid.seed.range=3", inline=True)
    assert more.trials["params.seed"].value_counts().to_dict() == {0: 9, 1: 9, 2: 9}


def test_an_interrupted_extension_is_resumed(uri: str) -> None:
    sweep = _run(uri)
    spec = extended_spec(sweep._store, sweep.info, ["grid.seed.range=9"])
    with pytest.raises(SweepInterruptedError):
        run_sweep(
            spec, tracking_uri=uri, inline=True, resume=sweep.id, extend=True, shard_size=1, observer=Interrupting(2)
        )
    assert run_for_json("resume", sweep.id, "--inline", "--tracking-uri", uri)["trials"] == 18
    assert load_sweep(sweep.id, tracking_uri=uri).trials["trial"].tolist() == list(make_plan(spec).trial_ids)


def test_the_dry_run_tells_what_is_new_and_writes_nothing(uri: str) -> None:
    sweep = _run(uri)
    shown = run_command("extend", sweep.id, "--set", "grid.seed.range=5", "--dry-run", "--tracking-uri", uri).stdout
    assert "grows: 10 trials, 6 of them new" in shown
    assert "extend.1  6 trials: 2 activation x 5 seed, 4 equal to earlier ones" in shown
    assert "MLflow    6 runs" in shown
    assert "extensions" not in sweep._store.spec(sweep.info)
    assert len(sweep.trials) == 4


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["grid.seed.range=2"], "--set grid.seed.range=2: the sweep SWEEP has all of these trials"),
        (["record.points=4"], "--set record.points=4: an extension adds trials to a sweep, and record is the same for"),
        (["dataset.noise=0.2"], "and dataset is the same for all of them; start a new sweep"),
        (["grid.sed.range=3"], "--set grid.sed.range=3: no hyperparameter is called 'sed'; did you mean 'seed'?"),
        (["seed=3"], "seed is in the grid and outside it; remove one of them"),
        (["momentum=0.5"], "--set momentum=0.5: momentum: no trial of this sweep uses momentum"),
        (["grid.seed.range=90000000"], "the grid has 180,000,000 trials"),
        (["loss=hinge"], "the sweep SWEEP ranks its trials by test_loss, and these could only be ranked by"),
    ],
)
def test_a_wrong_extension_is_named_and_changes_nothing(uri: str, assignments: Sequence[str], message: str) -> None:
    sweep = _run(uri)
    given = [word for text in assignments for word in ("--set", text)]
    result = run_command("extend", sweep.id, *given, "--inline", "--tracking-uri", uri)
    assert result.exit_code == 2
    assert message.replace("SWEEP", sweep.id) in result.stderr
    assert "extensions" not in sweep._store.spec(sweep.info)
    assert load_sweep(sweep.id, tracking_uri=uri).info.status == "FINISHED"


def test_a_wrong_extension_in_a_spec_is_named() -> None:
    spec = load_spec({**_SPEC, "extensions": [["grid.seed.range=3"], ["grid.seed.range=5"]]})
    assert [block.name for block in spec.blocks] == ["grid", "extend.1", "extend.2"]
    assert make_plan(spec).trials == 10
    with pytest.raises(SpecError, match=r"--set grid\.sed=1: no hyperparameter is called 'sed'"):
        load_spec({**_SPEC, "extensions": [["grid.sed=1"]]})
    with pytest.raises(SpecError, match="extensions"):
        load_spec({**_SPEC, "extensions": "grid.seed.range=3"})
    check_spec(spec.source)
