"""A sweep is resumed some trials at a time: it may have more than memory holds."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from experiments.errors import SpecError, SweepInterruptedError
from experiments.spec import load_spec
from service.execution import recovery
from service.execution.plan import make_plan
from service.execution.recorded_plan import planned_trial
from service.execution.recovery import TrialNumbers, recovered_state
from service.execution.sweep_state import SweepState
from service.recording.parquet_parts import part_file
from service.recording.store import Store
from service.recording.trials_file import read_run_ids
from service.run import run_sweep
from tests.service.conftest import SPEC, Recorded
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials


def test_trials_are_found_by_their_ids(recorded: Recorded) -> None:
    ids = make_plan(recorded.resolved).trial_ids
    numbers = TrialNumbers(ids)
    assert numbers.of([ids[7], "a text of the user's", ids[0], ids[11], "ff" * 16]).tolist() == [7, -1, 0, 11, -1]
    assert numbers.of([]).tolist() == []
    assert TrialNumbers([]).of([ids[0]]).tolist() == [-1]


@pytest.mark.parametrize("runs", ["all", "summary", {"top": 3}])
def test_a_sweep_is_resumed_two_trials_at_a_time(
    recorded: Recorded, uri: str, monkeypatch: pytest.MonkeyPatch, runs: Any
) -> None:
    monkeypatch.setattr(recovery, "_AT_ONCE", 2)
    resolved = load_spec({**SPEC, "record": {**SPEC["record"], "runs": runs}})  # type: ignore[dict-item]
    with pytest.raises(SweepInterruptedError, match="7 of 12 trials are recorded"):
        run_sweep(resolved, tracking_uri=uri, inline=True, observer=Interrupting(7), shard_size=1)
    watching = Interrupting(1000)
    result = run_sweep(resolved, tracking_uri=uri, inline=True, resume="small", observer=watching)
    assert watching.done == 7
    assert result.recorded == 5
    assert_same_trials(result.table, recorded.result.table)
    assert list(result.table.dtypes) == list(run_sweep(resolved, tracking_uri=uri, inline=True).table.dtypes)


def test_whole_numbers_that_only_some_trials_have_stay_whole(uri: str) -> None:
    """They were read back as floats: 2**60 + 1 lost its last digits, and the table could not be written."""
    huge = 2**60 + 1
    grid = [{"seed": {"range": 3}}, {"seed": {"range": 3}, "batch_seed": [huge], "batch_size": [4]}]
    resolved = load_spec({**SPEC, "name": "whole", "grid": grid})
    with pytest.raises(SweepInterruptedError, match="4 of 6 trials are recorded"):
        run_sweep(resolved, tracking_uri=uri, inline=True, observer=Interrupting(4), shard_size=1)
    resumed = run_sweep(resolved, tracking_uri=uri, inline=True, resume="whole", shard_size=1)
    fresh = run_sweep(resolved, tracking_uri=uri, inline=True)
    store = Store(uri)
    tables = [pa.concat_tables(store.tables(store.find_sweep(result.sweep))) for result in (resumed, fresh)]
    assert tables[0].schema.types == tables[1].schema.types
    for table in tables:
        assert table.column("params.batch_seed").to_pylist() == [None] * 3 + [huge] * 3
        assert table.column("params.batch_size").to_pylist() == [None] * 3 + [4] * 3


def test_a_sweep_of_which_only_diverged_trials_are_recorded_is_resumed(recorded: Recorded) -> None:
    plan = make_plan(recorded.resolved)
    state = SweepState(plan)
    rows = pa.table({"number": [3, 1, 3], "outcome": ["diverged"] * 3, "trial": ["a", "b", "a"]})
    state.recover(rows)
    assert (state.done.tolist(), state.recorded, state.best) == ([1, 3], 2, None)
    state.recover(rows)
    assert state.recorded == 2
    state.close()


def test_a_shard_with_gaps_has_a_file_of_its_own() -> None:
    """The file of trials 0 and 99, trained again, must not replace that of trials 0 to 99."""
    table = pa.table({"number": [0, 99], "loss": [0.5, 0.25]})
    whole, _ = part_file("curves", np.arange(100), table)
    some, content = part_file("curves", np.array([0, 99]), table)
    others, _ = part_file("curves", np.array([0, 50, 99]), table)
    assert whole == "curves/00000000-00000099.parquet"
    assert len({whole, some, others}) == 3
    assert some.startswith("curves/00000000-00000099-")
    assert pa.parquet.read_table(io.BytesIO(content)).equals(table)


def test_runs_that_are_not_in_the_plan_are_left_alone(recorded: Recorded, uri: str) -> None:
    """Copies of runs of another sweep have the tag of a trial too."""
    other = load_spec({**SPEC, "steps": 7})
    done = run_sweep(other, tracking_uri=uri, inline=True)
    store = Store(uri)
    state = recovered_state(store, store.find_sweep(done.sweep), make_plan(recorded.resolved))
    assert (state.recorded, state.done.tolist()) == (0, [])
    state.close()


def test_a_table_of_an_early_version_has_no_runs(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"number": [0], "trial": ["a"]}), tmp_path / "trials.parquet")
    assert read_run_ids(tmp_path / "trials.parquet") == []


def test_a_trial_is_found_in_a_plan_that_numbers_it_otherwise(recorded: Recorded) -> None:
    plan, store = make_plan(recorded.resolved), Store(recorded.uri)
    trial = store.find_trial(recorded.result.table["run_id"][4])
    moved = replace(trial, tags={**trial.tags, "gradgrid.number": "9"})
    assert planned_trial(plan, moved).hyperparameters == planned_trial(plan, trial).hyperparameters
    assert np.array_equal(planned_trial(plan, moved).initial, planned_trial(plan, trial).initial)
    strange = replace(trial, tags={**trial.tags, "gradgrid.trial": "ff" * 16})
    with pytest.raises(SpecError, match=f"the sweep {trial.sweep} has no trial {'ff' * 16} in its plan any more"):
        planned_trial(plan, strange)
