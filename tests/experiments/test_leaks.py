"""Features that give the answer away, and columns that are not features."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError

_RNG = np.random.default_rng(3)
_CLASSES = _RNG.integers(0, 3, 40)
_PRICES = _RNG.normal(size=40).round(2)
_X = _RNG.normal(size=40).round(3)


def _load(folder: Path, columns: dict[str, Any], **spec: Any) -> Dataset:
    pd.DataFrame({"x": _X, **columns}).to_parquet(folder / "own.parquet")
    return load_dataset(
        DatasetSpec.model_validate({"path": "own.parquet", "target": "y", "encode": "one_hot", **spec}), folder
    )


@pytest.mark.parametrize(
    ("copy", "target", "how"),
    [
        (_PRICES, _PRICES, "equals the target 'y' in every row"),
        (_PRICES.astype("float32"), _PRICES, "equals the target 'y' in every row"),
        (_CLASSES, _CLASSES, "equals the target 'y' in every row"),
        (_CLASSES + 7, _CLASSES, "goes one to one with the classes of the target 'y'"),
        (np.array(["low", "mid", "high"])[_CLASSES], _CLASSES, "goes one to one with the classes of the target 'y'"),
        (_CLASSES == 0, np.where(_CLASSES == 0, "yes", "no"), "goes one to one with the classes of the target 'y'"),
    ],
)
def test_a_copy_of_the_target_is_refused_unless_it_is_named(tmp_path: Path, copy: Any, target: Any, how: str) -> None:
    columns = {"copy": copy, "y": target}
    with pytest.raises(DataError, match=f"own: the feature 'copy' {how}, .* such as 'x', under dataset.features"):
        _load(tmp_path, columns)
    assert _load(tmp_path, columns, features=["x"]).notes == ()
    (note,) = _load(tmp_path, columns, features=["x", "copy"]).notes
    assert note == f"the feature 'copy' {how}: a network can just copy it"


def test_a_copy_with_empty_cells_is_one(tmp_path: Path) -> None:
    copy = np.where(np.arange(40) == 4, np.nan, _PRICES)
    with pytest.raises(DataError, match="the feature 'copy' equals the target"):
        _load(tmp_path, {"copy": copy, "y": _PRICES}, missing="mean")


def test_the_target_among_the_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.features names the target 'y'"):
        _load(tmp_path, {"y": _PRICES}, features=["x", "y"])


@pytest.mark.parametrize(
    ("column", "target", "note"),
    [
        (np.arange(40), _PRICES, "the feature 'more' counts the rows: it looks like a row number"),
        (np.arange(1, 41), _CLASSES, "the feature 'more' counts the rows: it looks like a row number"),
        (_RNG.permutation(40), _PRICES, "the feature 'more' counts the rows: it looks like a row number"),
        ([f"p{k}" for k in range(40)], _PRICES, "the feature 'more' has a different word in every row"),
        (_PRICES * 100 + 32, _PRICES, "the target 'y' is a straight line of the feature 'more'"),
        (_CLASSES * 10 + np.arange(40) % 2, _CLASSES, "each value of the feature 'more' goes with one class of 'y'"),
        (np.arange(40) % 8, (np.arange(40) % 8) ** 2 + 0.5, "each value of the feature 'more' goes with one value"),
        (np.exp(_PRICES), _PRICES, "the target 'y' is in the order of the feature 'more'"),
        (-(_PRICES**3).round(1), _PRICES, "the target 'y' is in the order of the feature 'more'"),
        (np.where(_PRICES < 0, "low", "high"), _PRICES, "each value of the feature 'more' goes with a range of 'y'"),
        (np.digitize(_PRICES, [-0.5, 0.5]), _PRICES, "each value of the feature 'more' goes with a range of 'y'"),
        (np.r_[0.5, _PRICES[1:]], _PRICES, "the feature 'more' equals the target 'y' in 39 of 40 rows"),
        (_CLASSES == 1, _CLASSES, "each class of 'y' goes with one value of the feature 'more'"),
        (_CLASSES * 10 + _PRICES, _CLASSES, "the classes of 'y' are ranges of the feature 'more'"),
        (np.arange(1001, 1041), _PRICES, "the feature 'more' counts the rows: it looks like a row number"),
    ],
)  # fmt: skip
def test_features_that_may_give_the_answer_away_or_say_nothing_are_noted(
    tmp_path: Path, column: Any, target: Any, note: str
) -> None:
    notes = _load(tmp_path, {"more": column, "y": target}, test_fraction=0).notes
    assert [text[: len(note)] for text in notes] == [note]
    assert "leave it out with dataset.features" in notes[0]


@pytest.mark.parametrize("name", ["id", "patient_id", "PassengerId", "Kunden-Nr"])
def test_a_key_by_its_name_and_its_numbers_is_noted(tmp_path: Path, name: str) -> None:
    keys = np.random.default_rng(7).choice(10**6, 40, replace=False)
    (note,) = _load(tmp_path, {name: keys, "y": _PRICES}).notes
    assert note.startswith(f"the feature {name!r} has a different whole number in every row: it looks like a key")
    assert _load(tmp_path, {name: keys % 9, "y": _PRICES}).notes == ()
    assert _load(tmp_path, {"fluid": keys, "y": _PRICES}).notes == ()


def test_ordinary_features_have_no_note(tmp_path: Path) -> None:
    """The ages of docs/own-data.md are counted, but do not number the rows."""
    text = "age,parents,y\n4,171,102\n5,168,108\n6,180,121\n7,175,125\n8,166,127\n9,172,135\n10,179,144\n"
    (tmp_path / "heights.csv").write_text(text + "11,169,145\n12,174,152\n13,181,162\n14,170,163\n15,177,172\n")
    spec = DatasetSpec(path="heights.csv", target="y", task="regression")
    assert load_dataset(spec, tmp_path).notes == ()
    assert _load(tmp_path, {"flag": _CLASSES == 2, "y": _PRICES}).notes == ()
    assert load_dataset(DatasetSpec(name="iris"), tmp_path).notes == ()


def test_a_curve_of_a_single_feature_has_no_note(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("x,y\n" + "".join(f"{k},{k * k / 7}\n" for k in range(20)), encoding="utf-8")
    assert load_dataset(DatasetSpec(path="curve.csv", target="y"), tmp_path).notes == ()
