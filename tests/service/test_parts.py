"""Custom functions in a sweep: named in its file, trained by every kernel, recorded with it, sent with a job."""

from pathlib import Path

import pytest

from experiments.errors import SpecError
from experiments.spec import load_spec
from service.execution.jobs import _package
from service.execution.plan import make_plan
from service.execution.recorded_plan import recorded_spec
from service.recording.store import Store
from service.run import run_sweep
from tests.service.conftest import run_command, run_for_json, write_spec

_TEXT = """
import numpy as np

from engine.operations import sin
from engine.parts import activation, initializer, loss


@activation
def snake(x):
    return x + sin(x) ** 2


@loss
def quartic(predictions, targets):
    error = predictions[0] - targets[0]
    return error**4


@initializer
def halves(rng, shape):
    return rng.choice([-0.5, 0.5], size=shape)
"""
_SPEC = {
    "name": "own",
    "parts": "parts.py",
    "dataset": {"name": "sine", "samples": 20},
    "model": {"hidden": [3], "initializer": "halves"},
    "loss": "quartic",
    "steps": 10,
    "grid": {"activation": ["tanh", "snake"], "kernel": ["compiled", "reference"], "seed": {"range": 2}},
    "record": {"points": 3},
}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "parts.py").write_text(_TEXT, encoding="utf-8")
    return write_spec(tmp_path, _SPEC)


@pytest.mark.slow
def test_custom_parts_train_in_ray_tasks_as_here_and_are_recorded_with_the_sweep(
    spec: str, uri: str, tmp_path: Path
) -> None:
    through_ray = run_sweep(load_spec(spec), tracking_uri=uri, workers=1)
    here = run_sweep(load_spec(spec), tracking_uri=f"sqlite:///{tmp_path / 'other.db'}", inline=True)
    assert through_ray.table["metrics.loss"].tolist() == here.table["metrics.loss"].tolist()
    assert set(here.table["params.activation"]) == {"tanh", "snake"}
    (tmp_path / "parts.py").unlink()
    store = Store(uri)
    assert recorded_spec(store, store.find_sweep("own")).parts.text == _TEXT
    assert run_command("verify", "own", "--tracking-uri", uri).exit_code == 0


def test_a_trial_with_a_custom_part_gets_a_new_id_if_the_file_changes(spec: str, uri: str, tmp_path: Path) -> None:
    first = make_plan(load_spec(spec, ("model.initializer=zeros", "loss=huber")))
    run_sweep(load_spec(spec), tracking_uri=uri, inline=True)
    (tmp_path / "parts.py").write_text(_TEXT + "\n# changed\n", encoding="utf-8")
    second = make_plan(load_spec(spec, ("model.initializer=zeros", "loss=huber")))
    same = set(first.trial_ids) & set(second.trial_ids)
    assert len(same) == first.trials // 2  # those of tanh use none
    with pytest.raises(SpecError, match="its parts changed"):
        run_sweep(load_spec(spec), tracking_uri=uri, inline=True, resume="own")


def test_a_job_takes_custom_parts_along(spec: str) -> None:
    with _package(load_spec(spec)) as folder:
        assert (folder / "parts.py").read_text(encoding="utf-8") == _TEXT
        assert list(make_plan(load_spec(folder / "own.yaml")).trial_ids) == list(make_plan(load_spec(spec)).trial_ids)


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (None, (), r"own.yaml:1: parts: parts.py can't be read: .*No such file"),
        ("@activation", (), r"own.yaml:1: parts: parts.py:1: not valid Python"),
        (
            _TEXT.replace("x + sin(x) ** 2", "np.tanh(x)"),
            (),
            r"parts.py:8: activation snake: it can't be traced \(parts",
        ),
        (_TEXT, ("grid.activation=[snaky]",), "no activation is called 'snaky'; did you mean 'snake'"),
        (_TEXT, ("loss=snake",), "no loss is called 'snake'"),
    ],
)
def test_unusable_parts_are_refused(tmp_path: Path, text: str | None, changes: tuple[str, ...], message: str) -> None:
    if text is not None:
        (tmp_path / "parts.py").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        load_spec(write_spec(tmp_path, _SPEC), changes)


_ROOT = """
from engine.operations import log, select, sqrt
from engine.parts import activation


@activation
def root(x):
    return select(x, 0.0, 0.0, sqrt(x))


@activation
def logarithm(x):
    return log(x)
"""


def test_a_branch_that_is_not_taken_does_no_harm(uri: str, tmp_path: Path) -> None:
    """At and below 0 sqrt has no finite derivative. The trials train all the same, in every kernel and dtype."""
    (tmp_path / "parts.py").write_text(_ROOT, encoding="utf-8")
    axes = {"activation": ["root"], "kernel": ["compiled", "reference"], "dtype": ["float64", "float32"]}
    spec = {
        "name": "roots",
        "parts": "parts.py",
        "dataset": {"name": "moons", "samples": 60},
        "model": {"hidden": [6]},
        "learning_rate": 0.3,
        "steps": 300,
        "grid": {**axes, "seed": {"range": 3}},
    }
    result = run_sweep(load_spec(write_spec(tmp_path, spec)), tracking_uri=uri, inline=True)
    assert result.diverged == 0
    assert (result.table["metrics.accuracy"] > 0.75).all()
    assert run_command("verify", "roots", "--tracking-uri", uri).exit_code == 0


def test_a_part_that_is_not_finite_everywhere_is_noted_before_it_trains(uri: str, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(_ROOT, encoding="utf-8")
    spec = {
        "name": "logs", "parts": "parts.py", "dataset": {"name": "moons"}, "model": {"hidden": [2]}, "steps": 2,
        "grid": {"activation": ["logarithm", "root"]},
    }  # fmt: skip
    path = write_spec(tmp_path, spec)
    note = "activation logarithm: its value at x = -3 is nan (13 of 25 inputs tried"
    assert note in run_command("sweep", path, "--dry-run").stdout
    (noted,) = run_for_json("sweep", path, "--dry-run")["notes"]
    assert noted.startswith(note)
    run = run_command("sweep", path, "--inline", "--tracking-uri", uri)
    assert run.exit_code == 0
    assert f"note: {note}" in run.stderr
    assert "root:" not in run.stderr
