"""Names of columns: missing, doubled, or those of an index."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.data.readers import ReadOptions, read_file, read_frame
from tests.experiments.raw_tables import read_csv_text


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
    table = read_csv_text(tmp_path, f"{header}\n0,5,6\n1,7,8\n")
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
