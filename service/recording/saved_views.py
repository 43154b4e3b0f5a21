"""Saved views of a sweep's table of trials, in MLflow's form.

MLflow 3.17 stores a view as a tag of the experiment, `mlflow.sharedViewState.<key>`. `viewStateShareKey=<key>` in an
address opens it. The tag is JSON with the view's name, two times in milliseconds, and its state: `deflate;` and the
Base64 of the compressed JSON of the state. The state's keys are those of MLflow's page (ExperimentPageUIState and
ExperimentPageSearchFacetsState in its source). Missing keys have MLflow's defaults.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.outcomes import EXPLODING
from experiments.hyperparameters import REPEATS
from service.recording.tags import Tag
from service.results.metrics import METRICS, PARAMS, lower_is_better
from service.results.trials_table import shown_params

if TYPE_CHECKING:
    import pandas as pd

TAG_PREFIX = "mlflow.sharedViewState."
BEST_FIRST, EVERY_TRIAL = "gradgrid-best-first", "gradgrid-all"
"""The keys of the two views: of the trials that finished, and of all trials."""

MOST_CHARACTERS = 5_000
"""The longest tag: MLflow 3.17 allows 20,000 characters, earlier versions allowed 5,000."""

FINISHED = "attributes.status = 'FINISHED'"
"""MLflow's condition for trials that did not diverge. The others would spoil the ranking and every chart."""

_MOST_LINES = 8  # more axes of parallel coordinates are not readable
_VALUE_WIDTH = 170  # pixels of a column that shows a number with its exponent
_SECTION, _OTHERS = "gradgrid-sweep", "gradgrid-metrics"


@dataclass(frozen=True)
class Subject:
    """The content of a view.

    axes: swept hyperparameter -> its values.
    objective: the metric that ranks the trials.
    metrics: the metrics that trials have.
    exploding: whether some trials end with a huge loss, though they did not diverge.
    """

    axes: Mapping[str, Sequence[Any]]
    objective: str
    metrics: Sequence[str] = ()
    exploding: bool = False

    @property
    def main_metrics(self) -> list[str]:
        """The objective, then losses and accuracies."""
        parts = ("validation_", "test_", "")
        names = [part + name for part in parts for name in ("loss", "accuracy") if part + name in self.metrics]
        return list(dict.fromkeys([self.objective, *names]))

    @property
    def compared(self) -> list[str]:
        """The axes, without the seed if there are others."""
        return [name for name in self.axes if name not in REPEATS] or list(self.axes)

    @property
    def numeric(self) -> list[str]:
        """Those of the compared axes that have only numbers."""
        return [name for name in self.compared if all(value is None or _is_number(value) for value in self.axes[name])]


def subject_of(
    table: pd.DataFrame, swept: Sequence[str], objective: str, metrics: Sequence[str] | None = None
) -> Subject:
    """Return the subject of a sweep with this table of trials, which may be incomplete.

    metrics: the names of the metrics; those of the table if left out.
    """
    axes = {name: table[PARAMS + name].drop_duplicates().tolist() for name in shown_params(table.columns, swept)}
    if metrics is None:
        metrics = [name.removeprefix(METRICS) for name in table.columns if name.startswith(METRICS)]
    exploding = "outcome" in table and bool((table["outcome"] == EXPLODING).any())
    return Subject(axes, objective, metrics, exploding)


def view_tags(subject: Subject, time: int) -> dict[str, str]:
    """Return the two views as tags of the experiment that holds a sweep's trials. time: milliseconds since 1970."""
    return {
        TAG_PREFIX + BEST_FIRST: _fitting(subject, "Best first", time, every=False),
        TAG_PREFIX + EVERY_TRIAL: _fitting(subject, "All trials", time, every=True),
    }


def _fitting(subject: Subject, name: str, time: int, *, every: bool) -> str:
    """Return the tag's value, with as many axes as fit into a tag."""
    for count in range(len(subject.axes), -1, -1):
        fewer = replace(subject, axes=dict(list(subject.axes.items())[:count]))
        value = _encoded(view_state(fewer, every=every), name, time)
        if len(value) <= MOST_CHARACTERS:
            break
    return value


def _encoded(state: Mapping[str, Any], name: str, time: int) -> str:
    packed = zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)
    text = f"deflate;{base64.b64encode(packed).decode()}"
    return json.dumps({"name": name, "createdAt": time, "updatedAt": time, "state": text})


def view_state(subject: Subject, *, every: bool) -> dict[str, Any]:
    """Return the state of MLflow's page of runs.

    every: show also the trials that diverged. If some trials have a huge loss, charts show the best twenty.
    """
    metrics = subject.main_metrics
    widths = {
        f"metrics.`{metrics[0]}`": _VALUE_WIDTH,
        **{f"params.`{name}`": _width(name) for name in subject.axes},
        f"tags.`{Tag.OUTCOME}`": _width(Tag.OUTCOME),
        **{f"metrics.`{name}`": _VALUE_WIDTH for name in metrics[1:]},
    }
    return {
        "searchFilter": "" if every else FINISHED,
        "orderByKey": f"metrics.`{subject.objective}`",
        "orderByAsc": lower_is_better(subject.objective),
        "selectedColumns": list(widths),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHiddenMode": "FIRST_20_RUNS" if every or subject.exploding else "SHOW_ALL",
        "compareRunCharts": _charts(subject),
        "compareRunSections": [
            {"uuid": _SECTION, "name": "Sweep", "display": True, "isReordered": True, "columns": 2, "cardHeight": 400},
            {"uuid": _OTHERS, "name": "Model metrics", "display": False, "isReordered": False, "isGenerated": True},
        ],
        "isAccordionReordered": True,
    }


def _charts(subject: Subject) -> list[dict[str, Any]]:
    objective, charts = subject.objective, []
    if subject.axes:
        lines = subject.compared[:_MOST_LINES]
        charts.append(_chart("PARALLEL", selectedParams=lines, selectedMetrics=[objective]))
    shown = (subject.numeric or subject.compared)[:2]
    charts += [_scatter(_axis(name, "PARAM"), _axis(objective, "METRIC")) for name in shown]
    charts.append(_curves(objective))
    of_part = next((name for name in ("validation_loss", "test_loss") if name in subject.metrics), None)
    if of_part and "loss" in subject.metrics:
        charts.append(_scatter(_axis("loss", "METRIC"), _axis(of_part, "METRIC")))
    if objective != "grad_norm":
        charts.append(_curves("grad_norm"))
    return [{**chart, "uuid": f"gradgrid-{number}"} for number, chart in enumerate(charts)]


def _chart(kind: str, **settings: Any) -> dict[str, Any]:
    return {"type": kind, "metricSectionId": _SECTION, "isGenerated": False, "deleted": False, **settings}


def _scatter(across: Mapping[str, str], up: Mapping[str, str]) -> dict[str, Any]:
    return _chart("SCATTER", xaxis=across, yaxis=up)


def _axis(name: str, kind: str) -> dict[str, str]:
    return {"key": name, "type": kind}


def _curves(metric: str) -> dict[str, Any]:
    """Return a chart with each trial's curve; of a loss on a logarithmic scale, as it falls by orders of magnitude."""
    scale = "log" if lower_is_better(metric) else "linear"
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "yAxisKey": "metric", "yAxisExpressions": [], "range": {}}
    return _chart("LINE", metricKey=metric, selectedMetricKeys=[metric], scaleType=scale, lineSmoothness=0, **axes)


def _width(name: str) -> int:
    """Return the width in pixels of a column that shows its name."""
    return min(max(80, 8 * len(name) + 40), 260)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
