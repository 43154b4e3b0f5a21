"""A server refuses a table of runs that a recorder could not write as it is, and says why."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from service.recording.infos import SweepInfo
from service.recording.run_table import RunTable
from service.recording.shard_check import ShardError, read_shard
from tests.service.trial_records import make_record, run_table

_SWEEP = SweepInfo("s", "spec", "r" * 32, "1", "0", "FINISHED", 0, {}, {}, {})


def _table(runs: int = 3) -> RunTable:
    return run_table(_SWEEP, [make_record(n) for n in range(runs)])


def _sent(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("runs", [1, 3])
def test_a_table_arrives_as_it_was_sent(runs: int) -> None:
    table = _table(runs)
    assert read_shard(table.to_bytes()).table.equals(table.table, check_metadata=True)


def test_a_part_of_a_table_arrives_alone_and_without_weights_it_is_taken_too() -> None:
    part = _table(9).slice(4, 3)
    assert len(part.to_bytes()) < len(_table(9).to_bytes())
    arrived = read_shard(part.to_bytes())
    assert list(arrived.records()) == list(part.records())
    assert not read_shard(part.without_weights().to_bytes()).has_weights


def _replaced(name: str, values: Any, kind: Any = None) -> Callable[[pa.Table], pa.Table]:
    def replace(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))

    return replace


_RUN_IDS = [f"{n:032x}" for n in range(3)]
_FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "no column": (lambda t: t.drop_columns(["status"]), "has no column status"),
    "unknown column": (lambda t: t.append_column("more", pa.array([1, 2, 3])), "'more' is unknown"),
    "twice": (lambda t: t.append_column("name", pa.array(["a", "b", "c"])), "two columns"),
    "type": (_replaced("number", [1.0, 2.0, 3.0]), "'number' is unknown or has the wrong type, double"),
    "dictionary": (
        lambda t: _replaced("name", t["name"].combine_chunks().dictionary_encode())(t),
        "'name' is unknown or has the wrong type, dictionary",
    ),
    "empty": (_replaced("name", ["a", None, "c"]), "the column name has empty cells"),
    "empty point": (
        _replaced("curves.loss", [[1.0, None, 2.0]] * 3),
        r"the column curves\.loss has empty cells",
    ),
    "path": (_replaced("run_id", ["../" * 10 + "ab", *_RUN_IDS[:2]]), "not 32 hexadecimal digits"),
    "line": (_replaced("run_id", [_RUN_IDS[0] + "\n", *_RUN_IDS[1:]]), "not 32 hexadecimal digits"),
    "same id": (_replaced("run_id", [_RUN_IDS[0]] * 3), "two runs have the same id"),
    "status": (_replaced("status", ["RUNNING", "FINISHED", "FAILED"]), "neither FINISHED nor FAILED"),
    "long": (_replaced("params.seed", ["1", "2", "x" * 6001]), r"params\.seed has more than 6,000 characters"),
    "zero": (_replaced("params.seed", ["1", "2", "a\0b"]), "zero byte"),
    "key": (lambda t: t.append_column("curves.../x", t["curves.loss"]), "not a table of runs: Invalid value"),
    "long key": (lambda t: t.append_column("tags." + "k" * 251, t["name"]), "more than 250 characters"),
    "points": (_replaced("time", [[1, 2, 3], [1, 2], [1, 2, 3]]), "another number of points in the column time"),
    "falling": (_replaced("step", [[0, 1, 2], [0, 2, 2], [0, 1, 2]]), "steps do not rise"),
    "weights": (_replaced("weights", [[1.0, 2.0], [1.0], [1.0, 2.0]]), "do not fill its tensors"),
    "tensors": (lambda t: t.replace_schema_metadata({}), "not a table of runs"),
    "shapes": (
        lambda t: t.replace_schema_metadata({b"gradgrid.tensors": json.dumps([["a", [-1, -2]]]).encode()}),
        "a size is no whole number from 0",
    ),
    "shape without list": (
        lambda t: t.replace_schema_metadata({b"gradgrid.tensors": json.dumps([["w", [2.0]]]).encode()}),
        "a size is no whole number from 0",
    ),
    "flag as a size": (
        lambda t: t.replace_schema_metadata({b"gradgrid.tensors": json.dumps([["w", [True, 2]]]).encode()}),
        "a size is no whole number from 0",
    ),
    "number as a name": (
        lambda t: t.replace_schema_metadata({b"gradgrid.tensors": json.dumps([[5, [2]]]).encode()}),
        "a tensor's name is no text",
    ),
    "curve and measure": (
        lambda t: t.append_column("measures.loss", pa.array([1.0, 2.0, 3.0])),
        "the metric 'loss' has a curve and a single point",
    ),
}


@pytest.mark.parametrize("fault", list(_FAULTS))
def test_a_table_that_can_not_be_written_is_refused(fault: str) -> None:
    spoil, message = _FAULTS[fault]
    with pytest.raises(ShardError, match=message):
        read_shard(_sent(spoil(_table().table)))


def test_runs_without_a_point_are_refused() -> None:
    table = _table().table
    for name in table.column_names:
        if name in ("step", "time") or name.startswith("curves."):
            table = _replaced(name, [[]] * 3, table.schema.field(name).type)(table)
    with pytest.raises(ShardError, match="a run has no point"):
        read_shard(_sent(table))


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_stream_is_refused_before_it_grows(codec: str) -> None:
    before = pa.total_allocated_bytes()
    with pytest.raises(ShardError, match="compressed"):
        read_shard(_sent(_table().table, compression=codec))
    assert pa.total_allocated_bytes() == before


def test_lists_that_end_behind_their_buffer_are_refused() -> None:
    content = _table().to_bytes()
    offsets, outside = (np.array([0, 3, 6, end], np.int32).tobytes() for end in (9, 2**20))
    assert offsets in content
    with pytest.raises(ShardError, match="not a table of runs"):
        read_shard(content.replace(offsets, outside))


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 100, b"\xff" * 1000])
def test_what_is_not_a_table_is_refused(content: bytes) -> None:
    with pytest.raises(ShardError, match="not a table of runs"):
        read_shard(content)


def test_no_cut_or_changed_stream_does_harm() -> None:
    """Every byte of the table's beginning, and many of the rest, are changed in turn: it is read or refused."""
    content = _table().to_bytes()
    for end in range(0, len(content), 97):
        with pytest.raises(ShardError):
            read_shard(content[:end])
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        try:
            runs = read_shard(bytes(changed))
        except ShardError:
            continue
        assert len(list(runs.records())) == len(runs)
