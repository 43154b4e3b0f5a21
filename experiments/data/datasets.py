"""Data sets that are ready for training: built in, from a file, or from a table in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arrays import Array, Floats
from engine.inputs import Cells, InputColumn
from engine.samples import Samples
from experiments.data.builtin_data import DEFAULT_TEST_FRACTION, builtin_table, find_builtin
from experiments.data.columns import Column
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.leaks import leak_notes
from experiments.data.preparation import Preparation, filled_cells, fit, preparation_notes
from experiments.data.readers import read_file, read_frame, read_options
from experiments.data.tables import Table, make_table
from experiments.data.targets import CLASSIFICATION, REGRESSION
from experiments.errors import DataError, quoted

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 5  # samples that the store keeps of a data set
_OTHER_FRACTION = "set another dataset.test_fraction, or 0 for no test part"
_SIGNED_OUTPUTS = frozenset({"tanh", "hard_tanh"})


@dataclass(frozen=True)
class Dataset:
    """A data set, split and prepared.

    name: of the built-in data set, or of the file without its suffix.
    task: `classification` or `regression`.
    training_features, test_features: (samples, features), prepared.
    training_targets, test_targets: (samples,), numbers or indices into `classes`.
    feature_names: of the prepared features; a one-hot encoded column has one for each category.
    classes: their names; empty for regression.
    center, scale: (features,), mean and standard deviation to standardise with; 0 and 1 if not standardised.
    fingerprint: a hash of the numbers, 32 hexadecimal digits.
    columns: the columns of the table, with their fill values and categories.
    examples: a few samples of the table before preparation, one array for each column.
    notes: sentences for the user to read before training.
    dropped: number of rows left out for an empty cell.
    filled: number of empty cells that were filled.
    """

    name: str
    task: str
    training_features: Floats
    training_targets: Floats
    test_features: Floats
    test_targets: Floats
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]
    center: Floats
    scale: Floats
    fingerprint: str
    columns: tuple[InputColumn, ...]
    examples: tuple[Cells, ...]
    notes: tuple[str, ...] = ()
    dropped: int = 0
    filled: int = 0

    @property
    def feature_count(self) -> int:
        """Number of prepared features."""
        return int(self.training_features.shape[1])

    @property
    def output_count(self) -> int:
        """Number of outputs of its models: one, or one for each class if there are more than two."""
        return len(self.classes) if len(self.classes) > 2 else 1

    @property
    def facts(self) -> dict[str, Any]:
        """Metadata that a trained network needs elsewhere, as plain values for JSON. `from_facts` reads it."""
        names = ("name", "task", "feature_names", "classes", "fingerprint")
        pairs = zip(self.columns, self.examples, strict=True)
        cells = [[_plain(column, cell) for cell in values.tolist()] for column, values in pairs]
        return {
            **{name: getattr(self, name) for name in names},
            "center": self.center.tolist(),
            "scale": self.scale.tolist(),
            "columns": [column.facts for column in self.columns],
            "examples": [list(row) for row in zip(*cells, strict=True)],
            "notes": list(self.notes),
        }

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Dataset:
        """Return a data set whose only samples are the examples. Its targets are zeros.

        Facts from an older gradgrid have no columns: each feature is a column of numbers.
        """
        names = tuple(facts["feature_names"])
        column_facts = facts.get("columns")
        columns = tuple(map(InputColumn, names) if column_facts is None else map(InputColumn.from_facts, column_facts))
        examples = tuple(
            np.array([row[k] for row in facts["examples"]], dtype=object if column.kind == "text" else float)
            for k, column in enumerate(columns)
        )
        center, scale = np.array(facts["center"], dtype=float), np.array(facts["scale"], dtype=float)
        features = Preparation(columns, center, scale).inputs(examples)
        return Dataset(
            name=facts["name"],
            task=facts["task"],
            training_features=features,
            training_targets=np.zeros(len(features)),
            test_features=features[:0],
            test_targets=np.empty(0),
            feature_names=names,
            classes=tuple(facts["classes"]),
            center=center,
            scale=scale,
            fingerprint=facts["fingerprint"],
            columns=columns,
            examples=examples,
        )

    def training(self, loss: str, output: str) -> Samples:
        """Return the training part, with targets in the form that this loss and output activation need."""
        return Samples(self.training_features, self._encode(self.training_targets, loss, output))

    def test(self, loss: str, output: str) -> Samples | None:
        """Return the test part, like `training`; None if it is empty."""
        if not len(self.test_targets):
            return None
        return Samples(self.test_features, self._encode(self.test_targets, loss, output))

    def _encode(self, targets: Floats, loss: str, output: str) -> Floats:
        """Return targets, (samples, outputs).

        Classes become 1 and 0, or 1 and -1 for hinge and tanh; more than two classes get a column each.
        """
        if self.task == REGRESSION:
            return targets[:, None]
        ones = targets[:, None] == (np.arange(self.output_count) if self.output_count > 1 else 1)
        return np.where(ones, 1.0, -1.0 if _is_signed(loss, output) else 0.0)


def _is_signed(loss: str, output: str) -> bool:
    return loss == "hinge" or (loss != "cross_entropy" and output in _SIGNED_OUTPUTS)


def accuracy_threshold(loss: str, output: str) -> float:
    """Return the output above which the second of two classes is predicted.

    It is the middle of the targets, or the logit 0.
    """
    return 0.0 if loss == "cross_entropy" or _is_signed(loss, output) else 0.5


def load_dataset(spec: DatasetSpec, folder: Path, frame: pd.DataFrame | None = None) -> Dataset:
    """Generate or read a data set, then check, split and prepare it.

    spec: the dataset section of a sweep file.
    folder: start of a relative path.
    frame: the data, if it comes from Python.
    Raises DataError with the file, column or row.
    """
    return prepare(*read_table(spec, folder, frame), spec)


def read_table(spec: DatasetSpec, folder: Path, frame: pd.DataFrame | None = None) -> tuple[Table, list[str]]:
    """Generate or read a data set's table and check it; return it with notes about it. Raises DataError.

    spec, folder, frame: as for `load_dataset`.
    """
    if spec.name is not None:
        return builtin_table(find_builtin(spec), spec), []
    options = read_options(spec)
    raw = read_file(folder / str(spec.path), options) if frame is None else read_frame(frame, options=options)
    table = make_table(raw, spec)
    return table, [*table.notes, *leak_notes(table, chosen=spec.features is not None)]


def prepare(table: Table, notes: Sequence[str], spec: DatasetSpec) -> Dataset:
    """Split a table into its parts and prepare them. Raises DataError.

    notes: about the table.
    spec: the dataset section of a sweep file.
    """
    training, test = _parts(table, spec)
    preparation = fit(table, training, standardize=spec.standardize)
    features, test_features = (preparation.inputs(_cells(table.columns, rows)) for rows in (training, test))
    targets, test_targets = table.targets[training], table.targets[test]
    return Dataset(
        name=table.name,
        task=table.task,
        training_features=features,
        training_targets=targets,
        test_features=test_features,
        test_targets=test_targets,
        feature_names=preparation.input_names,
        classes=table.classes,
        center=preparation.center,
        scale=preparation.scale,
        fingerprint=_fingerprint(table, features, targets, test_features, test_targets),
        columns=preparation.columns,
        examples=tuple(_cells(table.columns, training[:_EXAMPLES])),
        notes=(*notes, *preparation_notes(table, preparation, test)),
        dropped=table.dropped,
        filled=filled_cells(table, preparation),
    )


def _cells(columns: Sequence[Column], rows: Array) -> list[Cells]:
    return [column.values[rows] for column in columns]


def _plain(column: InputColumn, cell: Any) -> Any:
    """Return a cell as a value for JSON: None if it is empty."""
    if cell is None or cell != cell:
        return None
    return bool(cell) if column.kind == "boolean" else cell


def _parts(table: Table, spec: DatasetSpec) -> tuple[Array, Array]:
    """Return the indices of the training and the test part."""
    if spec.folds is not None:
        return _fold(table, spec)
    fraction = DEFAULT_TEST_FRACTION if spec.name is None else find_builtin(spec).test_fraction
    return _split(table, fraction if spec.test_fraction is None else spec.test_fraction, spec.seed)


def _fold(table: Table, spec: DatasetSpec) -> tuple[Array, Array]:
    """Return the parts of one fold of a cross-validation: the fold is the test part; classes in proportion."""
    from sklearn.model_selection import KFold, StratifiedKFold

    assert spec.folds is not None
    if spec.fold is None:
        raise DataError(f"folds: {spec.folds} needs the axis dataset.fold: {{range: {spec.folds}}}, or fold: N")
    if spec.fold >= spec.folds:
        raise DataError(f"fold {spec.fold} does not exist: folds: {spec.folds} has the folds 0 to {spec.folds - 1}")
    counts = np.bincount(table.targets.astype(int)) if table.task == CLASSIFICATION else np.array([table.samples])
    if counts.min() < spec.folds:
        what = "a class of it has" if table.task == CLASSIFICATION else "it has"
        raise DataError(f"{table.name} can't be cut into {spec.folds} folds: {what} {counts.min()} samples; write less")
    kind = StratifiedKFold if table.task == CLASSIFICATION else KFold
    splitter = kind(spec.folds, shuffle=True, random_state=spec.seed)
    training, test = list(splitter.split(np.zeros(table.samples), table.targets))[spec.fold]
    return np.sort(training), np.sort(test)


def _split(table: Table, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the indices of the training and the test part, in the order of the table; classes in proportion."""
    everything = np.arange(table.samples)
    if fraction == 0:
        return everything, everything[:0]
    from sklearn.model_selection import train_test_split

    classes = table.targets if table.task == CLASSIFICATION else None
    try:
        training, test = train_test_split(everything, test_size=fraction, random_state=seed, stratify=classes)
    except ValueError:
        raise DataError(
            f"{table.name}: {table.samples} samples can't be split with test_fraction {fraction}: "
            f"{_why_not_split(table)}"
        ) from None
    return np.sort(training), np.sort(test)


def _why_not_split(table: Table) -> str:
    """Return the end of a message: why the split fails, and what to do."""
    if table.task == REGRESSION:
        return f"one of the parts would be empty; {_OTHER_FRACTION}"
    counts = np.bincount(table.targets.astype(int), minlength=len(table.classes))
    single = [name for name, count in zip(table.classes, counts, strict=True) if count == 1]
    if not single:
        return f"each part needs a sample of each of the {len(counts)} classes; {_OTHER_FRACTION}"
    have = "has" if len(single) == 1 else "have"
    few = f"{len(single)} of the {len(table.classes)} classes of {quoted(table.target)} {have} a single sample"
    numbers = "write task: regression under dataset if the target is a number to predict; else " * _are_numbers(
        table.classes
    )
    return (
        f"{few}, such as {quoted(single[0])}, and a class needs two; {numbers}name classes with more samples "
        "(classes: [...]), or have no test part (test_fraction: 0)"
    )


def _are_numbers(names: Sequence[str]) -> bool:
    try:
        [float(name) for name in names]
    except ValueError:
        return False
    return True


def _fingerprint(table: Table, *arrays: Floats) -> str:
    digest = hashlib.sha256(repr((table.task, table.classes, [a.shape for a in arrays])).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:32]
