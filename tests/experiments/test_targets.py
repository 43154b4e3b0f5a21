"""Targets: one rule for every kind of file, and cells that are not numbers."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError


def _load(folder: Path, file: str = "own.csv", **spec: Any) -> Dataset:
    return load_dataset(DatasetSpec.model_validate({"path": file, "target": "y", **spec}), folder)


def _nuclei(**cells: str) -> str:
    """Return 40 rows of numbers; `line25="?"` puts a cell into the second column of that line."""
    rows = [[str(k % 7), str(1 + k % 9), str(k * k % 2)] for k in range(40)]
    for line, cell in cells.items():
        rows[int(line.removeprefix("line")) - 2][1] = cell
    return "\n".join(["size,nuclei,y", *(",".join(row) for row in rows)])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"line25": "?"},
            r"own.csv, line 25: column 'nuclei' holds '\?', which is not a number \(1 such cell; 39 hold",
        ),
        ({"line25": "?", "line30": "n/a"}, r"line 25: column 'nuclei' holds '\?', .* \(2 such cells; 38 hold numbers"),
        ({"line3": "two"}, r"own.csv, line 3: column 'nuclei' holds 'two'"),
    ],
)
def test_a_cell_among_numbers_that_is_not_one_is_named_with_its_line(
    tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    (tmp_path / "own.csv").write_text(_nuclei(**cells), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path)
    first = next(iter(cells.values()))
    assert f'na_values: ["{first}"] and missing: drop, mean or median' in str(caught.value)
    assert "encode: {nuclei: one_hot}" in str(caught.value)


def test_the_ways_out_that_a_message_names_work(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(_nuclei(line25="?"), encoding="utf-8")
    dropped = _load(tmp_path, na_values=["?"], missing="drop", test_fraction=0)
    assert (len(dropped.training_targets), dropped.dropped) == (39, 1)
    encoded = _load(tmp_path, encode={"nuclei": "one_hot"}, test_fraction=0)
    assert "nuclei=?" in encoded.feature_names


def test_a_stray_word_does_not_turn_a_numeric_target_into_classes(tmp_path: Path) -> None:
    rows = [f"{k % 13},{k * 1.5 + 0.25}" for k in range(60)]
    rows[23] = "3,?"
    (tmp_path / "own.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
    message = r"own.csv, line 25: the target 'y' is not a number: it holds '\?' \(1 such cell; 59 hold numbers\)"
    for task in (None, "regression"):
        with pytest.raises(DataError, match=message):
            _load(tmp_path, task=task)
    data = _load(tmp_path, na_values=["?"], missing="drop")
    assert (data.task, data.dropped) == ("regression", 1)


def test_labels_with_words_in_late_rows_are_words_throughout(tmp_path: Path) -> None:
    """400 columns x 3,000 rows, labels 0/1, from row 2,500 on `unknown`."""
    rng = np.random.default_rng(0)
    labels = [str(k % 2) for k in range(2_500)] + ["unknown"] * 500
    frame = pd.DataFrame(rng.normal(size=(3_000, 400)).round(2)).add_prefix("f").assign(y=labels)
    frame.to_csv(tmp_path / "own.csv", index=False)
    data = _load(tmp_path)
    assert (data.task, data.classes) == ("classification", ("0", "1", "unknown"))
    assert np.bincount(data.training_targets.astype(int)).sum() == 2_250


def test_a_class_called_na_is_a_word(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(60) % 7, "y": ["EU", "NA", "AS"] * 20})
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    data, same = _load(tmp_path), _load(tmp_path, "own.parquet")
    assert data.classes == same.classes == ("AS", "EU", "NA")
    assert data.fingerprint == same.fingerprint


@pytest.mark.parametrize("task", [None, "regression"])
def test_decimal_prices_are_a_regression_target(tmp_path: Path, task: str | None) -> None:
    prices = [Decimal(100 * k + 50 + k) / 100 for k in range(60)]
    table = pa.table({"x": [k % 11 for k in range(60)], "y": pa.array(prices, pa.decimal128(8, 2))})
    pyarrow.parquet.write_table(table, tmp_path / "own.parquet")
    data = _load(tmp_path, "own.parquet", task=task, test_fraction=0)
    assert data.task == "regression"
    assert data.training_targets.tolist() == [float(price) for price in prices]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([True, False] * 10, ("False", "True")),
        ([3, 1, 10, 3] * 5, ("1", "3", "10")),
        ([2.5, 1.5] * 10, ("1.5", "2.5")),
        (["b", "a", "10", "9"] * 5, ("10", "9", "a", "b")),
    ],
)
def test_one_table_is_one_data_set_in_every_kind_of_file(
    tmp_path: Path, values: list[Any], classes: tuple[str, ...]
) -> None:
    frame = pd.DataFrame({"x": np.arange(20) % 7, "t": np.arange(20) % 3 == 0, "y": values})
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    if isinstance(values[0], bool | int | str):
        nullable = frame.convert_dtypes()
        nullable.to_parquet(tmp_path / "nullable.parquet")
        frame.astype({"y": "category"}).to_parquet(tmp_path / "category.parquet")
    found = [_load(tmp_path, path.name, task="classification") for path in sorted(tmp_path.iterdir())] + [
        load_dataset(
            DatasetSpec.model_validate({"target": "y", "task": "classification"}, context={"given": True}),
            tmp_path,
            frame,
        )
    ]
    assert {data.classes for data in found} == {classes}
    assert len({data.fingerprint for data in found}) == 1


def test_the_name_of_a_whole_class_is_that_of_its_cells(tmp_path: Path) -> None:
    """It must stay: a fingerprint holds the names of the classes."""
    for ending in ("", ".0"):
        rows = [f"{k % 7},{k % 2}{ending}" for k in range(20)]
        (tmp_path / "own.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
        assert _load(tmp_path).classes == (f"0{ending}", f"1{ending}")
        pd.read_csv(tmp_path / "own.csv").to_parquet(tmp_path / "own.parquet")
        assert _load(tmp_path, "own.parquet").fingerprint == _load(tmp_path).fingerprint


def test_a_split_that_fails_says_what_to_do(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(30) % 7, "y": [100 + k for k in range(19)] + [100] * 11})
    frame.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match=r"18 of the 19 classes of 'y' have a single sample, such as '101'"):
        _load(tmp_path)
    with pytest.raises(DataError, match=r"write task: regression under dataset if the target is a number"):
        _load(tmp_path)
    assert _load(tmp_path, task="regression").task == "regression"
    frame.assign(y=["a"] * 29 + ["b"]).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(
        DataError, match="1 of the 2 classes of 'y' has a single sample, such as 'b', and a class needs two; name"
    ) as caught:
        _load(tmp_path)
    assert "regression" not in str(caught.value)


def test_booleans_are_refused_as_a_regression_target(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2, 4], "y": [True, False, True]}).to_parquet(tmp_path / "own.parquet")
    with pytest.raises(DataError, match="the target 'y' is not a number: it holds booleans"):
        _load(tmp_path, "own.parquet", task="regression")


@pytest.mark.parametrize("column", ["when", "y"])
def test_dates_are_refused_where_they_are_used(tmp_path: Path, column: str) -> None:
    frame = pd.DataFrame({"x": [1, 2, 4, 3], "when": pd.date_range("2026-01-01", periods=4), "y": [0.5, 1, 2, 4]})
    if column == "y":
        frame = frame[["x", "when"]].rename(columns={"when": "y"})
    frame.to_parquet(tmp_path / "own.parquet")
    with pytest.raises(DataError, match=f"own.parquet: column '{column}' "):
        _load(tmp_path, "own.parquet", test_fraction=0)
    if column == "when":
        assert _load(tmp_path, "own.parquet", features=["x"], test_fraction=0).feature_names == ("x",)


def test_a_message_is_short_for_any_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": ["1", "2", "?" * 5_000, "4"], "y": [0.5, 1, 2, 4]})
    frame.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match=r"line 4: column 'x' holds '\?+\.\.\., .* na_values with that cell") as caught:
        _load(tmp_path)
    assert len(str(caught.value)) < 500
    frame = pd.DataFrame({f"column {k}": [1, 2, 4] for k in range(3_000)})
    frame.to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match=r"known: column 0, .* and 2960 more") as caught:
        _load(tmp_path)
    assert len(str(caught.value)) < 1_000


def test_a_message_on_timestamps_names_the_column_once(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=4), "y": [0, 1, 0, 1]})
    frame.to_parquet(tmp_path / "own.parquet")
    with pytest.raises(DataError, match=r"^own\.parquet: column 'when' holds timestamps of type timestamp\[us\]"):
        _load(tmp_path, "own.parquet")
