"""The curve `sharpness` of a sweep: recorded, ranked by, verified and drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import sharpness
from experiments.errors import SpecError
from experiments.spec import load_spec
from service.api import load_sweep
from service.execution.plan import make_plan
from service.report.curve_panels import stability_limit
from service.results.axes import NO_AXIS, Axis
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json

_SPEC: dict[str, Any] = {
    "name": "edge",
    "dataset": {"name": "sine", "samples": 32, "noise": 0, "test_fraction": 0.25},
    "model": {"hidden": [6], "activation": "tanh"},
    "loss": "mean_squared_error",
    "steps": 60,
    "grid": {"learning_rate": [0.1, 0.4, 100.0], "seed": {"range": 2}},
    "record": {"points": 4, "sharpness": True},
}


@pytest.mark.parametrize("more", [{}, {"batch_size": 5}, {"dtype": "float32"}], ids=["batch", "minibatches", "float32"])
def test_each_point_is_that_of_the_weights_at_its_step(uri: str, more: dict[str, Any]) -> None:
    """The trials of the greatest rate diverge."""
    spec = load_spec({**_SPEC, **more})
    sweep = load_sweep(run_sweep(spec, tracking_uri=uri, inline=True).sweep, tracking_uri=uri)
    assert run_command("verify", sweep.id, "--tracking-uri", uri).exit_code == 0
    plan = make_plan(spec)
    architecture, dataset = plan.populations[0].architecture, plan.dataset
    model, training = architecture.model(architecture.widths(dataset)), dataset.training(architecture.loss, "identity")
    assert training is not None
    for _, trial in sweep.trials.iterrows():
        curve = dict(sweep._store.curve(trial["run_id"], "sharpness"))
        assert sorted(curve) == [step for step in (0, 20, 40) if step < trial["last_step"]] + [trial["last_step"]]
        weights = [tensor["values"] for tensor in sweep._store.final_weights(trial["run_id"]) or []]
        final = np.concatenate(weights)[None].astype(float)
        (expected,) = sharpness(model, architecture.loss_of(dataset), final, training)
        assert curve[trial["last_step"]] == trial["metrics.sharpness"] == expected
    assert (sweep.trials["outcome"] == "diverged").sum() == 2
    top = run_for_json("top", sweep.id, "--tracking-uri", uri, "--by", "sharpness", "--trials", "-n", "6")["top"]
    assert [trial["metrics"]["sharpness"] for trial in top] == sorted(sweep.trials["metrics.sharpness"][:4])


def test_identities_and_the_other_curves_are_those_without_it(uri: str) -> None:
    with_it = run_sweep(load_spec(_SPEC), tracking_uri=uri, inline=True).table
    without = run_sweep(load_spec({**_SPEC, "record": {"points": 4}}), tracking_uri=uri, inline=True).table
    names = [name for name in without if name != "run_id"]
    assert with_it[names].equals(without[names])
    assert set(with_it) - set(without) == {"metrics.sharpness"}


def test_the_dry_run_counts_its_rows_and_its_time() -> None:
    with_it, without = (make_plan(load_spec({**_SPEC, "record": {"points": 4, "sharpness": s}})) for s in (True, False))
    assert with_it.metric_rows - without.metric_rows == 6 * 4
    assert with_it.seconds > without.seconds


def test_the_report_has_a_frame_of_it(uri: str, tmp_path: Path) -> None:
    sweep = run_sweep(load_spec({**_SPEC, "steps": 300}), tracking_uri=uri, inline=True)
    page = tmp_path / "page.html"
    assert run_command("report", sweep.sweep, "--tracking-uri", uri, "-o", str(page)).exit_code == 0
    assert ">sharpness</" in page.read_text()
    assert "2 / learning rate" in page.read_text()


@pytest.mark.parametrize(
    ("params", "axis", "expected"),
    [
        ({"grid.learning_rate": "[0.25, 0.5]"}, Axis("learning_rate", (0.25, 0.5)), 4.0),
        ({"learning_rate": "0.1", "grid.activation": "[tanh, relu]"}, Axis("activation", ("tanh", "relu")), 20.0),
        ({"optimizer": "adam", "learning_rate": "0.1"}, NO_AXIS, None),
        ({"batch_size": "8", "learning_rate": "0.1"}, NO_AXIS, None),
        ({"learning_rate": "0.1", "learning_rate.layer1": "0.2"}, NO_AXIS, None),
        ({"learning_rate": "0.1", "drift.layer1": "0.2"}, NO_AXIS, None),
        ({"learning_rate": "0.1", "optimizer": "sgd", "model.hidden": "[4]"}, NO_AXIS, 20.0),
        ({"grid.optimizer": "[sgd, adam]", "learning_rate": "0.1"}, NO_AXIS, None),
        ({"grid.activation": "[tanh, relu]"}, Axis("activation", ("tanh", "relu")), None),
    ],
)
def test_plain_gradient_descent_has_a_limit_of_stability(
    params: dict[str, str], axis: Axis, expected: float | None
) -> None:
    assert stability_limit(params, axis, len(axis.values) - 1) == expected


def test_a_stopped_trial_has_it_too(uri: str) -> None:
    search = {"method": "halving", "first": 10, "factor": 3}
    sweep = run_sweep(load_spec({**_SPEC, "search": search}), tracking_uri=uri, inline=True)
    assert sweep.table["metrics.sharpness"][sweep.table["outcome"] == "stopped"].notna().all()
    assert run_command("verify", sweep.sweep, "--tracking-uri", uri).exit_code == 0


def test_a_network_that_is_too_large_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(
        "name: large\ndataset: {name: digits}\nmodel: {hidden: [70]}\nsteps: 5\ngrid: {seed: [0]}\n"
        "record:\n  points: 3\n  sharpness: true\n"
    )
    message = f"{file.name}:8: record.sharpness: 5,260 weights are too many (at most 5,000); leave it out"
    with pytest.raises(SpecError, match=re.escape(message)):
        make_plan(load_spec(file))
