"""The values that a search drew, in intervals for figures; and a search as a sweep, to its report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.errors import SweepInterruptedError
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.plan import make_plan
from service.report.contents import gather
from service.results.axes import swept_axes
from service.results.intervals import INTERVALS, in_intervals, intervals_note
from service.run import run_sweep
from tests.service.conftest import run_command
from tests.service.observers import Interrupting
from tests.service.tables import assert_same_trials


def _table(rates: list[float]) -> pd.DataFrame:
    count = len(rates)
    return pd.DataFrame(
        {
            "params.learning_rate": np.repeat(rates, 2),
            "params.activation": [("relu", "tanh")[k % 2] for k in range(count) for _ in range(2)],
            "params.seed": [0, 1] * count,
        }
    )


def test_values_of_which_nearly_every_trial_has_its_own_are_put_into_intervals() -> None:
    rates = np.geomspace(1e-4, 1.0, 97).tolist()
    shown, names = in_intervals(_table(rates), ["learning_rate", "activation", "seed"])
    assert names == ["learning_rate"]
    (axis, _) = swept_axes(shown, ["learning_rate", "activation", "seed"])
    assert len(axis.values) == INTERVALS
    ratios = np.array(axis.values[1:]) / np.array(axis.values[:-1])
    np.testing.assert_allclose(ratios, 10 ** (4 / INTERVALS), rtol=1e-3)
    distance = np.abs(np.log10(shown["params.learning_rate"] / np.repeat(rates, 2)))
    assert distance.max() <= 2 / INTERVALS + 1e-3
    assert "learning rate: figures show them in 24 intervals" in intervals_note(names)


@pytest.mark.parametrize("rates", [np.linspace(0.1, 1, 30).tolist(), np.linspace(0.1, 1, 50).tolist() * 2])
def test_values_of_a_grid_and_few_values_stay(rates: list[float]) -> None:
    table = _table(rates)
    table["params.activation"] = ["relu"] * (len(table) // 2) + ["tanh"] * (len(table) // 2)
    shown, names = in_intervals(table, ["learning_rate", "activation", "seed"])
    assert names == []
    assert shown is table


def test_a_search_is_resumed_and_reported_and_verified(uri: str, tmp_path: Path) -> None:
    spec = load_spec(
        {
            "name": "search",
            "dataset": {"name": "moons", "samples": 40},
            "model": {"hidden": [3]},
            "steps": 8,
            "search": {"method": "sobol", "trials": 40},
            "grid": {
                "learning_rate": {"loguniform": [0.01, 10]},
                "init_scale": {"uniform": [0.5, 2]},
                "activation": ["relu", "tanh"],
                "seed": [0, 1],
            },
            "record": {"points": 3},
        }
    )
    with pytest.raises(SweepInterruptedError):
        run_sweep(spec, tracking_uri=uri, inline=True, shard_size=1, observer=Interrupting(5))
    resumed = run_sweep(spec, tracking_uri=uri, inline=True, resume=load_sweep("search", tracking_uri=uri).id)
    whole = run_sweep(spec, tracking_uri=uri, inline=True)
    assert resumed.table["trial"].tolist() == list(make_plan(spec).trial_ids)
    assert_same_trials(resumed.table, whole.table)
    sweep = load_sweep(whole.sweep, tracking_uri=uri)
    assert sweep.info.params["grid.learning_rate"] == "loguniform 0.01 to 10.0"
    assert sweep.info.params["search"] == "sobol"
    assert (sweep.leaderboard()["trials"] == 2).all()
    assert run_command("verify", whole.sweep, "--tracking-uri", uri).exit_code == 0
    contents = gather(sweep._store, sweep.info)
    assert all(len(axis.values) <= INTERVALS for axis in contents.axes)
    assert contents.importance == []
    assert "The search drew the values of learning rate and init scale" in contents.notes[0]
    page = tmp_path / "page.html"
    assert run_command("report", whole.sweep, "--tracking-uri", uri, "-o", str(page)).exit_code == 0
