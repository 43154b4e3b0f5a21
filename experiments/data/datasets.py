"""Data sets that are ready for training: built in, from a file, or from a table in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.arrays import Array, Floats
from engine.inputs import Cells, InputColumn
from engine.samples import Samples
from experiments.data.builtin_data import builtin_table, find_builtin
from experiments.data.columns import Column
from experiments.data.dataset_spec import DatasetSpec
from experiments.data.leaks import leak_notes, shared_row_notes
from experiments.data.part_files import with_part_files
from experiments.data.preparation import Preparation, filled_cells, fit, preparation_notes
from experiments.data.readers import read_file, read_frame, read_options
from experiments.data.sample_weights import training_weights
from experiments.data.splits import split_rows
from experiments.data.tables import Table, make_table
from experiments.data.target_scale import TargetScale, as_columns, fit_targets, target_notes
from experiments.data.targets import REGRESSION

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 5  # samples that the store keeps of a data set
_SIGNED_OUTPUTS = frozenset({"tanh", "hard_tanh"})


@dataclass(frozen=True)
class Dataset:
    """A data set, split and prepared.

    name: of the built-in data set, or of the file without its suffix.
    task: `classification` or `regression`.
    training_features, test_features, validation_features: (samples, features), prepared.
    training_targets, test_targets, validation_targets: (samples,), numbers in their own units or indices into
        `classes`; of several targets (samples, targets).
    training_weights: (samples,), with mean 1; empty if the loss has no weights.
    feature_names: of the prepared features; a one-hot encoded column has one for each category.
    classes: their names; empty for regression.
    target_names: the names of the targets' columns.
    target_scale: the mean and deviation to standardise each target with; None if they stay as they are.
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
    validation_features: Floats = field(default_factory=lambda: np.empty((0, 0)))
    validation_targets: Floats = field(default_factory=lambda: np.empty(0))
    training_weights: Floats = field(default_factory=lambda: np.empty(0))
    target_names: tuple[str, ...] = ("target",)
    target_scale: TargetScale | None = None

    @property
    def is_weighted(self) -> bool:
        """Whether samples have weights in the loss."""
        return len(self.training_weights) > 0

    @property
    def ranked_by(self) -> str:
        """The beginning of the metrics that rank trials: those of the validation or the test part, if there is one."""
        if len(self.validation_targets):
            return "validation_"
        return "test_" if len(self.test_targets) else ""

    @property
    def feature_count(self) -> int:
        """Number of prepared features."""
        return int(self.training_features.shape[1])

    @property
    def output_count(self) -> int:
        """Number of outputs of its models: one for each target, or for each class if there are more than two."""
        return len(self.classes) if len(self.classes) > 2 else len(self.target_names)

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
            "targets": list(self.target_names),
            "target_scale": None if self.target_scale is None else self.target_scale.facts,
            "columns": [column.facts for column in self.columns],
            "examples": [list(row) for row in zip(*cells, strict=True)],
            "notes": list(self.notes),
        }

    @staticmethod
    def from_facts(facts: Mapping[str, Any]) -> Dataset:
        """Return a data set whose only samples are the examples. Its targets are zeros.

        Facts from an older gradgrid have no columns: each feature is a column of numbers. Nor do they have targets.
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
        targets, target_scale = tuple(facts.get("targets", ["target"])), facts.get("target_scale")
        zeros = np.zeros(len(features) if len(targets) == 1 else (len(features), len(targets)))
        return Dataset(
            name=facts["name"],
            task=facts["task"],
            training_features=features,
            training_targets=zeros,
            test_features=features[:0],
            test_targets=zeros[:0],
            feature_names=names,
            classes=tuple(facts["classes"]),
            center=center,
            scale=scale,
            fingerprint=facts["fingerprint"],
            columns=columns,
            examples=examples,
            target_names=targets,
            target_scale=None if target_scale is None else TargetScale.from_facts(target_scale),
        )

    def training(self, loss: str, output: str) -> Samples:
        """Return the training part, with targets in the form that this loss and output activation need.

        If the loss has weights, they are a further target, the last; see `engine.losses.weighted`.
        """
        return self._samples(self.training_features, self.training_targets, self.training_weights, loss, output)

    def test(self, loss: str, output: str) -> Samples | None:
        """Return the test part, like `training`; None if it is empty."""
        if not len(self.test_targets):
            return None
        weights = np.ones(len(self.test_targets))
        return self._samples(self.test_features, self.test_targets, weights, loss, output)

    def validation(self, loss: str, output: str) -> Samples | None:
        """Return the validation part, like `training`; None if it is empty."""
        if not len(self.validation_targets):
            return None
        weights = np.ones(len(self.validation_targets))
        return self._samples(self.validation_features, self.validation_targets, weights, loss, output)

    def _samples(self, features: Floats, targets: Floats, weights: Floats, loss: str, output: str) -> Samples:
        encoded = self._encode(targets, loss, output)
        return Samples(features, np.column_stack([encoded, weights]) if self.is_weighted else encoded)

    def _encode(self, targets: Floats, loss: str, output: str) -> Floats:
        """Return targets, (samples, outputs).

        Classes become 1 and 0, or 1 and -1 for hinge and tanh; more than two classes get a column each. Numbers are
        standardised if the data set has a scale of its targets.
        """
        if self.task == REGRESSION:
            numbers = as_columns(targets)
            return numbers if self.target_scale is None else self.target_scale.standardized(numbers)
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
    leaks = list(leak_notes(table.with_classes(spec.classes), chosen=spec.features is not None))
    table = with_part_files(table, raw, spec, folder).with_classes(spec.classes)
    return table, [*table.notes, *leaks, *shared_row_notes(table)]


def prepare(table: Table, notes: Sequence[str], spec: DatasetSpec) -> Dataset:
    """Split a table into its parts and prepare them. Raises DataError.

    notes: about the table.
    spec: the dataset section of a sweep file.
    """
    split = split_rows(table, spec)
    (training, weights), validation = training_weights(table, split.training, spec), split.validation
    preparation = fit(table, training, standardize=spec.standardize)
    target_scale = fit_targets(table, training, spec)
    validated = [preparation.inputs(_cells(table.columns, validation)), table.targets[validation]]
    features, test_features = (preparation.inputs(_cells(table.columns, rows)) for rows in (training, split.test))
    targets, test_targets = table.targets[training], table.targets[split.test]
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
        fingerprint=_fingerprint(
            table,
            *(features, targets, test_features, test_targets),
            *(validated if len(validation) else []),
            *([weights] if len(weights) else []),
            *([target_scale.center, target_scale.scale] if target_scale else []),
        ),
        columns=preparation.columns,
        examples=tuple(_cells(table.columns, training[:_EXAMPLES])),
        notes=(*notes, *preparation_notes(table, preparation, split), *target_notes(table, training)),
        dropped=table.dropped,
        filled=filled_cells(table, preparation),
        validation_features=validated[0],
        validation_targets=validated[1],
        training_weights=weights,
        target_names=table.target_names,
        target_scale=target_scale,
    )


def _cells(columns: Sequence[Column], rows: Array) -> list[Cells]:
    return [column.values[rows] for column in columns]


def _plain(column: InputColumn, cell: Any) -> Any:
    """Return a cell as a value for JSON: None if it is empty."""
    if cell is None or cell != cell:
        return None
    return bool(cell) if column.kind == "boolean" else cell


def _fingerprint(table: Table, *arrays: Floats) -> str:
    digest = hashlib.sha256(repr((table.task, table.classes, [a.shape for a in arrays])).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:32]
