"""Data that say which row is for training, validation or testing: by files of their own, or by a column."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.data.variants import load_datasets
from experiments.errors import DataError, SpecError
from experiments.source import override, read_yaml
from experiments.spec import check_spec, load_spec

_NAMES = {"train": "train", "val": "validation", "test": "test"}
_FILES = {"validation": "validation.csv", "test": "test.csv"}


def _frame() -> pd.DataFrame:
    """Return 40 rows. The codes of validation and test rows look like numbers, those of training rows do not."""
    rng = np.random.default_rng(3)
    part = np.array(["train"] * 24 + ["val"] * 6 + ["test"] * 10)
    code = np.where(part == "train", rng.choice(["01", "B2"], 40), "01")
    return pd.DataFrame(
        {
            "age": rng.integers(20, 70, 40) + 100 * (part != "train"),
            "code": code,
            "kind": ["a", "b"] * 20,
            "part": part,
        }
    ).sample(frac=1, random_state=0)


def _write(folder: Path, frame: pd.DataFrame, suffix: str = "csv") -> None:
    """Write all rows to all.csv without their indices, and each part to a file of its own."""
    frame.to_csv(folder / "all.csv", index=False)
    for word, name in _NAMES.items():
        rows = frame[frame["part"] == word].drop(columns="part")
        if suffix == "csv":
            rows.to_csv(folder / f"{name}.csv", index=False)
        else:
            rows.to_parquet(folder / f"{name}.parquet", index=False)


def _load(folder: Path, **spec: Any) -> Dataset:
    return load_dataset(DatasetSpec(**{"target": "kind", "encode": "one_hot", **spec}), folder)


def _sizes(data: Dataset) -> list[int]:
    return [len(data.training_targets), len(data.validation_targets), len(data.test_targets)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_and_a_column_give_the_same_data_set(tmp_path: Path, suffix: str) -> None:
    frame = _frame()
    _write(tmp_path, frame, suffix)
    of_column = _load(tmp_path, path="all.csv", split="part")
    of_files = _load(tmp_path, path=f"train.{suffix}", validation=f"validation.{suffix}", test=f"test.{suffix}")
    of_frame = load_dataset(
        DatasetSpec.model_validate({"target": "kind", "encode": "one_hot", "split": "part"}, context={"given": True}),
        tmp_path,
        frame.reset_index(drop=True),
    )
    assert _sizes(of_column) == [24, 6, 10]
    assert of_column.feature_names == ("age", "code=01", "code=B2")
    assert {data.fingerprint for data in (of_column, of_files, of_frame)} == {of_column.fingerprint}
    for word, features in (("val", of_files.validation_features), ("test", of_files.test_features)):
        rows = frame[frame["part"] == word]
        np.testing.assert_allclose(features[:, 0] * of_files.scale[0] + of_files.center[0], rows["age"])
        assert (features[:, 1] == 1).all()
    assert of_column.ranked_by == of_files.ranked_by == "validation_"


def test_nothing_but_training_rows_decides_how_columns_become_inputs(tmp_path: Path) -> None:
    """Mean, deviation, fill values and categories stay the same bits whatever the other rows hold."""
    frame = _frame().astype({"age": float})
    frame.loc[[1, 2, 30, 39], "age"] = np.nan
    other = frame.copy()
    rest = other["part"] != "train"
    other.loc[rest, ["age", "code"]] = [1e6, "Z9"]
    trained = frame.loc[frame["part"] == "train", "age"]
    for number, rows in enumerate((frame, other)):
        (tmp_path / str(number)).mkdir()
        _write(tmp_path / str(number), rows)
    for spec in ({"path": "all.csv", "split": "part"}, {"path": "train.csv", **_FILES}):
        data, changed = (_load(tmp_path / folder, missing={"age": "mean"}, **spec) for folder in "01")
        assert data.columns == changed.columns
        assert data.columns[0].fill == pytest.approx(trained.mean())
        assert data.center[0] == pytest.approx(trained.fillna(trained.mean()).mean())
        assert data.scale[0] == pytest.approx(trained.fillna(trained.mean()).std(ddof=0))
        np.testing.assert_array_equal(data.center, changed.center)
        np.testing.assert_array_equal(data.scale, changed.scale)
        np.testing.assert_array_equal(data.training_features, changed.training_features)
        assert (changed.test_features[:, 1:] == 0).all()
        notes = "\n".join(changed.notes)
        assert all(f"'code': 'Z9' only in the {part} part" in notes for part in ("test", "validation"))
        assert data.fingerprint != changed.fingerprint


def test_the_fingerprint_covers_each_file(tmp_path: Path) -> None:
    frame = _frame()
    _write(tmp_path, frame)
    before = _load(tmp_path, path="train.csv", **_FILES).fingerprint
    for name in _FILES.values():
        text = (tmp_path / name).read_text(encoding="utf-8")
        rows = pd.read_csv(tmp_path / name, dtype={"code": str})
        rows.assign(age=rows["age"] + 1).to_csv(tmp_path / name, index=False)
        assert _load(tmp_path, path="train.csv", **_FILES).fingerprint != before
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert _load(tmp_path, path="train.csv", **_FILES).fingerprint == before


def test_what_the_data_do_not_name_is_drawn_from_the_other_rows(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    tested = _load(tmp_path, path="train.csv", test="test.csv")
    validated = _load(tmp_path, path="train.csv", test="test.csv", validation_fraction=0.25)
    assert (_sizes(tested), _sizes(validated)) == ([24, 0, 10], [18, 6, 10])
    np.testing.assert_array_equal(
        validated.test_features[:, 0] * validated.scale[0] + validated.center[0],
        tested.test_features[:, 0] * tested.scale[0] + tested.center[0],
    )
    other_seed = _load(tmp_path, path="train.csv", test="test.csv", validation_fraction=0.25, seed=1)
    assert other_seed.fingerprint != validated.fingerprint
    assert _sizes(_load(tmp_path, path="train.csv", validation="validation.csv")) == [18, 6, 6]
    assert _sizes(_load(tmp_path, path="train.csv", validation="validation.csv", test_fraction=0)) == [24, 6, 0]
    folds = _load(tmp_path, path="train.csv", validation="validation.csv", folds=3, fold=1)
    assert _sizes(folds) == [16, 6, 8]
    frame = _frame()
    frame[frame["part"] != "val"].to_csv(tmp_path / "two.csv", index=False)
    assert _sizes(_load(tmp_path, path="two.csv", split="part")) == [24, 0, 10]
    assert _sizes(_load(tmp_path, path="two.csv", split="part", validation_fraction=0.25)) == [18, 6, 10]


def test_words_of_the_column(tmp_path: Path) -> None:
    words = ["train", " Train", "TRAINING", "train", "valid", "Val", "VALIDATION", "test", "Test"]
    frame = pd.DataFrame({"x": range(5, 50, 5), "y": [1.5, 0, 3, 2, 5, 4, 7, 6, 9], "part": words})
    frame.to_csv(tmp_path / "all.csv", index=False)
    data = _load(tmp_path, path="all.csv", target="y", split="part", encode=None)
    assert _sizes(data) == [4, 3, 2]
    assert data.feature_names == ("x",)


def test_columns_are_matched_by_name_and_classes_by_value(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b,c,y\n1,2,7,0\n3,1,7,1\n2,5,7,2\n4,3,7,0\n", encoding="utf-8")
    pd.DataFrame({"y": [2.0, 1.0], "d": [0, 0], "b": [9, 8], "a": [7, 6]}).to_parquet(tmp_path / "test.parquet")
    data = _load(
        tmp_path, path="train.csv", test="test.parquet", target="y", features=["a", "b"], encode=None, standardize=False
    )
    assert data.classes == ("0", "1", "2")
    assert data.test_targets.tolist() == [2, 1]
    assert data.test_features.tolist() == [[7, 9], [6, 8]]
    chosen = _load(
        tmp_path, path="train.csv", test="test.parquet", target="y", features=["a"], classes=["2", "0"], encode=None
    )
    assert (_sizes(chosen), chosen.test_targets.tolist()) == ([3, 0, 1], [0])


def test_the_rule_for_empty_cells_is_that_of_the_training_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,w,y\n1,p,0.5\n,q,1.5\n4,p,0.1\n4,,0.3\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("a,w,y\n,p,1\n,q,2\n,,3\n", encoding="utf-8")
    spec = {"path": "train.csv", "test": "test.csv", "target": "y", "standardize": False}
    data = _load(tmp_path, missing={"a": "mean", "w": "drop"}, **spec)
    assert data.test_features.tolist() == [[2.5, 1, 0], [2.5, 0, 1]]
    assert (data.dropped, data.filled) == (2, 3)
    (tmp_path / "train.csv").write_text("a,w,y\n1,p,0.5\n3,q,1.5\n4,p,0.1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.csv, line 2: column 'a' is empty .*; write missing: drop, mean or"):
        _load(tmp_path, missing={"w": "drop"}, **spec)


_TRAIN = "a,b,w,y\n1,True,p,u\n2,False,q,v\n3,True,p,v\n4,True,q,u\n"


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("a,b,w\n1,True,p\n", {}, "test.csv has no column 'y', which train.csv has; add it"),
        ("A,y\n1,u\n", {}, "test.csv has no columns 'a', 'b', 'w', which train.csv has; add them, .*known: A, y"),
        ("a,b,w,y,z\n1,True,p,u,1\n", {}, "test.csv has the column 'z', which train.csv does not have; remove it, or"),
        ("a,b,w,y\n1,True,p,u\n?,True,p,v\n", {}, ("test.csv, line 3: column 'a' holds '\\?', which is not a number "
         ".*train.csv has numbers there; write a number, or na_values: \\[\"\\?\"\\] and missing")),
        ("a,b,w,y\n1,1,p,u\n", {}, "test.csv, line 2: column 'b' holds numbers, such as '1', and train.csv has bool"),
        ("a,b,w,y\nTrue,True,p,u\n", {}, "test.csv, line 2: column 'a' holds booleans, such as 'True', and train.csv"),
        ("a,b,w,y\n1,True,p,u\n1,True,p,V\n", {}, ("test.csv, line 3: the target 'y' has the class 'V', which train"
         ".csv does not have \\(1 such row\\); remove these rows, or name the classes to use under dataset.classes")),
        ("a,b,w,y\n1,True,p,V\n", {"classes": ["u", "v"]}, "test.csv has no row of the classes of dataset.classes"),
        ("a,b,w,y\n1,True,,u\n", {}, "test.csv, line 2: column 'w' is empty \\(1 such cell\\); write missing: drop"),
        ("a,b,w,y\n1,True,,u\n", {"missing": "drop"}, "test.csv: no row is left when those with empty cells are"),
        ("a,b,w,y\ninf,True,p,u\n", {}, "test.csv, line 2: column 'a' is infinite \\(1 such cell\\)"),
        ("a,b,w,y\n", {}, "test.csv has no row of data; add rows, or remove the key"),
        (None, {}, "the data file .*test.csv does not exist; correct dataset.test, or put the file there"),
        (_TRAIN, {"test": "../{}/train.csv"}, "train.csv is the file of dataset.path too; the parts need rows"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, text: str | None, spec: dict[str, Any], message: str
) -> None:
    (tmp_path / "train.csv").write_text(_TRAIN, encoding="utf-8")
    if text is not None:
        (tmp_path / "test.csv").write_text(text, encoding="utf-8")
    given = {"path": "train.csv", "test": "test.csv", "target": "y", **spec}
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path, **{**given, "test": given["test"].format(tmp_path.name)})
    assert caught.value.key == "test"


def test_a_note_tells_of_rows_that_are_in_two_parts(tmp_path: Path) -> None:
    """Rows with the same features but another target are not the same, and neither are those of a drawn split."""
    frame = pd.DataFrame({"a": [1.0, 2, np.nan, 4, 5, 5], "w": list("pqqppq"), "y": ["u", "v"] * 3})
    spec = {"path": "train.csv", "target": "y", "missing": {"a": "mean"}, "classes": ["u", "v"]}
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[[1, 2, 4]].replace({"y": {"u": "v"}, "a": {np.nan: 7.0}}).to_csv(tmp_path / "test.csv", index=False)
    frame.iloc[[2, 3, 2]].to_csv(tmp_path / "validation.csv", index=False)
    rest = "for training too, with the same features and target, so figures of that part are too good"
    assert [note for note in _load(tmp_path, **_FILES, **spec).notes if "for training too" in note] == [
        f"3 of the 3 rows for validation are {rest}; remove them from one part",
        f"1 of the 3 rows for testing is {rest}; remove them from one part",
    ]
    pd.concat([frame, frame]).to_csv(tmp_path / "twice.csv", index=False)
    assert "for training too" not in "".join(_load(tmp_path, **{**spec, "path": "twice.csv"}).notes)


def test_each_part_has_a_file_of_its_own(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    (tmp_path / "link.csv").symlink_to(tmp_path / "test.csv")
    with pytest.raises(DataError, match=r"link\.csv is the file of dataset\.validation too; the parts need rows"):
        _load(tmp_path, path="train.csv", validation="test.csv", test="link.csv")
    for name in ("a\0b.csv", "a" * 5000):
        with pytest.raises(DataError, match=r"the data file .* can't be read"):
            _load(tmp_path, path="train.csv", test=name)


def test_a_new_number_among_classes_may_be_a_number_to_predict(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,y\n1,1\n2,2\n3,1\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("a,y\n1,1\n3,7\n", encoding="utf-8")
    spec = {"path": "train.csv", "test": "test.csv", "target": "y", "encode": None}
    with pytest.raises(DataError, match=r"line 3: the target 'y' has the class '7'.*or write task: regression"):
        _load(tmp_path, **spec)
    assert _load(tmp_path, task="regression", **spec).test_targets.tolist() == [1, 7]


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("a,part,y\n1,train,u\n2,dev,v\n3,tst,v\n", {}, ("own.csv, line 3: column 'part' holds 'dev' \\(2 such cells"
         "\\); write train, validation or test there")),
        ("a,part,y\n1,train,u\n2,,v\n", {}, "own.csv, line 3: column 'part' is empty \\(1 such cell\\); write train"),
        ("a,part,y\n1,0,u\n2,1,v\n", {}, "own.csv, line 2: column 'part' holds '0' \\(2 such cells\\)"),
        ("a,part,y\n1,False,u\n2,True,v\n", {}, "own.csv, line 2: column 'part' holds 'False'"),
        ("a,part,y\n1,test,u\n2,val,v\n", {}, "own.csv: no row has train in column 'part'; training needs"),
        ("a,part,y\n1,train,u\n2,val,v\n", {}, "own.csv: 1 row has train in column 'part'"),
        ("a,part,y\n1,train,u\n2,train,v\n3,test,w\n", {}, "own.csv, line 4: the class 'w' of 'y' has no row with"),
        ("a,part,y\n1,train,u\n2,train,v\n,test,v\n", {"missing": "drop"}, "own.csv: each row of the test part has an"),
        ("a,part,y\n1,train,u\n,train,v\n3,test,u\n", {"missing": "drop"}, "own.csv: 1 row has train in column 'part'"),
        ("a,prt,y\n1,train,u\n2,train,v\n", {}, "own.csv has no column 'part'; did you mean 'prt'?"),
        ("a,part,y\n1,train,u\n2,val,v\n", {"features": ["a", "part"]}, ("the column 'part' says which row is which, "
         "and is under dataset.features; name another column")),
        ("a,part,y\n1,train,u\n2,val,v\n", {"target": "part"}, "says which row is which, and is the target"),
    ],
)  # fmt: skip
def test_a_column_that_does_not_fit_is_refused(tmp_path: Path, text: str, spec: dict[str, Any], message: str) -> None:
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path, **{"path": "own.csv", "split": "part", "target": "y", "encode": None, **spec})
    assert caught.value.key == "split"


def test_a_class_of_test_rows_alone_may_be_left_out(tmp_path: Path) -> None:
    text = "a,part,y\n1,train,u\n2,train,v\n5,train,u\n3,test,w\n4,test,v\n"
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    data = _load(tmp_path, path="own.csv", split="part", target="y", classes=["u", "v"], encode=None)
    assert _sizes(data) == [3, 0, 1]


def test_validation_rows_are_not_both_named_and_drawn(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    with pytest.raises(DataError, match=r"column 'part' has rows for validation, and validation_fraction would draw"):
        _load(tmp_path, path="all.csv", split="part", validation_fraction=0.1)


_BASE = "name: a\ndataset:\n  path: a.csv\n  target: y\n"
_BUILT_IN = "name: a\ndataset:\n  name: iris\n"


def _refusal(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        check_spec(read_yaml(text, "a.yaml", Path()))
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "place", "pair", "part"),
    [
        ("  test: t.csv\n  test_fraction: 0.2", "6: dataset.test_fraction", "test and test_fraction", "test"),
        ("  test_fraction: 0.2\n  split: p", "5: dataset.test_fraction", "split and test_fraction", "test"),
        ("  test: t.csv\n  folds: 3", "6: dataset.folds", "test and folds", "test"),
        ("  split: p\n  folds: 3", "6: dataset.folds", "split and folds", "test"),
        (
            "  validation: v.csv\n  validation_fraction: 0.2",
            "6: dataset.validation_fraction",
            "validation and validation_fraction",
            "validation",
        ),
        ("  split: p\n  validation: v.csv", "6: dataset.validation", "split and validation", "validation"),
        ("  test: t.csv\n  split: p", "5: dataset.test", "split and test", "test"),
    ],
)
def test_keys_that_contradict_each_other_are_named_with_the_line(lines: str, place: str, pair: str, part: str) -> None:
    assert _refusal(_BASE + lines) == f"a.yaml:{place}: {pair} both name the {part} part; remove one of them"


@pytest.mark.parametrize("key", ["validation", "test", "split"])
def test_a_built_in_data_set_has_no_such_keys(key: str) -> None:
    message = f"a.yaml:4: dataset.{key}: {key} applies only to files (path), not to a built-in data set; remove it"
    assert _refusal(f"{_BUILT_IN}  {key}: x") == message


@pytest.mark.parametrize("key", ["validation", "test"])
def test_a_table_from_python_names_a_column(key: str) -> None:
    with pytest.raises(SpecError, match=rf"spec: dataset.{key}: {key} does not apply to a table from Python; name a"):
        load_spec({"name": "a", "dataset": {key: "x.csv"}}, frame=_frame(), target="kind")


@pytest.mark.parametrize(
    ("key", "axis", "message"),
    [
        ("test: t.csv", "test_fraction: [0.1]", "test_fraction: dataset.test names the test part; remove one of them"),
        ("split: p", "test_fraction: [0.1]", "test_fraction: dataset.split names the test part; remove one of them"),
        ("test: t.csv", "fold: [0]", "fold: there are no folds"),
        ("split: p", "seed: [0, 1]", "seed: dataset.split says which row is which, and no row is drawn"),
        ("test: t.csv", "seed: [0, 1]", "seed: dataset.test says which row is which, and no row is drawn"),
    ],
)
def test_axes_that_the_data_leave_no_room_for_are_refused(key: str, axis: str, message: str) -> None:
    assert f"a.yaml:7: grid.dataset.{message}" in _refusal(f"{_BASE}  {key}\ngrid:\n  dataset.{axis}")


def test_seeds_are_an_axis_where_rows_are_drawn(tmp_path: Path) -> None:
    _write(tmp_path, _frame())
    spec = DatasetSpec(path="train.csv", test="test.csv", target="kind", encode="one_hot", validation_fraction=0.25)
    datasets = load_datasets(spec, tmp_path)
    assert [datasets.index({"dataset.seed": seed}) for seed in (0, 1)] == [0, 1]
    text = _BASE + "  test: t.csv\n  validation_fraction: 0.25\ngrid:\n  dataset.seed: [0, 1]"
    assert list(check_spec(read_yaml(text, "a.yaml", Path())).axes["dataset.seed"]) == [0, 1]


def test_a_file_of_the_command_line_is_relative_to_the_working_folder(tmp_path: Path) -> None:
    source = override(read_yaml(_BASE, "a.yaml", tmp_path), ("dataset.test=t.csv", "dataset.validation=v.csv"))
    assert source.data["dataset"]["test"] == str(Path("t.csv").absolute())
    assert source.data["dataset"]["validation"] == str(Path("v.csv").absolute())


def test_read_options_belong_to_any_of_the_files() -> None:
    DatasetSpec(path="a.parquet", test="b.csv", target="y", separator=";")
    with pytest.raises(ValueError, match=r"separator belongs to a CSV file; a\.parquet is Parquet"):
        DatasetSpec(path="a.parquet", test="b.parquet", target="y", separator=";")
