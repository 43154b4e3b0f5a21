"""The sections `record`, `refine` and `early_stopping` of the sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from engine import Score
from experiments.data.dataset_spec import Section
from experiments.errors import did_you_mean
from experiments.scores import OutcomeRule, read_outcomes, read_scores

MEASURE_NAMES = ("balanced_accuracy", "f1_macro", "roc_auc", "r2", "mean_absolute_error")
"""The names of `record: {measures: [...]}`; `experiments.measures` computes them."""

MAX_TOP = 100_000
"""Largest N of `record: {runs: {top: N}}`."""


@dataclass(frozen=True)
class TopRuns:
    """Record runs only for the `top` best trials."""

    top: int


class RecordSpec(Section):
    """The `record` section of a sweep file: how much of each trial goes into MLflow."""

    runs: Literal["all", "summary"] | TopRuns = Field(
        default="all",
        description="a run for every trial, only for the N best {top: N}, or for none; trials.parquet has every trial",
    )
    weights: Literal["artifact", "none"] = Field(
        default="artifact", description="final weights as final_weights.json of each run, or none"
    )
    points: int = Field(
        default=25, description="points of each curve, spread over the steps, first and last included", ge=2, le=1000
    )
    curves: Literal["file", "none"] = Field(
        default="file", description="every trial's curves in Parquet files of the sweep's run, for its report, or none"
    )
    gradients: Literal["norm", "tensor", "each"] = Field(
        default="tensor",
        description="the norm of the whole gradient; also that of each tensor; also the gradient of each weight",
    )
    health: Literal["none", "total", "tensor"] = Field(
        default="total",
        description="the share of dead units and the update-to-weight ratio; also of each layer and tensor; or neither",
    )
    sharpness: bool = Field(
        default=False, description="the largest eigenvalue of the Hessian of the training loss, as a curve"
    )
    measures: list[str] = Field(
        default_factory=list,
        description="measures of the final weights: `balanced_accuracy`, `f1_macro`, `roc_auc` for classes, `r2`, "
        "`mean_absolute_error` for numbers; on the training part, and with `test_` before the name on the test part",
    )

    scores: tuple[Score, ...] = Field(
        default_factory=tuple,
        description="name -> a number from the loss of every step: `{sum: loss_ratio}`, `{mean: loss, last: 20}`, "
        "`{max: loss}`, `{min: loss}`, `{first: loss_ratio<0.01}`; `cap` limits each step",
    )
    outcomes: tuple[OutcomeRule, ...] = Field(
        default_factory=tuple,
        description="outcome -> a condition on scores, such as `{converged: late<1}`; the first that holds is a "
        "trial's outcome",
    )

    @field_validator("scores", mode="plain")
    @classmethod
    def _scores(cls, value: Any) -> tuple[Score, ...]:
        return read_scores(value, MEASURE_NAMES)

    @field_validator("outcomes", mode="plain")
    @classmethod
    def _outcomes(cls, value: Any, info: ValidationInfo) -> tuple[OutcomeRule, ...]:
        if "scores" not in info.data:
            return ()  # the message is about these
        return read_outcomes(value, [score.name for score in info.data["scores"]])

    @field_validator("measures")
    @classmethod
    def _known_measures(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in MEASURE_NAMES:
                raise ValueError(f"no measure is called {name!r}{did_you_mean(name, MEASURE_NAMES)}")
        return list(dict.fromkeys(names))

    @field_validator("runs", mode="plain")
    @classmethod
    def _runs(cls, value: Any) -> Any:
        if value in ("all", "summary"):
            return value
        if isinstance(value, Mapping) and list(value) == ["top"]:
            top = value["top"]
            if isinstance(top, int) and not isinstance(top, bool) and 1 <= top <= MAX_TOP:
                return TopRuns(top)
        raise ValueError(f"should be all, summary, or {{top: N}} with N from 1 to {MAX_TOP:,}, not {value!r}")


class EarlyStoppingSpec(Section):
    """The `early_stopping` section of a sweep file: when a trial ends before its last step."""

    patience: int = Field(description="a trial stops after so many steps without improvement", ge=1)
    every: int | None = Field(default=None, description="steps between two looks; a tenth of patience", ge=1)
    metric: str | None = Field(default=None, description="what must improve; the leaderboard's metric")
    min_delta: float = Field(default=0.0, description="the smallest change that counts as an improvement", ge=0)

    @model_validator(mode="after")
    def _looks_in_time(self) -> EarlyStoppingSpec:
        if self.every is not None and self.every > self.patience:
            raise ValueError(f"every should be at most patience, {self.patience:,}, not {self.every:,}")
        return self

    @property
    def steps_between_looks(self) -> int:
        """The steps between two looks at the metric."""
        return self.every or max(1, self.patience // 10)


class RefineSpec(Section):
    """The `refine` section of a sweep file: a map that is trained densely only where its cells differ."""

    to: int = Field(description="values of each of the two axes in the end", ge=4, le=4096)
    by: Literal["lost", "outcome"] = Field(
        default="lost", description="what must differ: whether trials exploded or diverged; or their outcome"
    )
    audit: float = Field(
        default=0.01, description="share of the other trials that are trained at the end, to compare", ge=0, le=1
    )
