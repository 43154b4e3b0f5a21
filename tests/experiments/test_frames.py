"""Data from Python gives the data set of a file of the same table."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from experiments.data import frames
from experiments.data.datasets import load_dataset
from experiments.data.frames import frame_of_bytes, given_frame, kept_bytes
from experiments.data.readers import read_frame, read_options
from experiments.errors import DataError, SpecError
from experiments.spec import load_spec

_X = np.arange(40.0).reshape(20, 2) ** 2 % 17
_Y = np.arange(20) % 3
_SPEC: dict[str, Any] = {"name": "own", "steps": 3}


def _frame() -> pd.DataFrame:
    """Return a frame with every kind of column, and empty cells."""
    return pd.DataFrame(
        {
            "number": np.where(np.arange(20) == 3, np.nan, _X[:, 0]),
            "whole": pd.array([None, *range(30, 11, -1)], dtype="Int64"),
            "flag": pd.array([True, None, *[False, True] * 9], dtype="boolean"),
            "city": pd.Categorical(
                [None, *["Rome", "Oslo", "NA", "Oslo", "Rome"] * 3, *["NA", "Oslo", "Oslo", "Rome"]]
            ),
            "label": _Y,
            "late": ["yes" if k > 12 else "no" for k in range(20)],
        }
    )


@pytest.mark.parametrize("target", ["label", "late", "flag", "number", "whole"])
def test_a_frame_its_file_and_its_recorded_copy_give_one_data_set(tmp_path: Path, target: str) -> None:
    _frame().to_parquet(tmp_path / "own.parquet")
    section = {"missing": "drop", "encode": "one_hot", "task": "regression" if target in ("whole", "number") else None}
    given = load_spec({**_SPEC, "dataset": section}, frame=_frame(), target=target)
    of_file = load_spec({**_SPEC, "dataset": {**section, "path": str(tmp_path / "own.parquet"), "target": target}})
    data = load_dataset(given.spec.dataset, tmp_path, _frame())
    same = load_dataset(of_file.spec.dataset, tmp_path)
    kept = load_dataset(given.spec.dataset, tmp_path, frame_of_bytes(kept_bytes(read_frame(_frame()))))
    assert data.fingerprint == same.fingerprint == kept.fingerprint
    assert data.columns == same.columns == kept.columns
    assert data.classes == same.classes == kept.classes
    assert data.notes == same.notes == kept.notes
    assert data.name == "data"


def test_the_recorded_copy_has_empty_cells_for_na_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": ["1", "?", "4", "9", "3"], "y": [0.5, 1, 2, 3, 5]})
    section = {"missing": "mean", "na_values": ["?"], "test_fraction": 0.0}
    given = load_spec({**_SPEC, "dataset": section}, frame=frame, target="y").spec.dataset
    kept = frame_of_bytes(kept_bytes(read_frame(frame, options=read_options(given))))
    assert load_dataset(given, tmp_path, kept).fingerprint == load_dataset(given, tmp_path, frame).fingerprint


def test_columns_that_are_not_used_need_not_be_kept() -> None:
    frame = _frame().assign(when=pd.date_range("2026-01-01", periods=20))
    assert list(frame_of_bytes(kept_bytes(read_frame(frame))).columns) == list(_frame().columns)


@pytest.mark.parametrize(
    ("data", "target", "names"),
    [
        (_X, _Y, ["x0", "x1", "target"]),
        (_X.tolist(), _Y.tolist(), ["x0", "x1", "target"]),
        (_X, _Y[:, None], ["x0", "x1", "target"]),
        (pd.DataFrame(_X, columns=["a", "b"]), pd.Series(_Y, name="kind"), ["a", "b", "kind"]),
        (pd.DataFrame(_X, columns=["a", "b"]), _Y, ["a", "b", "target"]),
        ({"a": _X[:, 0], "kind": _Y}, "kind", ["a", "kind"]),
    ],
)
def test_arrays_become_a_frame(data: Any, target: Any, names: list[str]) -> None:
    frame, name = given_frame(data, target)
    assert list(frame.columns) == names
    assert name == names[-1]
    assert frame[name].tolist() == _Y.tolist()
    assert frame.iloc[:, 0].tolist() == _X[:, 0].tolist()


_AB, _TWO = pd.DataFrame(_X, columns=["a", "b"]), np.stack([_Y, _Y * 2], axis=1)


@pytest.mark.parametrize(
    ("data", "target", "names"),
    [
        (_X, _TWO, ["target0", "target1"]),
        (_X.tolist(), _TWO.tolist(), ["target0", "target1"]),
        (_AB, pd.DataFrame(_TWO, columns=["u, v", "w"]), ["u, v", "w"]),
        (_AB, pd.DataFrame(_TWO), ["target0", "target1"]),
        (_AB.assign(u=_TWO[:, 0], w=_TWO[:, 1]), ["u", "w"], ["u", "w"]),
        (_AB.assign(u=_TWO[:, 0], w=_TWO[:, 1]), ("u", "w"), ["u", "w"]),
        (_AB.assign(u=_TWO[:, 0], w=_TWO[:, 1]), pd.Index(["u", "w"]), ["u", "w"]),
        (_AB, {"u": _TWO[:, 0], "w": _TWO[:, 1]}, ["u", "w"]),
        (_AB, pa.table({"u": _TWO[:, 0], "w": _TWO[:, 1]}), ["u", "w"]),
    ],
)
def test_several_targets_have_a_column_each(data: Any, target: Any, names: list[str]) -> None:
    frame, found = given_frame(data, target)
    assert found == names
    assert frame[names].to_numpy().tolist() == _TWO.tolist()
    assert frame.drop(columns=names).to_numpy().tolist() == _X.tolist()


def test_columns_that_are_numbers_are_named_by_text(tmp_path: Path) -> None:
    """As in `sweep(spec, data=pd.DataFrame(values), target=["2", "3"])`."""
    frame, names = given_frame(pd.DataFrame(np.hstack([_X, _TWO])), ["2", "3"])
    assert names == ["2", "3"]
    section = load_spec({**_SPEC, "dataset": {"task": "regression"}}, frame=frame, target=names).spec.dataset
    data = load_dataset(section, tmp_path, frame)
    assert (data.feature_names, data.target_names) == (("0", "1"), ("2", "3"))


def test_a_list_with_a_wrong_name_is_one_of_names(tmp_path: Path) -> None:
    frame, names = given_frame(_AB.assign(height=_Y), ["height", "weigth"])
    section = load_spec({**_SPEC, "dataset": {"task": "regression"}}, frame=frame, target=names).spec.dataset
    with pytest.raises(DataError, match="data has no column 'weigth' for the target"):
        load_dataset(section, tmp_path, frame)


@pytest.mark.parametrize(
    ("data", "target", "message"),
    [
        (_X[:, 0], _Y, "data is not a list of rows; give a data frame"),
        (_X[:, 0].tolist(), _Y, "data is not a list of rows"),
        (_X[None], _Y, "data is not a table"),
        (5, _Y, "data is not a table"),
        ("own.csv", "y", "data is 'own.csv': give the table itself, or name the file under dataset.path"),
        (Path("own.csv"), "y", "data is 'own.csv': give the table"),
        (
            pd.DataFrame(_X),
            1,
            r"target is 1: give the name of a column as text \(target='1'\), or a value for each row",
        ),
        (_X, 7, r"target is 7: give the name of a column as text \(target='x1'\)"),
        (_X, _Y[:3], "data has 20 rows, but target has 3"),
        (_X, np.zeros((20, 2, 2)), "target has 3 dimensions; give one value for each row, or a row of values"),
        (_X, np.zeros((20, 0)), "target has no column; give a value for each row"),
        (_X, np.stack([_Y, _Y])[:, :3], "data has 20 rows, but target has 2"),
        (_X, ["yes", "no"], "data has 20 rows, but target has 2"),
        (_X, [[1.0, 2.0], [3.0]], "the rows of target have different lengths"),
        (_X, [[1.0, [2.0]], [3.0, 4.0]], "the rows of target have different lengths"),
        (_X, pd.DataFrame(np.zeros((20, 2)), columns=["u", "u"]), "target has the column 'u' twice; rename one"),
        (pd.DataFrame({"target": _Y}), _Y, "data already has a column 'target'"),
        (pd.DataFrame({"a": _Y}), pd.Series(_Y)[::-1], "data and target have different indices"),
        (pd.DataFrame({"a": _Y}), pd.DataFrame({"u": _Y, "v": _Y})[::-1], "data and target have different indices"),
        (pd.DataFrame({"target1": _Y}), np.stack([_Y, _Y], axis=1), "data already has a column 'target1'"),
    ],
)
def test_data_that_do_not_fit_are_refused(data: Any, target: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        given_frame(data, target)


@pytest.mark.parametrize("key", ["name", "path", "samples", "separator"])
def test_the_spec_names_no_other_data(key: str) -> None:
    value = 10 if key == "samples" else ";" if key == "separator" else "moons"
    with pytest.raises(SpecError, match=f"{key} does not apply to a table from Python; remove it"):
        load_spec({**_SPEC, "dataset": {key: value}}, frame=_frame(), target="label")


def test_the_target_is_named_once() -> None:
    with pytest.raises(SpecError, match=r"dataset\.target is 'late', but the data came with target='label'"):
        load_spec({**_SPEC, "dataset": {"target": "late"}}, frame=_frame(), target="label")
    with pytest.raises(SpecError, match="a table from Python needs target"):
        load_spec(_SPEC, frame=_frame())
    assert load_spec({**_SPEC, "dataset": {"target": "late"}}, frame=_frame()).spec.dataset.target == "late"


def test_a_ready_sweep_trains_on_the_data_that_are_given() -> None:
    resolved = load_spec("moons", ("dataset.encode=one_hot",), frame=_frame(), target="label")
    assert resolved.source.data["dataset"] == {"target": "label", "encode": "one_hot"}


def test_a_table_too_large_to_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_BYTES", 2_000)
    with pytest.raises(DataError, match=r"a sweep stores up to .* Write it to a file, and set dataset\.path"):
        kept_bytes(read_frame(_frame()))
