"""Files that a command writes for the user, and the cells and tables in them."""

import math
from operator import methodcaller
from pathlib import Path

import pytest

from experiments.errors import GradgridError
from service.inspection.files import write_file
from service.results.cells import format_cell, markdown_table


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_that_is_not_completed_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")

    def write(partial: Path) -> None:
        partial.write_text("half", encoding="utf-8")
        raise error

    with pytest.raises(GradgridError if isinstance(error, OSError) else KeyboardInterrupt):
        write_file(path, write)
    assert [(file.name, file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()] == [("table.csv", "old")]


def test_a_complete_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content in (b"one", b"two"):
        write_file(path, methodcaller("write_bytes", content))
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [content]


def test_a_file_whose_folder_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("", encoding="utf-8")
    with pytest.raises(GradgridError, match=r"folder/page\.html can't be written: Not a directory"):
        write_file(tmp_path / "folder" / "page.html", methodcaller("write_bytes", b""))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(None, 5, ""), (0.123456789, 5, "0.12346"), (1234567.0, 6, "1.23457e+06"), (math.nan, 5, "nan"), (12, 2, "12"),
     (True, 5, "True"), ("relu", 5, "relu"), ({"beta1": 0.9, "beta2": 0.999}, 5, "beta1=0.9, beta2=0.999")],
)  # fmt: skip
def test_a_cell_has_the_digits_that_are_asked_for(value: object, digits: int, text: str) -> None:
    assert format_cell(value, digits) == text


def test_a_markdown_table_has_a_head_and_a_line_for_each_row() -> None:
    assert markdown_table(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
