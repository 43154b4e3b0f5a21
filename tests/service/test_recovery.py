"""A sweep is resumed some trials at a time: it may have more than memory holds."""

from typing import Any

import pytest

from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.execution import recovery
from service.execution.plan import make_plan
from service.execution.recovery import TrialNumbers
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
