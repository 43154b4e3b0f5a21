"""Two ways to divide the text of a CSV into rows, which agree."""

import csv
import io
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from experiments.data.csv_dialect import Dialect
from experiments.data.csv_rows import _split_exactly, _split_fast


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@example(rows=[["", '""1']], quoting=csv.QUOTE_MINIMAL, raw=True)
@given(
    rows=st.lists(st.lists(st.text('a1.,; "\r\n\t', max_size=4), min_size=2, max_size=2), min_size=1, max_size=5),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    raw=st.booleans(),
)
def test_the_fast_way_to_divide_rows_agrees_with_the_exact_one(rows: list[list[str]], quoting: Any, raw: bool) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n", quoting=quoting)
    file.write("x,y\n")
    for row in rows:
        file.write(",".join(row) + "\n") if raw else writer.writerow(row)
    data = file.getvalue().encode()
    fast = _split_fast(data, 1, 2, Dialect(","))
    assume(fast is not None)
    assert fast is not None
    exact = _split_exactly(data, 1, ["x", "y"], Dialect(","), "own.csv")
    assert [[_trimmed(c) for c in column.to_pylist()] for column in fast[0]] == [
        [_trimmed(c) for c in column.to_pylist()] for column in exact[0]
    ]
    assert fast[1].tolist() == exact[1].tolist()


@pytest.mark.parametrize(("block", "threads"), [(1 << 24, False), (8, True)])
def test_only_a_file_of_several_blocks_starts_threads(
    block: int, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow can abort a process that ends while its threads start: a refusal right after reading a small file."""
    given: list[bool] = []

    def read_csv(*args: Any, **options: Any) -> Any:
        given.append(options["read_options"].use_threads)
        return pyarrow_read(*args, **options)

    pyarrow_read = pa.csv.read_csv
    monkeypatch.setattr(pa.csv, "read_csv", read_csv)
    monkeypatch.setattr("experiments.data.csv_rows._BLOCK", block)
    cells = _split_fast(b"x,y\n1,2\n3,4\n5,6\n", 1, 2, Dialect(","))
    assert cells is not None
    assert [column.to_pylist() for column in cells[0]] == [["1", "3", "5"], ["2", "4", "6"]]
    assert given == [threads]


def _trimmed(cell: str) -> str:
    return cell.strip()
