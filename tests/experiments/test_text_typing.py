"""Each column of text has one type: numbers, booleans or text."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.columns import BadNumbers
from experiments.data.readers import ReadOptions, read_file
from tests.experiments.raw_tables import cells_of, read_csv_text, values_of


def test_a_column_has_one_type_whatever_its_length(tmp_path: Path) -> None:
    rows = [f"{n % 2},1" if n < 30_000 else "unknown,2" for n in range(32_000)]
    labels, numbers = read_csv_text(tmp_path, "\n".join(["y,x", *rows])).columns
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
    table = read_csv_text(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in cells.split()))
    assert (table.columns[0].kind, values_of(table.columns[0])) == (kind, values)


def test_only_an_empty_cell_is_empty_and_blanks_around_a_cell_do_not_count(tmp_path: Path) -> None:
    table = read_csv_text(tmp_path, 'x,y, z\n1, dog ,\n,"",4\n"", "a, b", 5 \n"  ",c,6\n')
    assert cells_of(table) == {"x": [1, None, None, None], "y": ["dog", None, "a, b", "c"], "z": [None, 4, 5, 6]}
    assert table.columns[1].empty.tolist() == [False, True, False, False]


def test_a_cell_that_is_not_a_number_is_named_with_its_line(tmp_path: Path) -> None:
    rows = ["x,nuclei", *(f"{n},{n}" for n in range(2, 42))]
    rows[24] = "25,?"
    rows[30] = "31,n/a"
    rows[33] = "34,nan"
    table = read_csv_text(tmp_path, "\n".join(rows))
    bad = table.columns[1].bad_numbers
    assert bad == BadNumbers(2, 23, "?")
    assert table.location(bad.row) == "own.csv, line 25"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_na_values_are_empty_too(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"x": [1.5, -999.0], "y": ["?", "a"], "z": [True, False]})
    path = tmp_path / f"own.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    table = read_file(path, ReadOptions(na_values=("?", "-999", "False")))
    assert cells_of(table) == {"x": [1.5, None], "y": [None, "a"], "z": [1, None]}


def test_numbers_are_read_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(500, 4)) * 10.0 ** np.arange(-150, 150, 75)
    frame = pd.DataFrame(values, columns=list("abcd"))
    frame.to_csv(tmp_path / "own.csv", index=False)
    table = read_file(tmp_path / "own.csv", ReadOptions())
    assert np.column_stack([c.values for c in table.columns]).tobytes() == np.ascontiguousarray(values).tobytes()
