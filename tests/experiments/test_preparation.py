"""From columns to inputs: words, empty cells and constants, fitted on the training part alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from engine.inputs import InputColumn, network_inputs
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError, SpecError
from experiments.spec import load_spec

_ENCODE = {"encode": "one_hot"}
_CITIES = ["Rome", "Paris", "Oslo", "Rome"]


def _load(folder: Path, frame: pd.DataFrame | None = None, **spec: Any) -> Dataset:
    if frame is not None:
        frame.to_csv(folder / "own.csv", index=False)
    return load_dataset(DatasetSpec.model_validate({"path": "own.csv", "target": "y", **spec}), folder)


def _people(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 70, rows).astype(float),
            "city": [_CITIES[k] for k in rng.integers(0, 4, rows)],
            "member": rng.random(rows) < 0.5,
            "y": rng.normal(size=rows).round(3),
        }
    )


def _with_gaps(rows: int = 40) -> pd.DataFrame:
    frame = _people(rows)
    frame.loc[[2, 5, 11, 30], "age"] = np.nan
    return frame


def _tested_rows(folder: Path, frame: pd.DataFrame) -> list[int]:
    """Return the rows of the test part, in the order of the table."""
    numbered = frame.assign(row=np.arange(len(frame)) ** 2)
    data = _load(folder, numbered, features=["row"], standardize=False)
    return [int(row) for row in np.sqrt(data.test_features[:, 0]).round()]


def test_words_become_an_input_each_as_scikit_learn_encodes_them(tmp_path: Path) -> None:
    frame = _people()
    data = _load(tmp_path, frame, encode="one_hot", standardize=False, test_fraction=0)
    assert data.feature_names == ("age", "city=Oslo", "city=Paris", "city=Rome", "member")
    expected = OneHotEncoder(sparse_output=False).fit_transform(frame[["city"]])
    assert (data.training_features[:, 1:4] == expected).all()
    assert (data.training_features[:, 0] == frame["age"]).all()


def test_categories_stay_0_and_1_when_numbers_are_standardised(tmp_path: Path) -> None:
    data = _load(tmp_path, _people(), encode={"city": "one_hot"})
    assert set(data.training_features[:, 1:4].ravel()) == {0.0, 1.0}
    np.testing.assert_allclose(data.training_features[:, [0, 4]].std(axis=0), 1)
    assert data.center[1:4].tolist() == [0, 0, 0]


def test_a_category_of_the_test_part_alone_is_0_everywhere_and_noted(tmp_path: Path) -> None:
    frame = _people()
    tested = _tested_rows(tmp_path, frame)
    frame.loc[tested[3], "city"] = "Bergen"
    data = _load(tmp_path, frame, encode="one_hot")
    assert data.feature_names[1:4] == ("city=Oslo", "city=Paris", "city=Rome")
    assert data.test_features[:, 1:4].sum(axis=1).tolist() == [float(k != 3) for k in range(10)]
    (note,) = data.notes
    assert note.startswith("'city': 'Bergen' only in the test part")


def test_a_column_of_numbers_can_be_encoded(tmp_path: Path) -> None:
    frame = _people().assign(zip=[10, 75001, 9] * 13 + [10])
    data = _load(tmp_path, frame, features=["zip", "member"], encode={"zip": "one_hot", "member": "one_hot"})
    assert data.feature_names == ("zip=9", "zip=10", "zip=75001", "member=False", "member=True")


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_empty_cells_are_filled_from_the_training_part_as_scikit_learn_does(tmp_path: Path, rule: str) -> None:
    frame = _with_gaps()
    data = _load(tmp_path, frame, features=["age", "member"], missing=rule, standardize=False)
    test = _tested_rows(tmp_path, frame)
    training = [k for k in range(40) if k not in test]
    imputer = SimpleImputer(strategy=rule).fit(frame[["age"]].iloc[training])
    np.testing.assert_allclose(data.training_features[:, :1], imputer.transform(frame[["age"]].iloc[training]))
    np.testing.assert_allclose(data.test_features[:, :1], imputer.transform(frame[["age"]].iloc[test]))
    assert data.filled == 4
    assert any(note.startswith(f"4 empty cells of 'age' became the training part's {rule}, ") for note in data.notes)


def test_rows_with_empty_cells_are_dropped_before_the_split(tmp_path: Path) -> None:
    frame = _with_gaps()
    frame.loc[7, "y"] = np.nan
    frame.loc[8, "city"] = None
    data = _load(tmp_path, frame, encode="one_hot", missing="drop")
    whole = _load(tmp_path, frame.dropna(), encode="one_hot")
    assert data.fingerprint == whole.fingerprint
    assert data.dropped == 6
    assert "6 rows were left out for an empty cell; 34 remain" in data.notes
    assert whole.notes == ()


def test_each_column_has_its_own_rule(tmp_path: Path) -> None:
    frame = _with_gaps()
    frame.loc[7, "y"] = np.nan
    frame.loc[8, "city"] = None
    rules = {"age": "median", "y": "drop", "city": "drop"}
    data = _load(tmp_path, frame, encode={"city": "one_hot"}, missing=rules)
    assert (data.dropped, data.filled) == (2, 4)


@pytest.mark.parametrize(
    ("change", "spec", "message"),
    [
        ({"age": [None, 5.0]}, _ENCODE, r"line 2: column 'age' is empty \(1 such cell\); write missing: drop, m"),
        ({"y": [1.0, None]}, {"missing": "mean", **_ENCODE}, "line 3: column 'y' is empty .*; write missing: drop"),
        ({"city": ["a", None]}, {**_ENCODE, "missing": "mean"}, "column 'city' is empty .* or write a word"),
        ({}, {"missing": {"city": "mean"}, **_ENCODE}, "'city' is a column of categories, which has no mean"),
        ({}, {"missing": {"y": "median"}, **_ENCODE}, "'y' is the target, which has no median"),
        ({}, {"missing": {"agee": "mean"}}, "dataset.missing: no feature or target is called 'agee'; did you mean"),
        ({}, {"encode": {"town": "one_hot"}}, "dataset.encode: no feature is called 'town'; known:"),
        ({}, {"encode": {"y": "one_hot"}}, "dataset.encode: no feature is called 'y'"),
        ({}, {}, r"line 2: column 'city' holds '\w+', which is not a number \(40 such cells\); write encode: one_hot"),
        ({"age": [None] * 40}, {**_ENCODE, "missing": "drop"}, "column 'age' is empty in every row"),
        ({"age": [None] * 40}, {**_ENCODE, "missing": "mean"}, "column 'age' is empty in every row"),
        ({"age": [None] * 39, "city": [*"a" * 39, None]}, {**_ENCODE, "missing": "drop"}, "no row is left"),
        ({"age": [1e308, -1e308]}, _ENCODE, "'age' has numbers too large to standardise"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_prepared(
    tmp_path: Path, change: Mapping[str, list[Any]], spec: dict[str, Any], message: str
) -> None:
    frame = _people()
    for name, cells in change.items():
        frame[name] = [*cells, *frame[name].tolist()[len(cells) :]]
    with pytest.raises(DataError, match=message):
        _load(tmp_path, frame, **spec)


def test_a_column_with_too_many_categories_is_refused(tmp_path: Path) -> None:
    frame = _people(150).assign(city=[f"c{k}" for k in range(150)])
    with pytest.raises(
        DataError, match=r"column 'city' has 112 categories in the training part; at most 100 can be encod"
    ):
        _load(tmp_path, frame, encode="one_hot")


def test_a_column_empty_in_the_training_part_has_no_mean(tmp_path: Path) -> None:
    frame = _people()
    tested = _tested_rows(tmp_path, frame)
    frame.loc[~frame.index.isin(tested), "age"] = np.nan
    with pytest.raises(DataError, match="column 'age' is empty in every row of the training part, so it has no mean"):
        _load(tmp_path, frame, features=["age", "member"], missing="mean")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"encode": "onehot"}, r"dataset.encode: should be one_hot, or .* {age: one_hot}; not 'onehot'; did you mean"),
        ({"encode": {"city": "onehot"}}, r"not {'city': 'onehot'}; did you mean 'one_hot'\?"),
        ({"missing": "zero"}, "dataset.missing: should be refuse, drop, mean or median, or a mapping of columns"),
        ({"missing": {"age": "zero"}}, "dataset.missing: should be refuse, drop, mean or median"),
        ({"missing": {}}, "dataset.missing: should be refuse, drop"),
    ],
)  # fmt: skip
def test_unknown_rules_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec({"name": "own", "dataset": {"path": "own.csv", "target": "y", **keys}})
    with pytest.raises(SpecError, match="dataset"):
        load_spec({"name": "own", "dataset": {"name": "moons", "missing": "drop"}})


# ------------------------------------------------------------------------------------------------------- constants


def test_a_constant_feature_becomes_0_with_scale_1_and_is_named(tmp_path: Path) -> None:
    """0.03 in all 60 rows: its mean is not 0.03, so its deviation was 3e-18."""
    frame = pd.DataFrame({"rate": [0.03] * 60, "x": np.arange(60) % 7, "y": np.arange(60) % 3})
    data = _load(tmp_path, frame, test_fraction=0)
    assert not data.training_features[:, 0].any()
    assert (data.center[0], data.scale[0]) == (0.03, 1.0)
    assert "constant in the training part, so nothing can be learned from it: 'rate'" in data.notes
    assert (0.0301 - data.center[0]) / data.scale[0] == pytest.approx(1e-4)


def test_values_that_differ_by_rounding_alone_are_constant(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sum": [0.3, 0.1 + 0.2] * 30, "x": np.arange(60) % 7, "y": np.arange(60) % 3})
    data = _load(tmp_path, frame, test_fraction=0)
    assert np.abs(data.training_features[:, 0]).max() < 1e-15
    assert data.scale[0] == 1


def test_small_differences_that_are_real_are_standardised(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": 1.7e9 + np.arange(60) % 7 * 1e-3, "x": np.arange(60) % 5, "y": np.arange(60) % 3})
    data = _load(tmp_path, frame, test_fraction=0)
    np.testing.assert_allclose(data.training_features[:, 0].std(), 1)
    assert data.notes == ()


# ------------------------------------------------------------------------------------------------- plain values


def test_a_data_set_is_remembered_by_plain_values(tmp_path: Path) -> None:
    data = _load(tmp_path, _with_gaps(), encode="one_hot", missing="mean")
    again = Dataset.from_facts(data.facts)
    assert (again.training_features == data.training_features[:5]).all()
    assert (again.feature_names, again.columns) == (data.feature_names, data.columns)
    assert again.facts == {**data.facts, "notes": []}


def test_facts_that_an_older_gradgrid_kept_have_numbers_alone() -> None:
    facts = {
        "name": "own", "task": "regression", "feature_names": ["a", "b"], "classes": [], "fingerprint": "f",
        "center": [1.0, 2.0], "scale": [2.0, 1.0], "examples": [[3.0, 2.0], [1.0, 5.0]],
    }  # fmt: skip
    data = Dataset.from_facts(facts)
    assert data.columns == (InputColumn("a"), InputColumn("b"))
    assert data.training_features.tolist() == [[1.0, 0.0], [0.0, 3.0]]


def test_inputs_of_a_table() -> None:
    columns = (
        InputColumn("age", fill=30.5),
        InputColumn("city", "text", categories=("Oslo", "Rome")),
        InputColumn("zip", categories=("7", "0.5")),
    )
    city = np.array(["Rome", "Bergen", "Oslo"], dtype=object)
    table = [np.array([1.0, np.nan, 3.0]), city, np.array([7.0, 0.5, 1.0])]
    assert network_inputs(columns, table).tolist() == [[1, 0, 1, 1, 0], [30.5, 0, 0, 0, 1], [3, 1, 0, 0, 0]]
    assert columns[1].unknown(city) == ("Bergen",)
    assert [InputColumn.from_facts(column.facts) for column in columns] == list(columns)


def test_a_table_of_words_alone_has_nothing_to_standardise(tmp_path: Path) -> None:
    data = _load(tmp_path, _people(), features=["city"], encode="one_hot")
    assert set(data.training_features.ravel()) == {0.0, 1.0}
    assert (data.center.tolist(), data.scale.tolist()) == ([0, 0, 0], [1, 1, 1])


@pytest.mark.parametrize(("one", "other"), [("Rome", "rome"), ("Rome", "Rome\u200b"), ("caf\u00e9", "cafe\u0301")])
def test_words_that_look_alike_are_noted(tmp_path: Path, one: str, other: str) -> None:
    frame = _people().assign(city=[one, other, "Oslo", "Rio"] * 10)
    (note,) = _load(tmp_path, frame, encode="one_hot", test_fraction=0).notes
    assert note.startswith("the categories ")
    assert f"{one!a}" in note
    assert f"{other!a}" in note
    (note,) = _load(tmp_path, frame.rename(columns={"city": "y", "y": "x"}), test_fraction=0).notes
    assert note.startswith("the classes ")
    assert "of 'y' differ only in case, blanks or invisible characters" in note


def test_a_category_may_not_have_the_name_of_a_column(tmp_path: Path) -> None:
    frame = _people().assign(**{"city=Oslo": np.arange(40) % 7})
    with pytest.raises(DataError, match="own: two inputs would be called 'city=Oslo'"):
        _load(tmp_path, frame, encode="one_hot")
