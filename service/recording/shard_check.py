"""Read a table of runs that somebody has sent, and refuse it unless a recorder can write it as it is.

The sender may be anybody who may edit an experiment. A run's id becomes the name of a folder, so it must be one; what
MLflow's own interface would refuse is refused here too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from http import HTTPStatus

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    MAX_ENTITY_KEY_LENGTH,
    MAX_PARAM_VAL_LENGTH,
    MAX_TAG_VAL_LENGTH,
    _validate_metric_name,
    _validate_param_name,
    _validate_tag_name,
)

from service.recording.run_table import CURVES, MEASURES, PARAMS, TAGS, RunTable

_INTEGERS = frozenset({"number", "start_time", "end_time"})
_TEXTS = frozenset({"trial", "run_id", "name", "status"})
_LISTS = frozenset({"step", "time"})
_KEYS: dict[str, tuple[Callable[[str], object], int]] = {
    PARAMS: (_validate_param_name, MAX_PARAM_VAL_LENGTH),
    TAGS: (_validate_tag_name, MAX_TAG_VAL_LENGTH),
    CURVES: (_validate_metric_name, 0),
    MEASURES: (_validate_metric_name, 0),
}
"""Beginning of a column's name -> the check of the rest, and the most characters of a value."""
_RUN_ID = "^[0-9a-f]{32}$"
_STATUSES = ("FINISHED", "FAILED")
_FOREIGN = (
    pa.ArrowException,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    RecursionError,
    struct.error,
)
"""What pyarrow, JSON and NumPy raise about bytes that are not such a table."""
_HEADER_FIELD, _COMPRESSION_FIELD = 2, 3


class ShardError(Exception):
    """A request that can't be carried out, with a message for the sender. status: of the answer."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = int(status)


def read_shard(content: bytes) -> RunTable:
    """Return the table in an Arrow IPC stream. Raises ShardError."""
    try:
        with pa.ipc.open_stream(content) as reader:
            schema = reader.schema
            _check_columns(schema)
            if any(map(_is_compressed, pa.ipc.MessageReader.open_stream(content))):
                raise ShardError("the Arrow stream is compressed: send its buffers as they are")
            table = reader.read_all()
        table.validate(full=True)
        table = table.combine_chunks()
        _check_values(table)
        runs = RunTable(table)
        _check_lists(runs)
    except (*_FOREIGN, MlflowException) as error:
        raise ShardError(f"this is not a table of runs: {str(error).strip().partition(chr(10))[0]}") from None
    return runs


def _check_columns(schema: pa.Schema) -> None:
    names = schema.names
    missing = (_INTEGERS | _TEXTS | _LISTS) - set(names)
    if missing:
        raise ShardError(f"the table has no column {min(missing)}")
    if len(set(names)) < len(names):
        raise ShardError("two columns of the table have the same name")
    both = {n.removeprefix(CURVES) for n in names if n.startswith(CURVES)} & {
        n.removeprefix(MEASURES) for n in names if n.startswith(MEASURES)
    }
    if both:
        raise ShardError(f"the metric {min(both)[:MAX_ENTITY_KEY_LENGTH]!r} has a curve and a single point")
    for field in schema:
        if not _fits(field.name, field.type):
            name = field.name[:MAX_ENTITY_KEY_LENGTH]
            raise ShardError(f"the column {name!r} is unknown or has the wrong type, {field.type}")
        for prefix, (check, _) in _KEYS.items():
            if field.name.startswith(prefix):
                key = field.name.removeprefix(prefix)
                check(key)
                if len(key) > MAX_ENTITY_KEY_LENGTH:
                    raise ShardError(f"the name {key[:40]}... has more than {MAX_ENTITY_KEY_LENGTH} characters")


def _fits(name: str, kind: pa.DataType) -> bool:
    if name in _INTEGERS:
        return bool(kind == pa.int64())
    if name in _TEXTS or name.startswith((PARAMS, TAGS)):
        return bool(kind == pa.string())
    if name in _LISTS:
        return bool(pa.types.is_list(kind) and kind.value_type == pa.int64())
    if name.startswith(MEASURES):
        return bool(kind == pa.float64())
    if name == "weights" or name.startswith(CURVES):
        return bool(pa.types.is_list(kind) and kind.value_type in (pa.float64(), pa.float32()))
    return False


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Return whether a message's buffers are compressed. A few bytes could then become gigabytes.

    pyarrow tells it only by decompressing them, so the message's flatbuffer is read here: Arrow's format, Message.fbs,
    whose field `header` is a table RecordBatch with a field `compression`.
    """
    if message.type != "record batch":
        return False
    metadata = memoryview(message.metadata)
    root = struct.unpack_from("<I", metadata)[0]
    at = _field(metadata, root, _HEADER_FIELD)
    header = at + struct.unpack_from("<I", metadata, at)[0]
    return _field(metadata, header, _COMPRESSION_FIELD) > 0


def _field(metadata: memoryview, table: int, number: int) -> int:
    """Return where a flatbuffer's table has a field; 0 if it has none."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    size = struct.unpack_from("<H", metadata, vtable)[0]
    place = 4 + 2 * number
    offset = struct.unpack_from("<H", metadata, vtable + place)[0] if place < size else 0
    return table + offset if offset else 0


def _check_values(table: pa.Table) -> None:
    for name in table.column_names:
        column = table.column(name)
        is_list = pa.types.is_list(column.type)
        if column.null_count or (is_list and pc.list_flatten(column).null_count):
            raise ShardError(f"the column {name} has empty cells")
        if pa.types.is_string(column.type):
            _check_texts(name, column)
    ids = table.column("run_id")
    if not pc.all(pc.match_substring_regex(ids, _RUN_ID), min_count=0).as_py():
        raise ShardError("a run's id is not 32 hexadecimal digits")
    if pc.count_distinct(ids).as_py() < table.num_rows:
        raise ShardError("two runs have the same id")
    if not pc.all(pc.is_in(table.column("status"), pa.array(_STATUSES)), min_count=0).as_py():
        raise ShardError(f"a run's status is neither {' nor '.join(_STATUSES)}")


def _check_texts(name: str, column: pa.ChunkedArray) -> None:
    most = next((most for prefix, (_, most) in _KEYS.items() if name.startswith(prefix)), MAX_ENTITY_KEY_LENGTH)
    if (pc.max(pc.utf8_length(column)).as_py() or 0) > most:
        raise ShardError(f"a text in the column {name} has more than {most:,} characters")
    if pc.any(pc.match_substring(column, "\0"), min_count=0).as_py():
        raise ShardError(f"a text in the column {name} has a zero byte")


def _check_lists(runs: RunTable) -> None:
    """Refuse curves of unequal lengths, steps that do not rise, and weights that do not fill their tensors."""
    for name in ["time", *(CURVES + curve for curve in runs.curve_names)]:
        if not np.array_equal(_lengths(runs, name), runs.points):
            raise ShardError(f"a run has another number of points in the column {name} than steps")
    if len(runs) and runs.points.min() < 1:
        raise ShardError("a run has no point")
    run = np.repeat(np.arange(len(runs)), runs.points)
    if np.any((np.diff(runs.steps) <= 0) & (np.diff(run) == 0)):
        raise ShardError("a run's steps do not rise")
    if runs.has_weights:
        for tensor in runs.tensors:
            if not isinstance(tensor.name, str) or any(type(size) is not int or size < 0 for size in tensor.shape):
                raise ShardError("a tensor's name is no text, or a size is no whole number from 0")
        if np.any(_lengths(runs, "weights") != sum(tensor.size for tensor in runs.tensors)):
            raise ShardError("a run's weights do not fill its tensors")


def _lengths(runs: RunTable, column: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    lengths = runs.table.column(column).combine_chunks().value_lengths()
    return np.asarray(lengths.to_numpy(zero_copy_only=False)).astype(np.int64)
