"""Notes of a dry run on settings that have no effect: they name file and line."""

from pathlib import Path

import pytest

from experiments.spec import load_spec
from service.execution.plan import make_plan

_FILE = """\
name: notes
dataset: {name: moons, samples: 100}
steps: 30
batch_size: 75
grid:
  seed: {range: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a sweep file with 75 training samples."""
    path = tmp_path / "own.yaml"
    path.write_text(_FILE)
    return str(path)


def _notes(file: str, *assignments: str) -> tuple[str, ...]:
    return make_plan(load_spec(file, assignments)).notes


def test_a_batch_of_all_samples_is_no_mistake(file: str) -> None:
    assert _notes(file) == ()
    assert _notes(file, "batch_size=null", "grid.batch_size=[8,75,null]") == ()


def test_a_batch_of_more_samples_than_there_are_is_noted(tmp_path: Path, file: str) -> None:
    Path(file).write_text(_FILE.replace("75", "76"))
    (note,) = _notes(file)
    assert note.startswith("own.yaml:4: batch_size: 76 is more than the 75 training samples, so an update takes all")
    Path(file).write_text(_FILE.replace("batch_size: 75\n", "").replace("grid:", "grid:\n  batch_size: [8, 90, 1000]"))
    (note,) = _notes(file)
    assert note.startswith("own.yaml:5: grid.batch_size: 90 or 1,000 is more than the 75 training samples")


def test_the_least_data_set_counts(file: str) -> None:
    Path(file).write_text(
        _FILE.replace(", samples: 100", "").replace("grid:", "grid:\n  dataset.samples: [40, 100, 48]")
    )
    (note,) = _notes(file, "batch_size=50")
    assert "50 is more than the 30 training samples of a data set" in note


def test_steps_that_early_stopping_can_not_shorten_are_noted(file: str) -> None:
    Path(file).write_text(_FILE.replace("steps: 30\n", "").replace("grid:", "grid:\n  steps: [10, 20, 21]"))
    (note,) = _notes(file, "early_stopping.patience=20")
    assert note.startswith("own.yaml:5: grid.steps: 10 or 20 is not more than early_stopping.patience, 20, so these")
    assert _notes(file, "early_stopping.patience=9") == ()
