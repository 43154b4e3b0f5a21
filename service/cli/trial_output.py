"""Single trials and their steps, as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from service.cli.heat_map import sparkline
from service.cli.tables import print_rows, print_text
from service.results.colours import OUTCOME_COLOURS

if TYPE_CHECKING:
    from service.inspection.explain import Explanation
    from service.recording.infos import TrialInfo
    from service.recording.store import Store

_CURVE_POINTS = 9
_SPARK_WIDTH = 40

_Tensors = Sequence[Mapping[str, Any]]
"""A trial's final weights: name, shape and values of each tensor."""


def trial_json(trial: TrialInfo) -> dict[str, Any]:
    """Return a recorded trial. A metric that has no value is None."""
    return {
        "run_id": trial.run_id,
        "outcome": trial.outcome,
        "params": dict(trial.params),
        "metrics": {name: None if math.isnan(value) else value for name, value in trial.metrics.items()},
        "tags": {name: value for name, value in trial.tags.items() if name.startswith("gradgrid.")},
    }


def print_trial(trial: TrialInfo, tensors: _Tensors | None, store: Store) -> None:
    """Print a recorded trial: hyperparameters, outcome, curves, final weights, and on a server its page's address.

    tensors: the final weights; None if they were not recorded.
    """
    from service.recording.connection import is_server
    from service.recording.links import run_link

    click.echo(f"{trial.name}\nrun {trial.run_id}, trial {trial.trial}")
    outcome = Text(trial.outcome, style=OUTCOME_COLOURS.get(trial.outcome, ""))
    outcome.append(f" after {trial.last_step} steps; kernel {trial.kernel}", style="")
    print_text(outcome)
    print_rows([{"hyperparameter": name, "value": value} for name, value in sorted(trial.params.items())])
    _print_curves({name: dict(store.curve(trial.run_id, name)) for name in trial.metrics if "." not in name})
    if tensors is None:
        click.echo("no weights were recorded")
    for tensor in tensors or []:
        values = ", ".join(f"{value:.6g}" for value in tensor["values"][:_CURVE_POINTS])
        more = ", ..." if len(tensor["values"]) > _CURVE_POINTS else ""
        click.echo(f"{tensor['name']} {tensor['shape']}: {values}{more}")
    if is_server(store.uri):
        click.echo(f"the dashboard: {run_link(store.uri, trial.experiment_id, trial.run_id)}", err=True)


def _print_curves(curves: Mapping[str, Mapping[int, float]]) -> None:
    """Print a sparkline of each metric between its first and its last value, and a table of some points."""
    for name, curve in curves.items():
        values = [value for _, value in sorted(curve.items())]
        if values:
            bars = sparkline(values[:: math.ceil(len(values) / _SPARK_WIDTH)])
            click.echo(f"{name:>14}  {values[0]:<9.3g} {bars} {values[-1]:.3g}")
    steps = sorted(set().union(*curves.values()))
    some = {*steps[:: max(1, len(steps) // _CURVE_POINTS)], *steps[-1:]}
    print_rows([{"step": s, **{name: curve.get(s) for name, curve in curves.items()}} for s in sorted(some)])


def print_explanation(explanation: Explanation) -> None:
    """Print a step of a trial: the findings, then the tensors and the hidden units."""
    state, trial = explanation.replay, explanation.trial
    name = trial.name or f"trial {trial.number}"
    run = f"run {trial.run_id}" if trial.run_id else "no run"
    click.echo(f"{name}\n{run}: {trial.outcome} from step {trial.outcome_step} on")
    samples = len(state.samples)
    click.echo(f"step {state.step} of {state.trial.config.steps}: loss {state.loss:.6g} over {samples} samples")
    for sentence in explanation.findings:
        click.echo(f"- {sentence}")
    print_rows([{"tensor": n, "norm": w, "gradient's norm": g} for n, w, g in explanation.tensors])
    if explanation.units:
        print_rows(
            [
                {
                    "unit": f"{unit.layer}[{unit.number}]",
                    "gradient": unit.gradient,
                    "largest": unit.largest,
                    "zero for": f"{unit.zero_share:.0%}",
                    "": "dead" if unit.is_dead else "",
                }
                for unit in explanation.units
            ]
        )


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return a step of a trial. `found` and `silent` are the former names of `findings` and `zero_share`."""
    state = explanation.replay
    return {
        "run_id": explanation.trial.run_id,
        "outcome": explanation.trial.outcome,
        "step": state.step,
        "kernel": state.kernel,
        "samples": len(state.samples),
        "loss": state.loss,
        "findings": list(explanation.findings),
        "found": list(explanation.findings),
        "tensors": [{"name": n, "weight_norm": w, "gradient_norm": g} for n, w, g in explanation.tensors],
        "units": [{**vars(unit), "silent": unit.zero_share} for unit in explanation.units],
    }
