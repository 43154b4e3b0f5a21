"""Several target columns: read, checked, standardised, split, and what of a single target stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import StandardScaler

from experiments.data.dataset_spec import DatasetSpec
from experiments.data.datasets import Dataset, load_dataset
from experiments.errors import DataError

_ROWS = 24


def _frame() -> pd.DataFrame:
    """Return two features, two targets in very different units, and a column of weights."""
    k = np.arange(_ROWS)
    return pd.DataFrame(
        {"a": k * 7 % 11, "b": k * k % 13 / 4, "w": 1 + k % 3, "y": k * 5 % 17 / 8, "z": k * k % 23 * 125.5}
    )


def _load(frame: pd.DataFrame, folder: Path = Path(), **section: Any) -> Dataset:
    keys = {"target": ["y", "z"], "features": ["a", "b"], **section}
    return load_dataset(DatasetSpec.model_validate(keys, context={"given": True}), folder, frame)


def test_each_target_is_standardised_on_the_training_part() -> None:
    frame = _frame()
    data = _load(frame, test_fraction=0.25)
    train, test = (np.sort(rows) for rows in train_test_split(np.arange(_ROWS), test_size=0.25, random_state=0))
    scaler = StandardScaler().fit(frame.loc[train, ["y", "z"]].to_numpy())
    samples, tested = data.training("mean_squared_error", "identity"), data.test("mean_squared_error", "identity")
    assert tested is not None
    for part, rows in ((samples, train), (tested, test)):
        np.testing.assert_allclose(part.targets, scaler.transform(frame.loc[rows, ["y", "z"]].to_numpy()), rtol=1e-13)
    assert (data.training_targets == frame.loc[train, ["y", "z"]].to_numpy()).all()
    assert (data.output_count, data.target_names, data.task) == (2, ("y", "z"), "regression")


@pytest.mark.parametrize(
    ("target", "key", "scaled"), [("y", None, False), ("y", True, True), (["y", "z"], False, False)]
)
def test_one_target_is_standardised_if_the_spec_says_so(target: Any, key: bool | None, scaled: bool) -> None:
    data = _load(_frame(), target=target, standardize_target=key, test_fraction=0)
    targets = data.training("huber", "identity").targets
    assert targets.shape == (_ROWS, data.output_count)
    if scaled:
        assert (targets.mean(), targets.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    else:
        assert (targets == _frame()[list(data.target_names)].to_numpy()).all()


def test_the_scale_is_part_of_the_fingerprint() -> None:
    """Standardised targets are equal in any unit, but measures and predictions are not."""
    frame = _frame()
    everything = [
        _load(frame),
        _load(frame, standardize_target=False),
        _load(frame.assign(z=frame["z"] * 3)),
        _load(frame, target=["z", "y"]),
        _load(frame, target="y"),
        _load(frame, target="y", standardize_target=True),
        _load(frame.assign(y=frame["y"] * 2), target="y", standardize_target=True),
        _load(frame, sample_weight="w"),
    ]
    assert len({data.fingerprint for data in everything}) == len(everything)
    assert _load(frame, target=["y"]).fingerprint == _load(frame, target="y").fingerprint


@pytest.mark.parametrize(
    ("section", "fingerprint"),
    [
        ({}, "e7f0b5e8c1ac37da8d3ba1aba332029e"),
        ({"validation_fraction": 0.25}, "b84793694f3ed1384f3aa9116f150b87"),
        ({"sample_weight": "w"}, "524ac973a7bcaed156823b8bbddf0e25"),
        ({"standardize": False}, "da74cc0572f6f2724cf09ea1997dd602"),
    ],
)
def test_the_fingerprint_of_a_single_target_is_that_of_older_versions(
    section: dict[str, Any], fingerprint: str
) -> None:
    """These were written down before there were several targets: sweeps that have them are resumed."""
    assert _load(_frame(), target="y", **section).fingerprint == fingerprint


def test_a_file_and_a_frame_are_one_data_set_whatever_the_names(tmp_path: Path) -> None:
    names = ["height, in cm", "weight (kg)"]
    frame = _frame().rename(columns=dict(zip("yz", names, strict=True)))
    of_frame = _load(frame, target=names)
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    for file in ("own.csv", "own.parquet"):
        keys = {"path": file, "target": names, "features": ["a", "b"]}
        of_file = load_dataset(DatasetSpec.model_validate(keys), tmp_path)
        assert (of_file.fingerprint, of_file.target_names) == (of_frame.fingerprint, tuple(names))


def test_the_facts_bring_the_targets_back() -> None:
    data = _load(_frame())
    again = Dataset.from_facts(data.facts)
    assert (again.target_names, again.output_count, again.training_targets.shape[1]) == (("y", "z"), 2, 2)
    assert again.facts == data.facts
    older = {key: value for key, value in _load(_frame(), target="y").facts.items() if not key.startswith("target")}
    assert (Dataset.from_facts(older).output_count, Dataset.from_facts(older).target_scale) == (1, None)


def test_targets_that_are_not_named_are_features() -> None:
    assert _load(_frame(), features=None, target=["z", "y"]).feature_names == ("a", "b", "w")


def test_folds_split_parts_and_weights_work() -> None:
    frame = _frame()
    folds = [_load(frame, folds=4, fold=k) for k in range(4)]
    for data, (train, test) in zip(folds, KFold(4, shuffle=True, random_state=0).split(frame), strict=True):
        assert (data.training_targets == frame.loc[train, ["y", "z"]].to_numpy()).all()
        assert (data.test_targets == frame.loc[test, ["y", "z"]].to_numpy()).all()
    words = ["train", "val", "test", "train"] * 6
    split = _load(frame.assign(part=words), split="part")
    assert [len(part) for part in (split.training_targets, split.validation_targets, split.test_targets)] == [12, 6, 6]
    weighted = _load(frame, sample_weight="w", test_fraction=0)
    samples = weighted.training("mean_squared_error", "identity")
    assert samples.targets.shape == (_ROWS, 3)
    assert samples.targets[:, 2] == pytest.approx(frame["w"] / frame["w"].mean())


def test_files_of_parts_have_the_targets_too(tmp_path: Path) -> None:
    frame = _frame().drop(columns="w")
    frame.iloc[:16].to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[16:][["z", "a", "y", "b"]].to_csv(tmp_path / "test.csv", index=False)
    keys = {"path": "train.csv", "test": "test.csv", "target": ["y", "z"]}
    data = load_dataset(DatasetSpec.model_validate(keys), tmp_path)
    assert (data.test_targets == frame.loc[16:, ["y", "z"]].to_numpy()).all()
    frame.iloc[16:].drop(columns="z").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(DataError, match=r"test.csv has no column 'z', which train.csv has"):
        load_dataset(DatasetSpec.model_validate(keys), tmp_path)


def test_rows_with_an_empty_target_are_dropped_with_missing() -> None:
    frame = _frame().assign(z=_frame()["z"].where(np.arange(_ROWS) != 5), y=_frame()["y"].where(np.arange(_ROWS) != 9))
    for rule in ("drop", {"y": "drop", "z": "drop"}):
        data = _load(frame, missing=rule, test_fraction=0)
        assert (data.dropped, data.training_targets.tolist()) == (2, frame.dropna()[["y", "z"]].to_numpy().tolist())


def test_a_feature_that_gives_one_of_the_targets_away_is_named() -> None:
    frame = _frame().assign(copy=_frame()["z"], line=3 - 2 * _frame()["y"])
    with pytest.raises(
        DataError, match="the feature 'copy' equals the target 'z' in every row, so a network would only"
    ):
        _load(frame.drop(columns="line"), features=None)
    notes = _load(frame, features=["a", "b", "copy", "line"]).notes
    assert "the feature 'copy' equals the target 'z' in every row: a network can just copy it" in notes
    assert any(note.startswith("the target 'y' is a straight line of the feature 'line'") for note in notes)
    assert not any("'line'" in note and "'z'" in note for note in notes)
    counted = _load(frame.assign(row=np.arange(_ROWS)), features=["a", "b", "row"]).notes
    assert len([note for note in counted if "counts the rows" in note]) == 1


def test_a_constant_target_has_a_note_and_becomes_zero() -> None:
    data = _load(_frame().assign(z=7.5), test_fraction=0)
    assert "the target 'z' is constant in the training part, so there is nothing to learn about it" in data.notes
    assert (data.training("huber", "identity").targets[:, 1] == 0).all()


def test_rows_in_two_parts_agree_in_every_target() -> None:
    frame = pd.concat([_frame(), _frame().iloc[:4].assign(z=lambda f: [*f["z"][:2], -1.5, -2.5])], ignore_index=True)
    notes = _load(frame.assign(part=["train"] * _ROWS + ["test"] * 4), split="part").notes
    assert any(note.startswith("2 of the 4 rows for testing are for training too") for note in notes)
