"""CSV files as people and programs write them: separators, encodings, quotation marks, packing."""

import codecs
import gzip
from pathlib import Path

import pandas as pd
import pytest

from experiments.data.readers import ReadOptions, read_file
from experiments.errors import DataError
from tests.experiments.raw_tables import cells_of, read_csv_text

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
    assert cells_of(read_csv_text(tmp_path, text)) == _TWO


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_numbers_are_the_files(tmp_path: Path, end: str) -> None:
    text = end.join(["", "x,y", "1,a", "", '2,"b', "", 'c"', "   ", "3,d", ""])
    table = read_csv_text(tmp_path, text)
    assert table.lines.tolist() == [3, 5, 9]
    assert read_csv_text(tmp_path, "sep=,\nx,y\n1,2\n\n3,4\n").lines.tolist() == [3, 5]
    assert read_csv_text(tmp_path, "x,y\n1,2\n\n3,4\n").lines.tolist() == [2, 4]


def test_rows_at_the_end_that_are_empty_are_left_out_with_a_note(tmp_path: Path) -> None:
    table = read_csv_text(tmp_path, "x;y\n1;a\n;\n2;b\n;;;\n;;;\n")
    assert cells_of(table) == {"x": [1, None, 2], "y": ["a", None, "b"]}
    assert table.notes == ("the last 2 rows are empty and left out.",)
    assert read_csv_text(tmp_path, "x;y\n1;a\n;\n").notes == ("the last row is empty and left out.",)


def test_the_separator_is_the_one_that_divides_evenly_and_finds_numbers(tmp_path: Path) -> None:
    assert cells_of(read_csv_text(tmp_path, "x,y|z\n1,a|b\n2,c|d\n")) == {"x": [1, 2], "y|z": ["a|b", "c|d"]}
    assert cells_of(read_csv_text(tmp_path, "a;b,c;d\n1;2,3;4\n")) == {"a": [1], "b,c": [2.3], "d": [4]}


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
        read_csv_text(tmp_path, text, **options)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16", "utf-8", "latin-1"])
def test_an_encoding_that_the_user_names(tmp_path: Path, encoding: str) -> None:
    table = read_csv_text(tmp_path, "größe,y\n1,ä\n".encode(encoding), encoding=encoding)
    assert cells_of(table) == {"größe": [1], "y": ["ä"]}


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    for name in ("own.csv.gz", "own.csv.bz2", "own.csv.xz", "own.csv.zip"):
        pd.DataFrame(_TWO).to_csv(tmp_path / name, index=False)
        assert cells_of(read_file(tmp_path / name, ReadOptions())) == _TWO
    packed = gzip.compress(b"x,y\n1,2\n" * 50)
    for broken in (packed[:-9], packed[:12] + b"\xff" * 20, b"x,y\n1,2\n"):
        for suffix in ("gz", "bz2", "xz", "zip"):
            (tmp_path / f"bad.{suffix}").write_bytes(broken)
            with pytest.raises(DataError, match=rf"bad.{suffix} can't be read"):
                read_file(tmp_path / f"bad.{suffix}", ReadOptions())
