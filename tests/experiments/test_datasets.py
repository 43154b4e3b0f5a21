"""Built-in data sets and files of the user's own, from the spec to samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from experiments.data.builtin_data import BUILTINS
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, accuracy_threshold, load_dataset
from experiments.errors import DataError


def _load(folder: Path = Path(), **spec: Any) -> Dataset:
    return load_dataset(DatasetSpec.model_validate(spec), folder)


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_a_data_set_is_the_same_each_time_and_standardised(name: str) -> None:
    data, again = _load(name=name), _load(name=name)
    assert data.fingerprint == again.fingerprint
    assert (data.training_features == again.training_features).all()
    spread = data.training_features.std(axis=0)
    np.testing.assert_allclose(data.training_features.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(spread[spread > 0], 1, rtol=1e-12)
    total = len(data.training_targets) + len(data.test_targets)
    assert len(data.test_targets) == (
        0 if name in ("xor", "and", "or", "random_normal") else pytest.approx(total / 4, abs=1)
    )


@pytest.mark.parametrize("name", ["moons", "circles", "blobs", "spirals", "line", "sine"])
def test_the_seed_decides_a_toy(name: str) -> None:
    assert _load(name=name, seed=1).fingerprint != _load(name=name, seed=2).fingerprint


@pytest.mark.parametrize(("name", "targets"), [("xor", [0, 1, 1, 0]), ("and", [0, 0, 0, 1]), ("or", [0, 1, 1, 1])])
def test_gates_hold_their_truth_table(name: str, targets: list[int]) -> None:
    data = _load(name=name, standardize=False)
    assert data.training_features.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.training_targets.tolist() == targets
    assert len(_load(name=name, samples=40, noise=0.1).training_targets) == 40


def test_curves_follow_their_function() -> None:
    line = _load(name="line", noise=0, standardize=False)
    np.testing.assert_allclose(line.training_targets, 2 * line.training_features[:, 0] - 1)
    sine = _load(name="sine", noise=0, standardize=False)
    np.testing.assert_allclose(sine.training_targets, np.sin(sine.training_features[:, 0]))


def test_real_data_is_that_of_scikit_learn() -> None:
    data = _load(name="wine", test_fraction=0, standardize=False)
    bunch = sklearn.datasets.load_wine()
    assert (data.training_features == bunch.data).all()
    assert (data.training_targets == bunch.target).all()
    assert data.feature_names == tuple(bunch.feature_names)


def test_the_split_keeps_the_classes_proportions_and_loses_nothing() -> None:
    data = _load(name="breast_cancer", test_fraction=0.3, standardize=False)
    whole = sklearn.datasets.load_breast_cancer()
    assert data.test_targets.mean() == pytest.approx(whole.target.mean(), abs=0.005)
    rows = np.concatenate([data.training_features, data.test_features])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, whole.data.tolist()))


def test_features_and_classes_can_be_chosen() -> None:
    data = _load(name="iris", classes=["virginica", "setosa"], features=["petal width (cm)"], test_fraction=0)
    assert data.classes == ("virginica", "setosa")
    assert data.training_features.shape == (100, 1)
    assert data.training_targets.tolist() == [1.0] * 50 + [0.0] * 50
    assert (data.training_features[:50] < data.training_features[50:].min()).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "moonz"}, "no data set is called 'moonz'; did you mean 'moons'"),
        ({"name": "iris", "samples": 10}, "iris is a real data set, and samples and noise are only for toys"),
        ({"name": "iris", "task": "regression"}, "iris is a classification data set, not regression"),
        ({"name": "iris", "features": ["petal"]}, "iris has no feature 'petal'"),
        ({"name": "iris", "classes": ["setosa", "versicolour"]}, "no class 'versicolour'; did you mean 'versicolor'"),
        ({"name": "iris", "classes": ["setosa", "setosa"]}, "the class 'setosa' is listed twice"),
        ({"name": "sine", "classes": ["a", "b"]}, "regression target: it has no classes"),
        ({"name": "iris", "test_fraction": 0.99}, "each part needs a sample of each of the 3 classes; set another"),
        ({"name": "diabetes", "test_fraction": 0.999}, "one of the parts would be empty; set another"),
        ({"path": "a\0b.csv", "target": "y"}, r"the data file '.*a\\x00b.csv' can't be read"),
        ({"path": "a" * 5000, "target": "y"}, "the data file .* can't be read: File name too long"),
        ({"name": "xor", "test_fraction": 0.1}, "4 samples can't be split with test_fraction 0.1"),
    ],
)
def test_messages(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _load(**spec)


@pytest.mark.parametrize(
    ("loss", "output", "low", "threshold"),
    [
        ("mean_squared_error", "identity", 0.0, 0.5),
        ("mean_squared_error", "tanh", -1.0, 0.0),
        ("hinge", "identity", -1.0, 0.0),
        ("cross_entropy", "identity", 0.0, 0.0),
    ],
)
def test_classes_become_the_targets_that_a_loss_wants(loss: str, output: str, low: float, threshold: float) -> None:
    two = _load(name="moons")
    targets = two.training(loss, output).targets
    assert targets.shape == (150, 1)
    assert (targets[:, 0] == np.where(two.training_targets == 1, 1.0, low)).all()
    three = _load(name="iris")
    targets = three.training(loss, output).targets
    assert targets.shape == (112, 3)
    assert (targets.argmax(axis=1) == three.training_targets).all()
    assert set(targets.ravel()) == {low, 1.0}
    assert accuracy_threshold(loss, output) == threshold


def test_regression_targets_stay_as_they_are() -> None:
    data = _load(name="diabetes", test_fraction=0)
    assert (data.training("huber", "tanh").targets[:, 0] == sklearn.datasets.load_diabetes().target).all()
    assert data.test("huber", "tanh") is None


# ------------------------------------------------------------------------------------------------------- own files


def _csv(folder: Path, text: str, **spec: Any) -> Dataset:
    (folder / "own.csv").write_text(text, encoding="utf-8")
    return _load(folder, path="own.csv", **{"target": "y", "test_fraction": 0, **spec})


def test_a_csv_with_words_for_classes(tmp_path: Path) -> None:
    data = _csv(tmp_path, "a,y,b\n1,dog,2\n3,cat,4.5\n5,dog,6\n", standardize=False)
    assert (data.task, data.classes, data.feature_names) == ("classification", ("cat", "dog"), ("a", "b"))
    assert data.training_features.tolist() == [[1, 2], [3, 4.5], [5, 6]]
    assert data.training_targets.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        ("0 1 1 0", None, "classification"),
        ("0.5 1 2 3", None, "regression"),
        ("0 1 1 0", "regression", "regression"),
        ("1.5 2.5 1.5 2.5", "classification", "classification"),
        (" ".join(map(str, range(30))), None, "regression"),
    ],
)
def test_the_task_follows_from_the_target_or_the_spec(tmp_path: Path, values: str, task: str, expected: str) -> None:
    text = "x,y\n" + "".join(f"{n * n},{value}\n" for n, value in enumerate(values.split()))
    assert _csv(tmp_path, text, task=task).task == expected


def test_parquet_and_csv_give_the_same_data_set(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.0, 3.0], "y": [0, 1, 0]})
    frame.to_parquet(tmp_path / "own.parquet")
    frame.to_csv(tmp_path / "own.csv", index=False)
    spec = {"target": "y", "test_fraction": 0}
    both = [_load(tmp_path, path=f"own.{kind}", **spec) for kind in ("parquet", "csv")]
    assert both[0].fingerprint == both[1].fingerprint


def test_a_changed_cell_changes_the_fingerprint(tmp_path: Path) -> None:
    before = _csv(tmp_path, "x,y\n1,0\n2,1\n3,0\n").fingerprint
    assert _csv(tmp_path, "x,y\n1,0\n2,1\n3.0001,0\n").fingerprint != before


def test_numeric_features_can_be_picked_out_of_a_file_with_words(tmp_path: Path) -> None:
    assert _csv(tmp_path, "id,x,y\na,1,0\nb,2,1\n", features=["x"]).feature_names == ("x",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.csv is empty"),
        ("x,y\n", r"own.csv has 0 rows of data"),
        ("x,z\n1,2\n3,4\n", "own.csv has no column 'y' for the target; known: x, z"),
        ("y\n1\n2\n", "no column for a feature besides the target 'y'"),
        ("x,y\n1,0\n2,1,9\n3,0\n", "own.csv, line 3 has 3 fields, but the header has 2 names"),
        ("x,y\n1,0,7\n2,1,9\n", "own.csv, line 2 has 3 fields, but the header has 2 names"),
        ("x,y\n1,0\n2,\n", r"own.csv, line 3: column 'y' is empty \(1 such cell\); write missing: drop"),
        ("x,y\n1,0\n,1\nNaN,1\n", r"own.csv, line 3: column 'x' is empty \(2 such cells\); write missing: drop, mean"),
        ("x,z,y\n1,1,0\n,,1\n", r"line 3: column 'x' is empty \(1 such cell; 'z' has empty cells too\)"),
        ("x,z,y\n1,,0\n2,,1\n", "own.csv: column 'z' is empty in every row; leave it out"),
        ("x,y\nred,0\nblue,1\n", r"line 2: column 'x' holds 'red', .*\(2 such cells\); write encode: one_hot"),
        (
            "x,y\n2024-01-31 08:30:00,0\n2024-02-01 09:30:00,1\n",
            r"own.csv, line 2: column 'x' holds dates or times, such as '2024-01-31 08:30:00' \(2 such cells\)",
        ),
        ("x,y\n31.1.2024,0\n1.2.2024,1\n", "column 'x' holds dates or times, such as '31.1.2024'"),
        ("x,y\n8:30,0\n9:30:15.5,1\n", "column 'x' holds dates or times, such as '8:30'"),
        (
            "x,y\n12%,0\n7.5 %,1\n",
            "'12%', which is not a number .* because of its sign or unit; write only the number",
        ),
        ("x,y\n€ 12,0\n£7.5,1\n", "holds '€ 12', which is not a number .* because of its sign or unit"),
        ("x,y\n12a,0\n7b,1\n", "holds '12a', which is not a number .*; write encode: one_hot"),
        ("x,y\n1,0\n", "own.csv has 1 row of data; training"),
        ("Title\nx,y\n1,0\n", "line 2 has 2 fields, but the header has 1 name .* If 'Title' is a title above"),
        (
            "1.5,a\n2.5,b\n3.5,a\n",
            "no column 'y' for the target; known: 1.5, a. The first line names the columns: if",
        ),
        ("x,yy\n1,a\n2,b\n", r"no column 'y' for the target; did you mean 'yy'\?$"),
        ("x,y\n31.1.2024,0\nlate,1\n", "column 'x' holds '31.1.2024', which is not a number .*encode: one_hot"),
        ("x;z;y\n1,234;1;0\n2,345;2;1\n", "^own.csv: column 'x' has '1,234' in line 2, which is either"),
        ("x,y\n1,0\ninf,1\n-inf,0\n", r"own.csv, line 3: column 'x' is infinite \(2 such cells\)"),
        ("x,y\n1,0.5\n2,inf\n", r"own.csv, line 3: column 'y' is infinite \(1 such cell\)"),
        ("x,y\n1,0\n2,0\n", "the target 'y' has a single class, '0'"),
    ],
)
def test_a_csv_that_cannot_be_learned_from(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _csv(tmp_path, text)


def test_a_file_that_is_missing_or_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the data file .*none.csv does not exist; correct dataset.path"):
        _load(tmp_path, path="none.csv", target="y")
    (tmp_path / "bad.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"bad.parquet can't be read"):
        _load(tmp_path, path="bad.parquet", target="y")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00x,y\n\x80")
    with pytest.raises(DataError, match=r"bad.csv"):
        _load(tmp_path, path="bad.csv", target="y")


def test_words_are_refused_as_a_regression_target(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the target 'y' is not a number"):
        _csv(tmp_path, "x,y\n1,a\n2,b\n", task="regression")
