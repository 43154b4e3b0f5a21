"""Files of every kind are read alike or refused, by the keys of a sweep file that say how."""

import decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.readers import ReadOptions, read_file, read_frame, read_options
from experiments.errors import DataError
from tests.experiments.raw_tables import cells_of, read_csv_text


@pytest.mark.parametrize("source", ["csv", "parquet", "frame"])
def test_whole_numbers_that_a_float_does_not_hold(tmp_path: Path, source: str) -> None:
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
    assert read_csv_text(tmp_path, "x\n12\n7\n").columns[0].integer
    frame = pd.DataFrame({"x": [decimal.Decimal(12), decimal.Decimal(7)], "y": [decimal.Decimal("1.0"), None]})
    assert [column.integer for column in read_frame(frame).columns] == [True, False]
    large = pd.DataFrame({"x": [decimal.Decimal(10) ** 90, decimal.Decimal("nan")]})
    assert read_frame(large).columns[0].values[0] == 1e90


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
    table = read_csv_text(tmp_path, "x,y\n")
    assert cells_of(table) == {"x": [], "y": []}
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
        ({"name": "xor", "path": None, "target": None, "decimal": ","}, "decimal applies only to files"),
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
def test_wrong_reading_keys_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _spec(**keys)
