"""The `dataset` section of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from experiments.data.column_rules import checked_encode, checked_missing
from experiments.data.read_options import (
    CSV_KEYS,
    check_keys_fit,
    checked_encoding,
    checked_na_values,
    checked_separator,
    checked_thousands,
)
from experiments.data.sample_weights import checked_class_weight
from experiments.data.targets import CLASSIFICATION, checked_target
from experiments.errors import KeyMistakeError


class Section(BaseModel):
    """A section of a sweep file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_CONTRADICTIONS = (
    ("test_fraction", "test", "test"),
    ("test_fraction", "split", "test"),
    ("folds", "test", "test"),
    ("folds", "split", "test"),
    ("validation_fraction", "validation", "validation"),
    ("validation", "split", "validation"),
    ("test", "split", "test"),
)
"""Key, another key, and the part that both would name."""


class DatasetSpec(Section):
    """The `dataset` section: a built-in data set by `name`, or a CSV or Parquet file by `path` and `target`.

    A table from Python has neither name nor path.
    """

    name: str | None = Field(default=None, description="a data set that `gradgrid datasets` lists")
    path: str | None = Field(default=None, description="a CSV or Parquet file, relative to the sweep file")
    target: str | list[str] | None = Field(
        default=None, description="the column to predict, or a list of columns of numbers; with path"
    )
    task: Literal["classification", "regression"] | None = Field(
        default=None, description="by the target when left out"
    )
    features: list[str] | None = Field(default=None, description="the columns to use, all when left out", min_length=1)
    classes: list[str] | None = Field(default=None, description="the classes to use, all when left out", min_length=2)
    samples: int | None = Field(default=None, description="samples of a toy data set", ge=1, le=1_000_000)
    feature_count: int | None = Field(default=None, description="features of random_normal", ge=1, le=1000)
    noise: float | None = Field(default=None, description="standard deviation of a toy data set's noise", ge=0, le=1000)
    seed: int = Field(default=0, description="of a toy data set's samples and of the split", ge=0, lt=2**32)
    test_fraction: float | None = Field(default=None, description="share of the samples for testing", ge=0, lt=1)
    validation_fraction: float | None = Field(
        default=None,
        description="share of the samples for validation: trials are ranked by it, not by the test part",
        gt=0,
        lt=1,
    )
    validation: str | None = Field(
        default=None, description="a CSV or Parquet file, as path, whose rows are the validation part"
    )
    test: str | None = Field(default=None, description="a CSV or Parquet file, as path, whose rows are the test part")
    split: str | None = Field(
        default=None, description="the column that says of each row train, validation or test; it is no feature"
    )
    folds: int | None = Field(
        default=None, description="parts of a cross-validation, each of which is the test part once", ge=2, le=1000
    )
    fold: int | None = Field(default=None, description="the fold that is the test part, from 0", ge=0, lt=1000)
    standardize: bool = Field(default=True, description="scale features to mean 0 and deviation 1 on the training part")
    standardize_target: bool | None = Field(
        default=None,
        description="scale each target to mean 0 and deviation 1 on the training part; left out: if there are several",
    )
    encode: Literal["one_hot"] | dict[str, str] | None = Field(
        default=None,
        description="each word becomes an input, in every column of words or in the named columns",
    )
    missing: Literal["refuse", "drop", "mean", "median"] | dict[str, str] = Field(
        default="refuse",
        description="the rule for empty cells, in every column or in the named columns",
    )
    class_weight: Literal["balanced"] | dict[str, float] | None = Field(
        default=None,
        description="weight of each class in the training loss: balanced, or a mapping of classes to weights",
    )
    sample_weight: str | None = Field(
        default=None, description="the column with the weight of each row in the training loss; it is no feature"
    )
    separator: str | None = Field(default=None, description="between the fields of a CSV; detected when left out")
    decimal: Literal[".", ","] | None = Field(default=None, description="decimal sign of a CSV; detected when left out")
    thousands: str | None = Field(
        default=None, description="sign between the thousands of a CSV; detected when left out"
    )
    encoding: str | None = Field(
        default=None, description="of a CSV's text; by its byte order mark, else UTF-8, when left out"
    )
    na_values: list[str] | None = Field(default=None, description="words that mean an empty cell; with path")

    _separator = field_validator("separator")(checked_separator)
    _thousands = field_validator("thousands")(checked_thousands)
    _encoding = field_validator("encoding")(checked_encoding)
    _na_values = field_validator("na_values", mode="before")(checked_na_values)
    _target = field_validator("target", mode="plain")(checked_target)
    _encode = field_validator("encode", mode="plain")(checked_encode)
    _class_weight = field_validator("class_weight", mode="plain")(checked_class_weight)
    _missing = field_validator("missing", mode="plain")(checked_missing)

    @model_validator(mode="after")
    def _keys_fit(self) -> DatasetSpec:
        check_keys_fit(self)
        return self

    @model_validator(mode="after")
    def _one_source(self, info: ValidationInfo) -> DatasetSpec:
        if info.context and info.context.get("given"):
            return self._of_given_table()
        if (self.name is None) == (self.path is None):
            raise ValueError("give either name, for a built-in data set, or path, for a CSV or Parquet file")
        if self.path is not None and self.target is None:
            raise ValueError("a data set with path needs target, the column to predict")
        if self.name is not None and self.target is not None:
            raise ValueError("target applies only to files (path); a built-in data set has its own: remove target")
        if self.name is not None and (self.encode is not None or self.missing != "refuse"):
            raise ValueError(
                "encode and missing apply only to files (path), as built-in data sets have only numbers: remove them"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> DatasetSpec:
        if (self.validation_fraction or 0) + (self.test_fraction or 0) >= 1:
            raise ValueError("validation_fraction and test_fraction leave no samples to train on; lower one of them")
        return self

    @model_validator(mode="after")
    def _given_parts_fit(self, info: ValidationInfo) -> DatasetSpec:
        given = bool(info.context and info.context.get("given"))
        for key in ("validation", "test", "split", "sample_weight"):
            if getattr(self, key) is None:
                continue
            if self.name is not None:
                raise KeyMistakeError(key, f"{key} applies only to files (path), not to a built-in data set; remove it")
            if given and key in ("validation", "test"):
                message = f"{key} does not apply to a table from Python; name a column of it that says which row is"
                raise KeyMistakeError(key, f"{message} which: split")
        for key, other, part in _CONTRADICTIONS:
            if getattr(self, key) is not None and getattr(self, other) is not None:
                raise KeyMistakeError(key, f"{other} and {key} both name the {part} part; remove one of them")
        return self

    @model_validator(mode="after")
    def _several_targets_fit(self) -> DatasetSpec:
        if len(self.targets) > 1:
            several = "several targets are numbers to predict, without classes"
            for key in ("class_weight", "classes"):
                if getattr(self, key) is not None:
                    raise KeyMistakeError(key, f"{several}; remove {key}, or name one target")
            if self.task == CLASSIFICATION:
                raise KeyMistakeError("task", f"{several}; write task: regression, or name one target")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict; none for a built-in data set."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target or ())

    @property
    def names_test_part(self) -> bool:
        """Whether the data say which rows are for testing, so that none are drawn for it."""
        return self.test is not None or self.split is not None

    @model_validator(mode="after")
    def _folds_fit(self) -> DatasetSpec:
        if self.folds is not None and self.test_fraction is not None:
            raise ValueError("folds and test_fraction both name the test part; remove one of them")
        if self.folds is None and self.fold is not None:
            raise ValueError("fold needs folds, the number of folds; add folds: 5")
        return self

    def with_values(self, values: Mapping[str, Any]) -> DatasetSpec:
        """Return the section with other values of some keys. They are checked already."""
        return self.model_copy(update=dict(values))

    def _of_given_table(self) -> DatasetSpec:
        for key in ("name", "path", "samples", "noise", "feature_count", *CSV_KEYS):
            if getattr(self, key) is not None:
                raise ValueError(f"{key} does not apply to a table from Python; remove it")
        if self.target is None:
            raise ValueError("a table from Python needs target, the column to predict")
        return self
