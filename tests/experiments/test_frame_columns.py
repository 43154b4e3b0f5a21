"""Columns of data frames, by their types and their values."""

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.readers import read_frame
from experiments.errors import DataError
from tests.experiments.raw_tables import values_of

_NAN = float("nan")


@pytest.mark.parametrize(
    ("series", "kind", "values"),
    [
        (pd.Series([1, pd.NA, 3], dtype="Int64"), "number", [1, None, 3]),
        (pd.Series([True, pd.NA], dtype="boolean"), "boolean", [1, None]),
        (pd.Series([1.5, pd.NA], dtype="Float32"), "number", [1.5, None]),
        (pd.Series(["a", pd.NA], dtype="string[pyarrow]"), "text", ["a", None]),
        (pd.Series([1, 2], dtype="int64[pyarrow]"), "number", [1, 2]),
        (pd.Series(pd.Categorical(["b", None, "a"])), "text", ["b", None, "a"]),
        (pd.Series(pd.Categorical([2.5, 1], ordered=True)), "number", [2.5, 1]),
        (pd.Series(pd.arrays.SparseArray([0, 1.5])), "number", [0, 1.5]),
        (pd.Series([np.float16(1.5), _NAN], dtype="float16"), "number", [1.5, None]),
        (pd.Series([1, None, decimal.Decimal("2.5"), np.int8(3)], dtype=object), "number", [1, None, 2.5, 3]),
        (pd.Series([True, None, np.bool_(False)], dtype=object), "boolean", [1, None, 0]),
        (pd.Series(["a", None, _NAN, pd.NA, pd.NaT], dtype=object), "text", ["a", None, None, None, None]),
        (pd.Series([1, "a", 2.5], dtype=object), "text", ["1", "a", "2.5"]),
        (pd.Series([True, 1], dtype=object), "text", ["True", "1"]),
        (pd.Series([None, None], dtype=object), "number", [None, None]),
        (pd.Series([2**70, 1], dtype=object), "number", [2.0**70, 1]),
        (pd.Series(["7", "3"]), "number", [7, 3]),
    ],
)
def test_types_of_data_frames(series: Any, kind: str, values: list[Any]) -> None:
    frame = pd.DataFrame({"x": series, "row": range(len(series))})
    column = read_frame(frame).columns[0]
    assert (column.kind, values_of(column)) == (kind, values)


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(pd.period_range("2020", periods=2)),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
        pd.Series(pd.cut([1, 2], 2)),
        pd.Series([1j, 2]),
        pd.Series([[1], [2, 3]]),
        pd.Series([datetime.date(2020, 1, 1), "a"], dtype=object),
        pd.Series([object(), 1], dtype=object),
    ],
)
def test_columns_of_a_data_frame_that_cannot_be_used(series: Any) -> None:
    column = read_frame(pd.DataFrame({"x": series, "y": [1, 2]})).columns[0]
    assert column.kind == "unsupported"
    assert "column 'x' holds" in str(column.problem)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2, 3]], columns=["a", "y", "y"]), "data: columns 2 and 3 are both called 'y'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "data: columns 1 and 2 are both called '1'"),
        (pd.DataFrame([[1, 2]], columns=["a", None]), "data: column 2 has no name"),
        (
            pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
            "data: the column names have 2 levels",
        ),
    ],
)
def test_names_of_data_frames(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_frame(frame)
    assert [c.name for c in read_frame(pd.DataFrame([[1, 2.5]])).columns] == ["0", "1"]


def test_times_of_a_zone_in_a_frame_are_left_out_without_a_warning() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=2, tz="UTC"), "x": [1, 2]})
    when, x = read_frame(frame).columns
    assert "column 'when' holds timestamps of type" in str(when.problem)
    assert (when.kind, x.kind) == ("unsupported", "number")


def test_text_that_holds_numbers_alone_is_numbers_as_in_a_csv_and_says_so() -> None:
    assert read_frame(pd.DataFrame({"x": ["1", "2"], "y": ["a", "b"]})).notes == (
        "column 'x' is text, but holds only numbers: it is read as numbers, as in a CSV.",
    )
