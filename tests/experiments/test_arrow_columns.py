"""Columns of Parquet files, by their types."""

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.data.readers import ReadOptions, read_file
from tests.experiments.raw_tables import values_of

_NAN = float("nan")


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([decimal.Decimal("12.30"), None, decimal.Decimal("-0.07")]), "number", [12.3, None, -0.07]),
        (pa.array([True, None]), "boolean", [1, None]),
        (pa.array([1, None], pa.int8()), "number", [1, None]),
        (pa.array([1, 2**64 - 2048], pa.uint64()), "number", [1, 2.0**64 - 2048]),
        (pa.array([1.5, None], pa.float16()), "number", [1.5, None]),
        (pa.array([1.5, _NAN, math.inf], pa.float32()), "number", [1.5, None, math.inf]),
        (pa.array(["b", None, "", " a "]).dictionary_encode(), "text", ["b", None, None, "a"]),
        (pa.array([3, 1, None]).dictionary_encode(), "number", [3, 1, None]),
        (pa.array(["NA", "None"], pa.large_string()), "text", ["NA", "None"]),
        (pa.array([None, None]), "number", [None, None]),
        (pa.array(["1.5", "2"]), "number", [1.5, 2]),
        (pa.array(["True", None]), "boolean", [1, None]),
    ],
)
def test_types_of_parquet(tmp_path: Path, array: Any, kind: str, values: list[Any]) -> None:
    pq.write_table(pa.table({"x": array, "row": pa.array(range(len(array)))}), tmp_path / "own.parquet")
    table = read_file(tmp_path / "own.parquet", ReadOptions())
    assert (table.columns[0].kind, values_of(table.columns[0])) == (kind, values)
    assert table.unit == "row"
    assert table.lines.tolist() == list(range(1, len(array) + 1))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (pa.array([datetime.datetime(2020, 1, 1), None]), "timestamps of type timestamp"),
        (pa.array([datetime.date(2020, 1, 1), None]), "dates of type date32"),
        (pa.array([datetime.time(1), None]), "times of day of type time64"),
        (pa.array([datetime.timedelta(1), None]), "durations of type duration"),
        (pa.array([b"a", None]), "bytes of type binary"),
        (pa.array([[1.0], None]), "nested values of type list"),
        (pa.array([{"a": 1}, None]), "nested values of type struct"),
        (pa.array([datetime.date(2020, 1, 1), None]).dictionary_encode(), "dates of type date32"),
    ],
)
def test_an_unsupported_type_is_refused_only_where_it_is_needed(tmp_path: Path, array: Any, words: str) -> None:
    pq.write_table(pa.table({"when": array, "x": [1, 2]}), tmp_path / "own.parquet")
    when, x = read_file(tmp_path / "own.parquet", ReadOptions()).columns
    assert (when.kind, when.empty.tolist()) == ("unsupported", [False, True])
    assert f"column 'when' holds {words}" in str(when.problem)
    assert "dataset.features" in str(when.problem)
    assert x.kind == "number"
