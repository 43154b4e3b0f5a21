"""Each way in which people write a table is read as a person would read it, or refused by name and line."""

import codecs
import csv
import datetime
import decimal
import gzip
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from experiments.data.columns import BadNumbers, Column, RawTable
from experiments.data.csv_dialect import Dialect
from experiments.data.csv_rows import _split_exactly, _split_fast
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.number_formats import is_number
from experiments.data.readers import ReadOptions, read_file, read_frame, read_options
from experiments.errors import DataError


def _read(folder: Path, text: str | bytes, name: str = "own.csv", **options: Any) -> RawTable:
    data = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(data)
    return read_file(folder / name, ReadOptions(**options))


def _values(column: Column) -> list[Any]:
    return [None if value is None or value != value else value for value in column.values.tolist()]


def _cells(table: RawTable) -> dict[str, list[Any]]:
    """Column -> its values, None where empty; an unsupported column is the word."""
    return {c.name: [c.kind] if c.kind == "unsupported" else _values(c) for c in table.columns}


def _kinds(table: RawTable) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


# ------------------------------------------------------------------------------------------------- one type a column


def test_a_column_has_one_type_whatever_its_length(tmp_path: Path) -> None:
    rows = [f"{n % 2},1" if n < 30_000 else "unknown,2" for n in range(32_000)]
    labels, numbers = _read(tmp_path, "\n".join(["y,x", *rows])).columns
    assert (labels.kind, numbers.kind) == ("text", "number")
    assert {type(value) for value in labels.values} == {str}
    assert labels.bad_numbers == BadNumbers(2_000, 30_000, "unknown")


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ("1 2.5 -3e2 +4 .5 6. 007", "number", [1, 2.5, -300, 4, 0.5, 6, 7]),
        ("1 nan NaN -nan 2", "number", [1, None, None, None, 2]),
        ("1 inf -Infinity", "number", [1, math.inf, -math.inf]),
        ("True false TRUE", "boolean", [1, 0, 1]),
        ("True 0", "text", ["True", "0"]),
        ("EU NA AS None null n/a NaN", "text", ["EU", "NA", "AS", "None", "null", "n/a", "NaN"]),
        ("1_000 2", "text", ["1_000", "2"]),
        ("0x10 2", "text", ["0x10", "2"]),
        ("nan(1) 2", "text", ["nan(1)", "2"]),
        ("١ 2", "text", ["١", "2"]),
        ("1.2.3 4", "text", ["1.2.3", "4"]),
        ("yes no", "text", ["yes", "no"]),
    ],
)
def test_kinds(tmp_path: Path, cells: str, kind: str, values: list[Any]) -> None:
    table = _read(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in cells.split()))
    assert (table.columns[0].kind, _values(table.columns[0])) == (kind, values)


def test_only_an_empty_cell_is_empty_and_blanks_around_a_cell_do_not_count(tmp_path: Path) -> None:
    table = _read(tmp_path, 'x,y, z\n1, dog ,\n,"",4\n"", "a, b", 5 \n"  ",c,6\n')
    assert _cells(table) == {"x": [1, None, None, None], "y": ["dog", None, "a, b", "c"], "z": [None, 4, 5, 6]}
    assert table.columns[1].empty.tolist() == [False, True, False, False]


def test_a_cell_that_is_not_a_number_is_named_with_its_line(tmp_path: Path) -> None:
    rows = ["x,nuclei", *(f"{n},{n}" for n in range(2, 42))]
    rows[24] = "25,?"
    rows[30] = "31,n/a"
    rows[33] = "34,nan"
    table = _read(tmp_path, "\n".join(rows))
    bad = table.columns[1].bad_numbers
    assert bad == BadNumbers(2, 23, "?")
    assert table.location(bad.row) == "own.csv, line 25"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_na_values_are_empty_too(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"x": [1.5, -999.0], "y": ["?", "a"], "z": [True, False]})
    path = tmp_path / f"own.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    table = read_file(path, ReadOptions(na_values=("?", "-999", "False")))
    assert _cells(table) == {"x": [1.5, None], "y": [None, "a"], "z": [1, None]}


def test_numbers_are_read_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(500, 4)) * 10.0 ** np.arange(-150, 150, 75)
    frame = pd.DataFrame(values, columns=list("abcd"))
    frame.to_csv(tmp_path / "own.csv", index=False)
    table = read_file(tmp_path / "own.csv", ReadOptions())
    assert np.column_stack([c.values for c in table.columns]).tobytes() == np.ascontiguousarray(values).tobytes()


# ---------------------------------------------------------------------------------------------------------- dialects

_TWO = {"a": [1.5, 2.0], "b": ["x", "y"]}


@pytest.mark.parametrize(
    "text",
    [
        b"a,b\n1.5,x\n2.0,y\n",
        b"a;b\n1,5;x\n2,0;y\n",
        b"a\tb\n1.5\tx\n2.0\ty\n",
        b"a|b\n1.5|x\n2.0|y",
        b'"a","b"\r\n"1,5","x"\r\n"2,0","y"\r\n',
        b"a,b\r1.5,x\r2.0,y\r",
        codecs.BOM_UTF8 + b'"a",b\n1.5,x\n2.0,y\n',
        "a;b\n1,5;x\n2,0;y\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a\tb\r\n1,5\tx\r\n2,0\ty\r\n".encode("utf-16-be"),
        "a,b\n1.5,x\n2.0,y\n".encode("utf-32"),
        b"sep=;\r\na;b\r\n1,5;x\r\n2,0;y\r\n",
        b'"sep=\t"\na\tb\n1.5\tx\n2.0\ty\n',
        b"a,b,\n1.5,x,\n2.0,y,\n",
        b"a;b\n1,5;x;\n2,0;y;;\n",
        b"\n\na;b;;\n1,5;x;;\n\n2,0;y;;\n;;;\n;;;\n",
        b'a, b\n1.5, "x"\n 2.0 ,y \n',
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: bytes) -> None:
    assert _cells(_read(tmp_path, text)) == _TWO


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_numbers_are_the_files(tmp_path: Path, end: str) -> None:
    text = end.join(["", "x,y", "1,a", "", '2,"b', "", 'c"', "   ", "3,d", ""])
    table = _read(tmp_path, text)
    assert table.lines.tolist() == [3, 5, 9]
    assert _read(tmp_path, "sep=,\nx,y\n1,2\n\n3,4\n").lines.tolist() == [3, 5]
    assert _read(tmp_path, "x,y\n1,2\n\n3,4\n").lines.tolist() == [2, 4]


def test_rows_at_the_end_that_are_empty_are_left_out_with_a_note(tmp_path: Path) -> None:
    table = _read(tmp_path, "x;y\n1;a\n;\n2;b\n;;;\n;;;\n")
    assert _cells(table) == {"x": [1, None, 2], "y": ["a", None, "b"]}
    assert table.notes == ("the last 2 rows are empty and left out.",)
    assert _read(tmp_path, "x;y\n1;a\n;\n").notes == ("the last row is empty and left out.",)


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        (["1,5", "0,123"], [1.5, 0.123]),
        (["1,234", "0,5"], [1.234, 0.5]),
        (["1,234", "1,234,567"], [1234, 1234567]),
        (["1.234,5", "1.000"], [1234.5, 1000]),
        (["1,234.5", "2,000"], [1234.5, 2000]),
        (["1 234,5", "1\u00a0000\u00a0000"], [1234.5, 1_000_000]),
        (["1'234.5", "2’000"], [1234.5, 2000]),
        (["1.5", "2.25"], [1.5, 2.25]),
        (["1.234", "0.5"], [1.234, 0.5]),
        (["1.234", "1234.567"], [1.234, 1234.567]),
        (["1.234", "1.234.567"], [1234, 1234567]),
        (["1,5e3", "2"], [1500, 2]),
    ],
)
def test_decimal_and_thousands_signs_are_found_where_the_file_decides(
    tmp_path: Path, lines: list[str], values: list[float]
) -> None:
    table = _read(tmp_path, "x;y\n" + "".join(f"{line};w\n" for line in lines))
    assert _cells(table)["x"] == values


def test_another_column_decides(tmp_path: Path) -> None:
    assert _cells(_read(tmp_path, "x;z\n1.234;2,5\n5.678;3\n")) == {"x": [1234, 5678], "z": [2.5, 3]}
    assert _cells(_read(tmp_path, 'x,z\n"1,234",2.5\n"5,678",3\n')) == {"x": [1234, 5678], "z": [2.5, 3]}


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("x;y\n1;2\n1,234;2\n", ("1234", "1.234")),
        ("x;y\n7;2\n1.234;2\n", ("1.234", "1234")),
        ('x,y\n7,2\n"1,234",2\n', ("1234", "1.234")),
    ],
)
def test_a_number_that_may_be_two_is_not_guessed(tmp_path: Path, text: str, either: tuple[str, str]) -> None:
    column = _read(tmp_path, text).columns[0]
    assert column.kind == "unsupported"
    for words in ("column 'x'", "line 3", *either, "dataset.decimal", "dataset.thousands"):
        assert words in str(column.problem)
    sign = "," if "1,234" in text else "."
    other = "." if sign == "," else ","
    assert _values(_read(tmp_path, text, decimal=sign).columns[0])[1] == 1.234
    assert _values(_read(tmp_path, text, decimal=other).columns[0])[1] == 1234
    assert _values(_read(tmp_path, text, thousands=sign).columns[0])[1] == 1234


def test_signs_that_were_found_are_told(tmp_path: Path) -> None:
    table = _read(tmp_path, "y;x\na;7\nb;1.234,5\n")
    assert table.notes == (
        (
            "numbers are read with ',' as the decimal sign and '.' as the sign between thousands: "
            "'1.234,5' in line 3 is 1234.5."
        ),
    )
    assert _read(tmp_path, "y;x\na;7\nb;1.234,5\n", decimal=",", thousands=".").notes == ()


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("x;y\n2;1\n1.5;2\n", {"decimal": ","}, "'x' has '1.5' in line 3, which is not a number with dataset.decimal"),
        ("x;y\n2;1\n1,5;2\n", {"decimal": "."}, "'x' has '1,5' in line 3, which is not a number with dataset.decimal"),
        ("x;y\n2;1\n1 500;2\n", {"thousands": "."}, "'x' has '1 500' in line 3, .*dataset.thousands '.'"),
        ('x,y\n"1,5",1.5\n"2,5",3\n', {}, "'x' has '1,5' in line 2, but other columns have '.' as their decimal sign"),
    ],
)
def test_a_file_that_contradicts_its_keys_or_itself(
    tmp_path: Path, text: str, options: dict[str, str], problem: str
) -> None:
    column = _read(tmp_path, text, **options).columns[0]
    assert column.kind == "unsupported"
    assert re.search(problem, str(column.problem))


def test_a_comma_separated_file_keeps_its_decimal_points(tmp_path: Path) -> None:
    table = _read(tmp_path, "x,version\n1.234,1.2.3\n5.678,10.0.1\n")
    assert _cells(table) == {"x": [1.234, 5.678], "version": ["1.2.3", "10.0.1"]}
    assert table.notes == ()


def test_the_separator_is_the_one_that_divides_evenly_and_finds_numbers(tmp_path: Path) -> None:
    assert _cells(_read(tmp_path, "x,y|z\n1,a|b\n2,c|d\n")) == {"x": [1, 2], "y|z": ["a|b", "c|d"]}
    assert _cells(_read(tmp_path, "a;b,c;d\n1;2,3;4\n")) == {"a": [1], "b,c": [2.3], "d": [4]}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (b"", {}, "own.csv is empty; write the names of the columns"),
        (b"\n \n", {}, "own.csv is empty"),
        (b"x,y\n1,0\n2,1,9\n", {}, r"own.csv, line 3 has 3 fields, but the header has 2 names \(separator ','"),
        (b"x,y\n1,0\n\n2\n", {}, "own.csv, line 4 has 1 field, but the header has 2 names"),
        (b"x,y\n1,5,2,5\n", {}, "line 2 has 4 fields.*where ',' is the decimal sign too"),
        (b'x,y\n1,"a\nb"\n3\n', {}, "own.csv, line 4 has 1 field"),
        (b"x y\n1 0\n", {}, "own.csv, line 1 names a single column, 'x y'; if ' ' separates .* dataset.separator"),
        (b"x;y\n1;0\n", {"separator": ","}, "names a single column, 'x;y'; if ';' separates"),
        (b"Name;Price, EUR\na;1,5\n", {}, "the separator may be ',' or ';'; set dataset.separator"),
        (b"sep=;\nx;y\n1;2\n", {"separator": "\t"}, r"line 1 says sep=;, but dataset.separator is '\\t'"),
        (b'x,y\n1,"a\n2,b\n', {}, "own.csv, line 2: a quotation mark opens a field that never closes"),
        (b'x,y\n1,a\n2,"b" c\n', {}, "own.csv, line 3: text follows a closing quotation mark"),
        (
            b"x,y\n1,a\n2,\xfc\n",
            {},
            "own.csv, line 3 is not utf-8: byte 10 is 0xfc; .* dataset.encoding, such as cp1252",
        ),
        (b"\xfc,y\n1,a\n", {}, "own.csv, line 1 is not utf-8"),
        (b"x,y\n1,\x81\n", {"encoding": "cp1252"}, "own.csv, line 2 is not cp1252"),
        ("x,y\n1,2\n".encode("utf-16-le"), {}, "line 1 has a zero byte.*dataset.encoding, such as utf-16-le"),
        ("x,y\n1,2\n".encode("utf-16"), {"encoding": "cp1252"}, "byte order mark of utf-16-le, but .* is cp1252"),
        (b"PK\x03\x04and so on", {}, "own.csv is not a CSV file but an Excel workbook"),
        (b"PAR1and so on", {}, "own.csv is not a CSV file but a Parquet file"),
        (b"a,y,y\n1,2,3\n", {}, "own.csv, line 1: columns 2 and 3 are both called 'y'; rename or remove one"),
        (b"a,y, y\n1,2,3\n", {}, "columns 2 and 3 are both called 'y'"),
        (b"a,,y\n1,2,3\n", {}, "own.csv, line 1: column 2 has no name"),
        (b"\n5.1,3.5,0\n4.9,3.0,1\n", {}, "own.csv, line 2 should name the columns, but has only numbers"),
        (b"5,1;3,5;0\n4,9;3,0;1\n", {}, "should name the columns, but has only numbers"),
    ],
)
def test_a_csv_that_cannot_be_read(tmp_path: Path, text: bytes, options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _read(tmp_path, text, **options)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16", "utf-8", "latin-1"])
def test_an_encoding_that_the_user_names(tmp_path: Path, encoding: str) -> None:
    table = _read(tmp_path, "größe,y\n1,ä\n".encode(encoding), encoding=encoding)
    assert _cells(table) == {"größe": [1], "y": ["ä"]}


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    for name in ("own.csv.gz", "own.csv.bz2", "own.csv.xz", "own.csv.zip"):
        pd.DataFrame(_TWO).to_csv(tmp_path / name, index=False)
        assert _cells(read_file(tmp_path / name, ReadOptions())) == _TWO
    packed = gzip.compress(b"x,y\n1,2\n" * 50)
    for broken in (packed[:-9], packed[:12] + b"\xff" * 20, b"x,y\n1,2\n"):
        for suffix in ("gz", "bz2", "xz", "zip"):
            (tmp_path / f"bad.{suffix}").write_bytes(broken)
            with pytest.raises(DataError, match=rf"bad.{suffix} can't be read"):
                read_file(tmp_path / f"bad.{suffix}", ReadOptions())


# ----------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("header", "names", "note"),
    [
        (",a,y", ["a", "y"], "column 1 is left out: it has no name"),
        ("Unnamed: 0,a,y", ["a", "y"], "column 1 is left out: it has the name 'Unnamed: 0'"),
        ("a,Unnamed: 3,y", ["a", "y"], "column 2 is left out"),
        ("a,y,y\u200b", ["a", "y", "y\u200b"], r"columns 'y' and 'y\u200b' are two columns"),
        ("Y,a,y", ["Y", "a", "y"], "their names differ only in case, blanks or invisible characters"),
        ("a b,ab,y", ["a b", "ab", "y"], "columns 'a b' and 'ab'"),
        ("a,y,y.1", ["a", "y", "y.1"], "column 'y.1' may be a second 'y' that was renamed"),
        ("0,1,2", ["0", "1", "2"], None),
        ("400,402,y", ["400", "402", "y"], None),
    ],
)
def test_names_that_hide_an_index_or_a_second_column(
    tmp_path: Path, header: str, names: list[str], note: str | None
) -> None:
    table = _read(tmp_path, f"{header}\n0,5,6\n1,7,8\n")
    assert [column.name for column in table.columns] == names
    assert any(note in text for text in table.notes) if note else not table.notes


def test_the_index_of_a_data_frame_is_not_a_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": [3, 4]}, index=[5, 9])
    named = frame.rename_axis("id")
    for indexed, words in ((frame, "the index"), (named, "the index 'id'")):
        indexed.to_parquet(tmp_path / "own.parquet")
        for read in (read_file(tmp_path / "own.parquet", ReadOptions()), read_frame(indexed)):
            assert [column.name for column in read.columns] == ["x", "y"]
            assert words in read.notes[0]
    assert read_frame(frame.reset_index(drop=True)).notes == ()
    pq.write_table(pa.table({"__index_level_0__": [1], "x": [2]}), tmp_path / "own.parquet")
    table = read_file(tmp_path / "own.parquet", ReadOptions())
    assert [column.name for column in table.columns] == ["x"]
    assert "column 1 is left out" in table.notes[0]


# ------------------------------------------------------------------------------------------------ Parquet and frames

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
    assert (table.columns[0].kind, _values(table.columns[0])) == (kind, values)
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
def test_a_type_that_is_no_number_or_word_is_refused_only_where_it_is_needed(
    tmp_path: Path, array: Any, words: str
) -> None:
    pq.write_table(pa.table({"when": array, "x": [1, 2]}), tmp_path / "own.parquet")
    when, x = read_file(tmp_path / "own.parquet", ReadOptions()).columns
    assert (when.kind, when.empty.tolist()) == ("unsupported", [False, True])
    assert f"column 'when' holds {words}" in str(when.problem)
    assert "dataset.features" in str(when.problem)
    assert x.kind == "number"


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
    assert (column.kind, _values(column)) == (kind, values)


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


@pytest.mark.parametrize("source", ["csv", "parquet", "frame"])
def test_whole_numbers_past_what_a_float_holds(tmp_path: Path, source: str) -> None:
    merged = pd.DataFrame({"x": [2**53, 2**53 + 1], "y": [1, 2]})
    rounded = pd.DataFrame({"x": [2**53 + 1, 2**60], "y": [1, 2]})
    exact = pd.DataFrame({"x": [2**53, 2**60], "y": [1, 2]})
    tables = []
    for frame in (merged, rounded, exact):
        path = tmp_path / f"own.{source}"
        if source == "frame":
            tables.append(read_frame(frame))
            continue
        frame.to_csv(path, index=False) if source == "csv" else frame.to_parquet(path)
        tables.append(read_file(path, ReadOptions()))
    assert [table.columns[0].kind for table in tables] == ["unsupported", "number", "number"]
    assert "such as 9007199254740993, that become equal" in str(tables[0].columns[0].problem)
    assert tables[1].notes == ("column 'x' is rounded: a float64 does not hold 9007199254740993 to the last digit.",)
    assert tables[2].notes == ()


def test_decimals_without_fraction_are_whole_as_in_a_csv(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"x": pa.array([decimal.Decimal(12), decimal.Decimal(7)], pa.decimal128(8, 0))}),
        tmp_path / "a.parquet",
    )
    (table,) = read_file(tmp_path / "a.parquet", ReadOptions()).columns
    assert table.integer
    assert _read(tmp_path, "x\n12\n7\n").columns[0].integer
    frame = pd.DataFrame({"x": [decimal.Decimal(12), decimal.Decimal(7)], "y": [decimal.Decimal("1.0"), None]})
    assert [column.integer for column in read_frame(frame).columns] == [True, False]
    large = pd.DataFrame({"x": [decimal.Decimal(10) ** 90, decimal.Decimal("nan")]})
    assert read_frame(large).columns[0].values[0] == 1e90


def test_times_of_a_zone_in_a_frame_are_left_out_without_a_warning() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=2, tz="UTC"), "x": [1, 2]})
    when, x = read_frame(frame).columns
    assert "column 'when' holds timestamps of type" in str(when.problem)
    assert (when.kind, x.kind) == ("unsupported", "number")


def test_text_that_holds_numbers_alone_is_numbers_as_in_a_csv_and_says_so() -> None:
    assert read_frame(pd.DataFrame({"x": ["1", "2"], "y": ["a", "b"]})).notes == (
        "column 'x' is text, but holds only numbers: it is read as numbers, as in a CSV.",
    )


# ------------------------------------------------------------------------------------------------- files and options


def test_a_file_that_is_missing_or_no_table(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"nothing of the kind")
    (tmp_path / "folder.csv").mkdir()
    for name, message in (
        ("none.csv", "the data file .*none.csv does not exist"),
        ("folder.csv", "folder.csv is not a file"),
        ("bad.parquet", "bad.parquet can't be read: Parquet magic bytes not found"),
    ):
        with pytest.raises(DataError, match=message):
            read_file(tmp_path / name, ReadOptions())


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "own.csv").write_text("x,y\n1,2\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"own.csv can't be read: Permission denied"):
        read_file(tmp_path / "own.csv", ReadOptions())


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    table = _read(tmp_path, "x,y\n")
    assert _cells(table) == {"x": [], "y": []}
    assert len(table.lines) == 0


def _spec(**keys: Any) -> DatasetSpec:
    return DatasetSpec.model_validate({"path": "a.csv", "target": "y", **keys})


def test_reading_keys_of_a_sweep_file() -> None:
    spec = _spec(separator="tab", decimal=",", thousands="space", encoding="cp1252", na_values=["?", -999])
    assert read_options(spec) == ReadOptions("\t", ",", " ", "cp1252", ("?", "-999"))
    assert read_options(_spec(na_values="NA")) == ReadOptions(na_values=("NA",))
    assert read_options(_spec()) == ReadOptions()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "xor", "path": None, "target": None, "decimal": ","}, "decimal goes with path"),
        ({"path": "a.parquet", "separator": ";"}, "separator belongs to a CSV file; a.parquet is Parquet"),
        ({"separator": ";;"}, "should be one character such as"),
        ({"separator": "1"}, "should be one character such as"),
        ({"decimal": ";"}, r"'.' or ','"),
        ({"thousands": "x"}, "should be one of , . ' _   or the word space, not 'x'"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        ({"encoding": "utf9"}, "no encoding is called 'utf9'; did you mean 'utf-8'"),
        ({"encoding": "base64"}, "no encoding is called 'base64'"),
        ({"na_values": []}, "is an empty list"),
        ({"na_values": [None]}, "write None in quotes"),
        ({"na_values": [False]}, "write False in quotes"),
    ],
)
def test_reading_keys_that_cannot_be(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _spec(**keys)


# ------------------------------------------------------------------------------------------- any table, in any dialect

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
    """A cell as a program of some country writes it."""
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


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=_tables(), dialect=_dialects())
def test_a_table_is_the_same_in_every_dialect_and_in_parquet_or_is_refused(
    tmp_path: Path, table: pa.Table, dialect: dict[str, Any]
) -> None:
    pq.write_table(table, tmp_path / "own.parquet")
    (tmp_path / "own.csv").write_bytes(_bytes(table, dialect))
    parquet = read_file(tmp_path / "own.parquet", ReadOptions())
    try:
        text = read_file(tmp_path / "own.csv", _options(dialect))
    except DataError:
        return
    assert [column.name for column in text.columns] == [column.name for column in parquet.columns]
    for one, other in zip(text.columns, parquet.columns, strict=True):
        if "unsupported" in (one.kind, other.kind):
            continue
        assert (one.kind, _bits(one)) == (other.kind, _bits(other))
        assert one.integer == other.integer or one.is_empty


def _bits(column: Column) -> Any:
    return column.values.tolist() if column.kind == "text" else np.nan_to_num(column.values, nan=1e-300).tobytes()


@settings(max_examples=300, deadline=None)
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


def _trimmed(cell: str) -> str:
    return cell.strip()
