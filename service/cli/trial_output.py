"""Text and JSON of single trials: what one was and came to, and a step of it looked into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from service.cli.heat_map import sparkline
from service.cli.output import rows_text, show_text
from service.results.colours import OUTCOME_COLOURS

if TYPE_CHECKING:
    from service.inspection.explain import Explanation
    from service.recording.infos import TrialInfo
    from service.recording.store import Store

_CURVE_POINTS = 9
_SPARK_WIDTH = 40


def trial_values(trial: TrialInfo) -> dict[str, Any]:
    """A recorded trial."""
    return {
        "run_id": trial.run_id,
        "outcome": trial.outcome,
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "tags": {name: value for name, value in trial.tags.items() if name.startswith("gradgrid.")},
    }


def trial_text(trial: TrialInfo, store: Store) -> None:
    """A recorded trial: what it was, how it went, what it came to, and on a server the address of its page."""
    from service.recording.connection import is_server
    from service.recording.links import run_link

    click.echo(f"{trial.name}\nrun {trial.run_id}, trial {trial.trial}")
    ended = Text(trial.outcome, style=OUTCOME_COLOURS.get(trial.outcome, ""))
    ended.append(f" after {trial.last_step} steps; kernel {trial.kernel}", style="")
    show_text(ended)
    rows_text([{"hyperparameter": name, "value": value} for name, value in sorted(trial.params.items())])
    curves = {name: dict(store.curve(trial.run_id, name)) for name in trial.metrics if "." not in name}
    _sparklines(curves)
    steps = sorted(set().union(*curves.values()))
    chosen = steps[:: max(1, len(steps) // _CURVE_POINTS)]
    rows = [
        {"step": s, **{name: curve.get(s) for name, curve in curves.items()}} for s in sorted({*chosen, *steps[-1:]})
    ]
    rows_text(rows)
    tensors = store.final_weights(trial.run_id)
    if tensors is None:
        click.echo("no weights were recorded")
    for tensor in tensors or []:
        values = ", ".join(f"{value:.6g}" for value in tensor["values"][:_CURVE_POINTS])
        more = ", ..." if len(tensor["values"]) > _CURVE_POINTS else ""
        click.echo(f"{tensor['name']} {tensor['shape']}: {values}{more}")
    if is_server(store.uri):
        click.echo(f"the dashboard: {run_link(store.uri, trial.experiment_id, trial.run_id)}", err=True)


def _sparklines(curves: Mapping[str, Mapping[int, float]]) -> None:
    """A line a metric: where it began, how it went, where it ended."""
    for name, curve in curves.items():
        values = [value for _, value in sorted(curve.items())]
        if values:
            shown = values[:: math.ceil(len(values) / _SPARK_WIDTH)]
            click.echo(f"{name:>14}  {values[0]:<9.3g} {sparkline(shown)} {values[-1]:.3g}")


def explanation_text(explanation: Explanation) -> None:
    """A step of a trial: what stands out, then its tensors and hidden units."""
    seen, trial = explanation.replay, explanation.trial
    click.echo(f"{trial.name}\nrun {trial.run_id}: {trial.outcome} from step {trial.outcome_step} on")
    click.echo(f"step {seen.step} of {seen.trial.config.steps}: loss {seen.loss:.6g} over {len(seen.samples)} samples")
    for sentence in explanation.found:
        click.echo(f"- {sentence}")
    rows_text([{"tensor": n, "norm": w, "gradient's norm": g} for n, w, g in explanation.tensors])
    if explanation.units:
        rows_text(
            [
                {
                    "unit": f"{unit.layer}[{unit.number}]",
                    "gradient": unit.gradient,
                    "largest": unit.largest,
                    "zero for": f"{unit.silent:.0%}",
                    "": "dead" if unit.silent == 1 else "",
                }
                for unit in explanation.units
            ]
        )


def explanation_values(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON."""
    seen = explanation.replay
    return {
        "run_id": explanation.trial.run_id,
        "outcome": explanation.trial.outcome,
        "step": seen.step,
        "kernel": seen.kernel,
        "samples": len(seen.samples),
        "loss": seen.loss,
        "found": list(explanation.found),
        "tensors": [{"name": n, "weight_norm": w, "gradient_norm": g} for n, w, g in explanation.tensors],
        "units": [vars(unit) for unit in explanation.units],
    }
