"""Decimal signs and signs between thousands, where the file decides and where it does not."""

import re
from pathlib import Path

import pytest

from tests.experiments.raw_tables import cells_of, read_csv_text, values_of


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
    table = read_csv_text(tmp_path, "x;y\n" + "".join(f"{line};w\n" for line in lines))
    assert cells_of(table)["x"] == values


def test_another_column_decides(tmp_path: Path) -> None:
    assert cells_of(read_csv_text(tmp_path, "x;z\n1.234;2,5\n5.678;3\n")) == {"x": [1234, 5678], "z": [2.5, 3]}
    assert cells_of(read_csv_text(tmp_path, 'x,z\n"1,234",2.5\n"5,678",3\n')) == {"x": [1234, 5678], "z": [2.5, 3]}


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("x;y\n1;2\n1,234;2\n", ("1234", "1.234")),
        ("x;y\n7;2\n1.234;2\n", ("1.234", "1234")),
        ('x,y\n7,2\n"1,234",2\n', ("1234", "1.234")),
    ],
)
def test_a_number_that_may_be_two_is_not_guessed(tmp_path: Path, text: str, either: tuple[str, str]) -> None:
    column = read_csv_text(tmp_path, text).columns[0]
    assert column.kind == "unsupported"
    for words in ("column 'x'", "line 3", *either, "dataset.decimal", "dataset.thousands"):
        assert words in str(column.problem)
    sign = "," if "1,234" in text else "."
    other = "." if sign == "," else ","
    assert values_of(read_csv_text(tmp_path, text, decimal=sign).columns[0])[1] == 1.234
    assert values_of(read_csv_text(tmp_path, text, decimal=other).columns[0])[1] == 1234
    assert values_of(read_csv_text(tmp_path, text, thousands=sign).columns[0])[1] == 1234


def test_signs_that_the_file_decides_are_noted(tmp_path: Path) -> None:
    table = read_csv_text(tmp_path, "y;x\na;7\nb;1.234,5\n")
    assert table.notes == (
        (
            "numbers are read with ',' as the decimal sign and '.' as the sign between thousands: "
            "'1.234,5' in line 3 is 1234.5."
        ),
    )
    assert read_csv_text(tmp_path, "y;x\na;7\nb;1.234,5\n", decimal=",", thousands=".").notes == ()


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
    column = read_csv_text(tmp_path, text, **options).columns[0]
    assert column.kind == "unsupported"
    assert re.search(problem, str(column.problem))


def test_a_comma_separated_file_keeps_its_decimal_points(tmp_path: Path) -> None:
    table = read_csv_text(tmp_path, "x,version\n1.234,1.2.3\n5.678,10.0.1\n")
    assert cells_of(table) == {"x": [1.234, 5.678], "version": ["1.2.3", "10.0.1"]}
    assert table.notes == ()
