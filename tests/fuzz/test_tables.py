"""Data files, mutated: each is refused with a message, or read as a person reads it. `make fuzz`."""

from __future__ import annotations

import decimal
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, event
from hypothesis import strategies as st

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import UserError
from tests.fuzz.rounds import rounds
from tests.fuzz.sheets import (
    BASES,
    TARGET,
    Dialect,
    Sheet,
    dialects,
    in_dialect,
    mutated_sheet,
    number,
    shows_its_decimal_sign,
    written,
)

pytestmark = pytest.mark.fuzz


def _load(file: Path, **keys: Any) -> Dataset:
    asked = {"path": file.name, "target": TARGET, "test_fraction": 0.0, "standardize": False, **keys}
    return load_dataset(DatasetSpec.model_validate(asked), file.parent)


def _check_message(error: UserError, file: Path) -> None:
    message = str(error)
    assert file.stem in message, message
    assert len(message) < 2_000, message
    assert not re.search(r"Traceback|object at 0x|<class|Error\(", message), message


def test_a_csv_is_refused_or_read_as_a_person_would_read_it(tmp_path: Path) -> None:
    file = tmp_path / "mutated.csv"
    seen: Counter[str] = Counter()

    def check(data: st.DataObject) -> None:
        sheet, dialect = mutated_sheet(data.draw), data.draw(dialects)
        keys = {"separator": dialect.separator, "decimal": dialect.decimal} if data.draw(st.booleans()) else {}
        assume(keys or shows_its_decimal_sign(sheet, dialect))
        keys = {**keys, "encoding": "cp1252"} if dialect.encoding == "cp1252" else keys
        file.write_bytes(written(sheet, dialect))
        try:
            read = _load(file, **keys)
        except UserError as error:
            seen["refused"] += 1
            _check_message(error, file)
            return
        seen["read"] += 1
        event("read")
        _check_meaning(_without_blank_lines(sheet), dialect, read)

    rounds(check)
    print(dict(seen))
    assert min(seen["refused"], seen["read"]) > 0


def _without_blank_lines(sheet: Sheet) -> Sheet:
    """Return the sheet without its blank lines, which hold no sample."""
    return Sheet(sheet.header, tuple(row for row in sheet.rows if any(cell.strip() for cell in row)))


def _check_meaning(sheet: Sheet, dialect: Dialect, read: Dataset) -> None:
    """Check that each feature is a column, each column a feature or in a note, and each number that of its cell."""
    assert not sheet.is_ragged
    names = [_encodable(name.strip(), dialect) for name in sheet.header]
    assert len(set(names)) == len(names)
    assert len(read.training_targets) == len(sheet.rows)
    left_out = set(names) - {*read.feature_names, TARGET}
    assert not left_out or read.notes, left_out
    for k, name in enumerate(read.feature_names):
        cells = [row[names.index(name)] for row in sheet.rows]
        np.testing.assert_array_equal(read.training_features[:, k], [number(cell) for cell in cells], err_msg=name)
    cells = [row[names.index(TARGET)] for row in sheet.rows]
    if read.task == "regression":
        np.testing.assert_array_equal(read.training_targets, [number(cell) for cell in cells])
        return
    for cell, target in zip(cells, read.training_targets, strict=True):
        class_name = read.classes[int(target)]
        texts = [_encodable(text, dialect) for text in (cell.strip(), in_dialect(cell.strip(), dialect))]
        assert class_name in texts or number(class_name.replace(dialect.decimal, ".")) == number(cell)


def _encodable(text: str, dialect: Dialect) -> str:
    return text.encode(dialect.encoding, errors="replace").decode(dialect.encoding)


def test_bytes_are_refused_or_read(tmp_path: Path) -> None:
    """Bytes of a CSV are changed, lost or doubled: there is no traceback, and every number is one."""
    file = tmp_path / "bytes.csv"
    seen: Counter[str] = Counter()

    def check(data: st.DataObject) -> None:
        text = written(data.draw(st.sampled_from(BASES)), data.draw(dialects))
        file.write_bytes(_damaged(data, text))
        try:
            read = _load(file)
        except UserError as error:
            seen["refused"] += 1
            _check_message(error, file)
            return
        seen["read"] += 1
        assert np.isfinite(read.training_features).all()
        assert len(read.training_targets) <= len(re.split(rb"[\r\n]+", file.read_bytes()))

    rounds(check)
    print(dict(seen))
    assert min(seen["refused"], seen["read"]) > 0


_BYTES = (b"", b'"', b",", b"\n", b"\0", b"\xff", b";")


def _damaged(data: st.DataObject, content: bytes) -> bytes:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 8))
        new = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(_BYTES)))
        content = content[:at] + new + content[at + length :]
    return content


_STARTED = pd.Timestamp("2026-01-01")
_MAKERS: dict[str, Any] = {
    "int": lambda n: pd.Series(range(n)) % 7,
    "float32": lambda n: pd.Series(np.linspace(-1, 1, n), dtype="float32"),
    "nullable": lambda n: pd.Series([k % 3 if k % 5 else None for k in range(n)], dtype="Int64"),
    "bool": lambda n: pd.Series([k % 3 == 0 for k in range(n)]),
    "nullable bool": lambda n: pd.Series([k % 3 == 0 for k in range(n)], dtype="boolean"),
    "decimal": lambda n: pd.Series([decimal.Decimal(k) / 8 for k in range(n)]),
    "words": lambda n: pd.Series(["EU", "NA", None, "null"] * n).head(n),
    "category": lambda n: pd.Series(pd.Categorical([("b", "a")[k % 2] for k in range(n)])),
    "numbers as category": lambda n: pd.Series(pd.Categorical([k % 4 for k in range(n)])),
    "time": lambda n: pd.Series([_STARTED + pd.Timedelta(days=k) for k in range(n)]),
    "duration": lambda n: pd.Series([pd.Timedelta(hours=k) for k in range(n)]),
    "date": lambda n: pd.Series([_STARTED.date() for _ in range(n)]),
    "lists": lambda n: pd.Series([[k, k] for k in range(n)]),
    "bytes": lambda n: pd.Series([b"x" for _ in range(n)]),
    "large": lambda n: pd.Series([2**60 + k for k in range(n)]),
    "infinite": lambda n: pd.Series([float("inf") if k == 3 else k for k in range(n)]),
    "constant": lambda n: pd.Series([0.03] * n),
    "empty": lambda n: pd.Series([None] * n, dtype=object),
}
_USABLE = ("int", "float32", "bool", "decimal", "category", "numbers as category", "constant")
_KINDS = st.one_of(st.sampled_from(_USABLE), st.sampled_from(_USABLE), st.sampled_from(sorted(_MAKERS)))


def test_a_parquet_file_is_refused_or_read(tmp_path: Path) -> None:
    """It has columns of every type, as features and as target, and sometimes damaged bytes."""
    file = tmp_path / "mutated.parquet"
    seen: Counter[str] = Counter()

    def check(data: st.DataObject) -> None:
        count = data.draw(st.sampled_from([30, 60, 60, 2, 1, 0]))
        kinds = data.draw(st.lists(_KINDS, min_size=1, max_size=4))
        frame = pd.DataFrame({f"c{k}": _MAKERS[kind](count) for k, kind in enumerate(kinds)})
        frame[TARGET] = _MAKERS[data.draw(_KINDS)](count)
        frame.to_parquet(file)
        damaged = data.draw(st.integers(0, 3)) == 0
        if damaged:
            file.write_bytes(_damaged(data, file.read_bytes()))
        keys = data.draw(st.sampled_from([{}, {"encode": "one_hot"}, {"missing": "drop"}, {"missing": "mean"}]))
        try:
            read = _load(file, **keys)
        except UserError as error:
            seen["refused"] += 1
            _check_message(error, file)
            return
        seen["read"] += 1
        assert np.isfinite(read.training_features).all()
        for k, kind in enumerate(kinds):
            if not damaged and kind in ("int", "float32", "decimal", "constant") and f"c{k}" in read.feature_names:
                column = read.training_features[:, read.feature_names.index(f"c{k}")]
                assert set(column) <= set(frame[f"c{k}"].astype(float))

    rounds(check)
    print(dict(seen))
    assert min(seen["refused"], seen["read"]) > 0
