"""Notes on custom functions that are not finite everywhere."""

from pathlib import Path
from typing import Any

import pytest

from experiments.data.datasets import load_dataset
from experiments.data.variants import Datasets
from experiments.part_notes import part_notes
from experiments.spec import load_spec
from experiments.trials import make_grid

_TEXT = """
from engine.operations import log, select, sqrt
from engine.parts import activation, loss

@activation
def root(x):
    return sqrt(x)

@activation
def safe(x):
    return select(x, 0.0, 0.0, sqrt(x))

@loss
def likelihood(predictions, targets):
    p, t = predictions[0], targets[0]
    return -(t * log(p) + (1.0 - t) * log(1.0 - p))
"""


def _notes(folder: Path, **changes: Any) -> tuple[str, ...]:
    (folder / "parts.py").write_text(_TEXT, encoding="utf-8")
    data = {"name": "own", "parts": str(folder / "parts.py"), "dataset": {"name": "moons"}, **changes}
    resolved = load_spec(data)
    dataset = load_dataset(resolved.spec.dataset, folder)
    return part_notes(
        [population.architecture for population in make_grid(resolved, Datasets.of(dataset)).populations], dataset
    )


def test_an_activation_that_is_not_finite_everywhere_is_noted_once(tmp_path: Path) -> None:
    (note,) = _notes(tmp_path, model={"hidden": [3]}, grid={"activation": ["root", "safe", "tanh"], "steps": [1, 2]})
    assert note.startswith("activation root: its value at x = -3 is nan (13 of 25 inputs tried")
    assert note.endswith("give it another value there with select, as in select(x, 0.0, 0.0, sqrt(x))")


def test_an_activation_that_no_trial_uses_is_not_noted(tmp_path: Path) -> None:
    assert _notes(tmp_path, model={"hidden": [3]}, grid={"activation": ["safe", "tanh"]}) == ()


@pytest.mark.parametrize(
    ("output", "start"), [("identity", "loss likelihood: its value at prediction = -3"), ("sigmoid", "")]
)
def test_a_loss_is_tried_on_the_range_of_the_output(tmp_path: Path, output: str, start: str) -> None:
    notes = _notes(tmp_path, model={"hidden": [3], "output": output}, loss="likelihood")
    assert [note[: len(start)] for note in notes] == [start] * bool(start)
