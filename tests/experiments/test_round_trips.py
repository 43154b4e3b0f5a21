"""Any table, written in any dialect of CSV, is read as the same table in Parquet is, or is refused."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data.columns import Column
from experiments.data.number_formats import is_number
from experiments.data.readers import ReadOptions, read_file
from experiments.errors import DataError

_WORDS = st.text(st.characters(codec="cp1252", exclude_characters="\0\x1a"), max_size=6)
_CELLS = {
    "float": st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.5, 1.234, 12.5, 1234.5])),
    "whole": st.one_of(st.none(), st.integers(-(2**53), 2**53), st.integers(900, 1_100_000)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "text": st.one_of(
        st.none(),
        _WORDS.filter(lambda word: not is_number(word)),  # such words speak of signs that the table does not have
        st.sampled_from(["NA", "None", "nan", "a;b", "1,2,3", "v 1.234", "x\ny", '"', "True"]),
    ),
}


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(sorted(_CELLS)), min_size=2, max_size=4))
    rows = draw(st.integers(1, 6))
    types = {"float": pa.float64(), "whole": pa.int64(), "boolean": pa.bool_(), "text": pa.string()}
    return pa.table(
        {
            f"c{index}": pa.array(draw(st.lists(_CELLS[kind], min_size=rows, max_size=rows)), types[kind])
            for index, kind in enumerate(kinds)
        }
    )


def _written(value: Any, point: str, thousands: str) -> str:
    """Return a cell as a program with these signs writes it."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    text = repr(value)
    if thousands and "e" not in text and "inf" not in text:
        whole, _, fraction = text.partition(".")
        text = f"{int(whole):,}" if whole != "-0" else "-0"
        return text.replace(",", thousands) + (f"{point}{fraction}" if fraction else "")
    return text.replace(".", point)


@st.composite
def _dialects(draw: st.DrawFn) -> dict[str, Any]:
    separator = draw(st.sampled_from(",;\t|"))
    point = draw(st.sampled_from(".,"))
    signs = ["", " ", "'", *({",", "."} - {point} - ({"."} if separator == "," else set()))]
    return {
        "separator": separator,
        "point": point,
        "thousands": draw(st.sampled_from(sorted(signs))),
        "end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        "trailing": draw(st.booleans()),
        "says": draw(st.sets(st.sampled_from(["separator", "point", "thousands"]))),
    }


def _bytes(table: pa.Table, dialect: dict[str, Any]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=dialect["separator"], lineterminator=dialect["end"], quoting=dialect["quoting"])
    end = [""] if dialect["trailing"] else []
    writer.writerow([*table.column_names, *end])
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        writer.writerow([*(_written(cell, dialect["point"], dialect["thousands"]) for cell in row), *end])
    return file.getvalue().encode(dialect["encoding"])


def _options(dialect: dict[str, Any]) -> ReadOptions:
    says = dialect["says"]
    return ReadOptions(
        separator=dialect["separator"] if "separator" in says else None,
        decimal=dialect["point"] if "point" in says else None,
        thousands=(dialect["thousands"] or None) if "thousands" in says else None,
        encoding="cp1252" if dialect["encoding"] == "cp1252" else None,
    )


def test_a_table_is_the_same_in_every_dialect_and_in_parquet_or_is_refused(tmp_path: Path) -> None:
    """A refusal is for a file that could be read in two ways; few can."""
    seen: Counter[str] = Counter()

    @settings(max_examples=250, deadline=None)
    @given(table=_tables(), dialect=_dialects())
    def check(table: pa.Table, dialect: dict[str, Any]) -> None:
        pq.write_table(table, tmp_path / "own.parquet")
        (tmp_path / "own.csv").write_bytes(_bytes(table, dialect))
        parquet = read_file(tmp_path / "own.parquet", ReadOptions())
        try:
            text = read_file(tmp_path / "own.csv", _options(dialect))
        except DataError:
            seen["files refused"] += 1
            return
        seen["files read"] += 1
        assert [column.name for column in text.columns] == [column.name for column in parquet.columns]
        for one, other in zip(text.columns, parquet.columns, strict=True):
            if "unsupported" in (one.kind, other.kind):
                seen["columns refused"] += 1
                continue
            seen["columns read"] += 1
            assert (one.kind, _bits(one)) == (other.kind, _bits(other))
            assert one.integer == other.integer or one.is_empty

    check()
    assert seen["files read"] > 10 * seen["files refused"]
    assert seen["columns read"] > 10 * seen["columns refused"]


def _bits(column: Column) -> Any:
    return column.values.tolist() if column.kind == "text" else np.nan_to_num(column.values, nan=1e-300).tobytes()
