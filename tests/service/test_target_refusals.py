"""Several target columns that do not go together, or not with other keys: messages with file, line and what to do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.errors import DataError, SpecError
from experiments.source import read_yaml
from experiments.spec import check_spec
from service.execution.plan import make_plan

_ROWS = 24


def _frame() -> pd.DataFrame:
    """Return two features and two targets."""
    k = np.arange(_ROWS)
    return pd.DataFrame({"a": k * 7 % 11, "b": k * k % 13 / 4, "y": k * 5 % 17 / 8, "z": k * k % 23 * 125.5})


def _plan_error(folder: Path, frame: pd.DataFrame, dataset: str, more: str = "") -> str:
    """Return the message about a sweep file whose dataset section has these lines; the first is line 4."""
    frame.to_csv(folder / "own.csv", index=False)
    text = f"name: own\ndataset:\n  path: own.csv\n{dataset}\nsteps: 2\n{more}"
    with pytest.raises((SpecError, DataError)) as caught:
        make_plan(check_spec(read_yaml(text, "own.yaml", folder)))
    return str(caught.value)


def test_an_empty_target_is_named_with_its_line_and_is_never_filled(tmp_path: Path) -> None:
    frame = _frame().assign(z=_frame()["z"].where(np.arange(_ROWS) != 5))
    message = _plan_error(tmp_path, frame, "  target: [y, z]\n  missing: {y: drop}")
    assert message.startswith("own.yaml:3: dataset: own.csv, line 7: column 'z' is empty (1 such cell); write missing")
    assert "a target is never filled" in message
    assert "'y' is the target, which has no mean" in _plan_error(
        tmp_path, frame, "  target: [y, z]\n  missing: {y: mean}"
    )


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("  target: [y, y]", "own.yaml:4: dataset.target: the column 'y' is listed twice; list it once"),
        ("  target: []", "own.yaml:4: dataset.target: should be the name of a column, or a list of names"),
        ("  target: [y, 3]", "own.yaml:4: dataset.target: should be the name of a column, or a list of names"),
        ("  target: {y: 1}", "own.yaml:4: dataset.target: should be the name of a column, or a list of names"),
        ("  target: [y, zz]", "own.yaml:4: dataset.target: own.csv has no column 'zz' for the target; did you"),
        (
            "  target: [y, z]\n  features: [a, z]",
            "own.yaml:5: dataset.features: own.csv: dataset.features names the target 'z'",
        ),
        (
            "  target: [y, z]\n  sample_weight: z",
            "own.yaml:5: dataset.sample_weight: own.csv: the column 'z' has weights and is a target; name another",
        ),
        ("  target: [y, z]\n  split: y", "own.yaml:5: dataset.split: own.csv: the column 'y' says which row is which"),
        (
            "  target: [y, z]\n  task: classification",
            "own.yaml:5: dataset.task: several targets are numbers to predict, without classes; write task: regression",
        ),
        (
            "  target: [y, z]\n  class_weight: balanced",
            "own.yaml:5: dataset.class_weight: several targets are numbers to predict, without classes; remove class_w",
        ),
        (
            "  target: [y, z]\n  classes: [a, b]",
            "own.yaml:5: dataset.classes: several targets are numbers to predict, without classes; remove classes, or",
        ),
        (
            "  target: [y, word]",
            ("own.yaml:4: dataset.target: own.csv: the target 'word' is not a number: it holds words, such as 'u'; "
             "make it a column of numbers, or name it alone under dataset.target to predict its classes"),
        ),
        (
            "  target: [y, stray]",
            "own.yaml:4: dataset.target: own.csv, line 5: the target 'stray' is not a number: it holds '?' (1 such",
        ),
        (
            "  target: [y, flag]",
            "own.yaml:4: dataset.target: own.csv: the target 'flag' holds booleans, and several targets are numbers to",
        ),
        (
            "  target: [bit, other]",
            ("own.yaml:4: dataset.target: own.csv: the target 'bit' holds 2 different whole numbers, which may be "
             "classes, and several targets are numbers to predict; write task: regression if they are quantities"),
        ),
        ("  target: [y, gap]", "own.csv: column 'gap' is empty in every row; name another column to predict"),
        ("  target: [y, far]", "own.csv, line 4: column 'far' is infinite (1 such cell)"),
        ("  target: [y, huge]", "own.csv: the target 'huge' has numbers too large to standardise; give them"),
        (
            "  target: word\n  standardize_target: true",
            "own.yaml:5: dataset.standardize_target: own: the target has classes, which are not standardised; remove",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, dataset: str, message: str) -> None:
    k = np.arange(_ROWS)
    frame = _frame().assign(
        word=np.array(["u", "v"])[k % 2], stray=np.where(k == 3, "?", (k * 1.5).astype(str)), flag=k % 2 == 0,
        bit=k % 2, other=(k + k // 3) % 2, gap=None, far=np.where(k == 2, np.inf, k / 3), huge=(k - 12.5) * 1e307,
    )  # fmt: skip
    used = "" if "features" in dataset else "\n  features: [a, b]"
    found = _plan_error(tmp_path, frame, dataset + used)
    assert message in found.replace("own: the target 'huge'", "own.csv: the target 'huge'")


def test_a_table_has_a_feature_besides_its_targets(tmp_path: Path) -> None:
    message = _plan_error(tmp_path, _frame()[["y", "z"]], "  target: [y, z]")
    assert "own.csv has no column for a feature besides the targets 'y', 'z': add one" in message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("loss: hinge", "own.yaml:6: loss: hinge needs classes, but own has a regression target"),
        ("grid:\n  dataset.class_weight: [balanced]", "own.yaml:7: grid.dataset.class_weight: own has a regression"),
        (
            "record: {measures: [f1_macro]}",
            "own.yaml:6: record.measures: f1_macro is for classification, and own has a",
        ),
    ],
)
def test_what_needs_classes_is_refused(tmp_path: Path, more: str, message: str) -> None:
    assert message in _plan_error(tmp_path, _frame(), "  target: [y, z]", more)
