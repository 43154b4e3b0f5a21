"""A shard's runs in columns: what goes in comes out, also through slices, selections and a stream."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest

from service.recording.run_table import RunTable
from tests.service.trial_records import RECORDS, begin_sweep, run_table


@pytest.fixture
def table(uri: str) -> RunTable:
    _, sweep = begin_sweep(uri)
    return run_table(sweep, RECORDS[:5])


def test_records_come_out_as_they_went_in(table: RunTable) -> None:
    assert [dataclasses.asdict(r) for r in table.records()] == [dataclasses.asdict(r) for r in RECORDS[:5]]


def test_a_slice_and_a_selection_hold_only_their_runs(table: RunTable) -> None:
    assert list(table.slice(1, 2).records()) == RECORDS[1:3]
    assert list(table.slice(3, 500).records()) == RECORDS[3:5]
    chosen = table.select([True, False, False, True, False])
    assert list(chosen.records()) == [RECORDS[0], RECORDS[3]]
    assert chosen.curve("loss").tolist() == [v for n in (0, 3) for _, v, _ in RECORDS[n].curves["loss"]]
    assert len(table.select([False] * 5)) == 0


def _read(content: bytes) -> RunTable:
    with pa.ipc.open_stream(content) as reader:
        return RunTable(reader.read_all())


def test_a_stream_gives_the_same_table_back(table: RunTable) -> None:
    again = _read(table.to_bytes())
    assert again.table.equals(table.table, check_metadata=True)
    assert list(again.records()) == list(table.records())
    with pytest.raises(pa.ArrowInvalid):
        _read(table.to_bytes()[:100])


def test_values_that_are_no_finite_numbers_are_kept(uri: str) -> None:
    _, sweep = begin_sweep(uri)
    table = run_table(sweep, [RECORDS[6]])
    assert np.array_equal(table.curve("loss"), [math.nan, -math.inf, math.nan], equal_nan=True)
