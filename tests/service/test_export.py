"""`gradgrid export` writes a sweep's trials to a file."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.service.conftest import Recorded, run_command, run_for_json


@pytest.mark.parametrize(
    ("ending", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv), ("json", pd.read_json)]
)
def test_export_writes_every_trial(recorded: Recorded, ending: str, read: Any) -> None:
    values = run_for_json("export", "small", "-o", f"t.{ending}", "--tracking-uri", recorded.uri)
    assert values == {"sweep": recorded.result.sweep, "file": f"t.{ending}", "trials": 12}
    table = read(f"t.{ending}")
    assert list(table.columns) == list(recorded.result.table.columns)
    finished = table["outcome"] != "diverged"
    assert table.loc[finished, "metrics.loss"].to_numpy() == pytest.approx(
        recorded.result.table.loc[finished.to_numpy(), "metrics.loss"].to_numpy(), rel=1e-14
    )
    assert [file.name for file in Path.cwd().iterdir()] == [f"t.{ending}"]


def test_export_refuses_an_unknown_format_and_a_missing_folder(recorded: Recorded) -> None:
    wrong = run_command("export", "small", "-o", "t.xlsx", "--tracking-uri", recorded.uri)
    assert (wrong.exit_code, "end it in .parquet, .csv, .json" in wrong.stderr) == (2, True)
    nowhere = run_command("export", "small", "-o", "nowhere/t.csv", "--tracking-uri", recorded.uri)
    assert (nowhere.exit_code, "nowhere/t.csv can't be written" in nowhere.stderr) == (1, True)
