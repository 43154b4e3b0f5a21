"""The result of a dry run, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from experiments.data.datasets import Dataset
    from experiments.rungs import Ladder
    from experiments.trials import BlockCounts
    from service.execution.estimate import Estimate
    from service.execution.plan import Plan

_LISTED = 10


def plan_json(plan: Plan, estimate: Estimate) -> dict[str, Any]:
    """Return a dry run's result. Figures of the work are those of the last extension, if there is one.

    estimate: of that extension, or of the whole plan.
    """
    from experiments.plan_memory import plan_bytes

    new = plan.newest
    return {
        "name": plan.name,
        "trials": plan.trials,
        "new": new.trials,
        "plan_bytes": plan_bytes(plan.trials),
        "blocks": [_block_json(counts) for counts in plan.grid.blocks],
        "programs": len(set(new.programs)),
        "rungs": _rungs_json(plan),
        "brackets": _brackets_json(plan),
        "shards": new.shard_count(estimate.workers or 1),
        "runs": new.runs,
        "metric_rows": new.metric_rows,
        "seconds": round(estimate.seconds, 1),
        "measured": estimate.measured,
        "data": _data_json(plan.dataset),
        "data_sets": len(plan.datasets),
        "notes": list(plan.notes),
    }


def _rungs_json(plan: Plan) -> list[dict[str, int]]:
    """Return how many configurations are compared at each rung of a search, and how many go on."""
    ladder = plan.ladder
    if ladder is None:
        return []
    reaching = [ladder.reaching(rung) for rung in range(len(ladder.rungs))]
    leaving = [ladder.leaving(rung) for rung in range(len(ladder.rungs))]
    names = ("steps", "configurations", "leave")
    return [dict(zip(names, row, strict=True)) for row in zip(ladder.rungs, reaching, leaving, strict=True)]


def _brackets_json(plan: Plan) -> list[dict[str, Any]]:
    """Return how many configurations of each bracket are trained to each of its rungs."""
    ladder = plan.ladder
    if ladder is None:
        return []
    return [
        {
            "steps": list(ladder.rungs[bracket.first :]),
            "configurations": [ladder.reaching_of(bracket, k) for k in range(bracket.first, len(ladder.rungs))],
        }
        for bracket in ladder.brackets
    ]


def _stopping_lines(plan: Plan) -> list[str]:
    """Return the lines of a search with rungs, or of early stopping."""
    rule = plan.resolved.spec.early_stopping
    if rule is not None:
        what = f"a trial stops when {plan.stopping_metric} has not improved for {rule.patience:,} steps"
        return [
            f"stopping  {what}",
            "          the time below is for all steps; to find where trials stop can take up to three times as long",
        ]
    ladder = plan.ladder
    if ladder is None:
        return []
    rungs = ", ".join(f"{row['configurations']:,} to step {row['steps']:,}" for row in _rungs_json(plan))
    brackets = f" in {len(ladder.brackets)} brackets" if len(ladder.brackets) > 1 else ""
    return [
        f"rungs     {rungs} (configurations{brackets}, by {plan.stopping_metric})",
        *_bracket_lines(ladder),
        f"          {ladder.share:.0%} of the steps of training all of them to the end",
    ]


def _bracket_lines(ladder: Ladder) -> list[str]:
    """Return a line for each bracket; none if there is one bracket alone."""
    if len(ladder.brackets) == 1:
        return []
    lines = []
    for number, bracket in enumerate(ladder.brackets, 1):
        rungs = list(enumerate(ladder.rungs))[bracket.first :]
        counts = ", ".join(f"{ladder.reaching_of(bracket, rung):,} to step {steps:,}" for rung, steps in rungs)
        lines.append(f"          bracket {number}: {counts}")
    return lines


def _block_json(counts: BlockCounts) -> dict[str, Any]:
    block = counts.block
    factors = [{"axes": list(names), "values": _values_json(block.axes[names[0]])} for names in block.together]
    numbers = {"points": block.points, "unmet": counts.unmet, "equal": counts.equal, "trials": counts.trials}
    return {"block": block.name, "factors": factors, **numbers}


def _values_json(values: Sequence[Any]) -> int | list[float]:
    """Return how many values an axis has; the two ends of one from which a search draws."""
    from experiments.axis import Interval

    return [values.low, values.high] if isinstance(values, Interval) else len(values)


def _data_json(data: Dataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "task": data.task,
        "fingerprint": data.fingerprint,
        "samples": len(data.training_targets),
        "test_samples": len(data.test_targets),
        "validation_samples": len(data.validation_targets),
        "columns": len(data.columns),
        "inputs": data.feature_count,
        "targets": data.target_names,
        "targets_standardized": data.target_scale is not None,
        "encoded": {column.name: column.categories for column in data.columns if column.categories is not None},
        "weights": [data.training_weights.min(), data.training_weights.max()] if data.is_weighted else None,
        "rows_dropped": data.dropped,
        "cells_filled": data.filled,
        "notes": data.notes,
    }


def _data_lines(data: Dataset) -> list[str]:
    from experiments.errors import quoted

    samples = f"{len(data.training_targets):,} samples, {len(data.test_targets):,} to test on"
    if len(data.validation_targets):
        samples += f", {len(data.validation_targets):,} to validate on"
    inputs = f"{data.feature_count} input{'s' * (data.feature_count != 1)}"
    lines = [f"data      {data.name}, {data.task}: {samples}, {inputs}"]
    encoded = [f"{c.name} ({_shortened(c.categories)})" for c in data.columns if c.categories is not None]
    if encoded:
        lines.append(
            f"encoded   {len(data.columns)} column{'s' * (len(data.columns) != 1)} make {inputs}: {', '.join(encoded)}"
        )
    scaled = ", standardised" if data.target_scale is not None else ""
    if len(data.target_names) > 1 or scaled:
        names = _shortened(list(map(quoted, data.target_names)))
        lines.append(f"target{'s' if len(data.target_names) > 1 else ' '}   {names}{scaled}")
    if data.is_weighted:
        low, high = data.training_weights.min(), data.training_weights.max()
        lines.append(f"weights   {low:.3g} to {high:.3g} for a sample's loss")
    if data.dropped or data.filled:
        rows, cells = f"row{'s' * (data.dropped != 1)}", f"cell{'s' * (data.filled != 1)}"
        lines.append(f"empty     {data.dropped:,} {rows} dropped, {data.filled:,} {cells} filled")
    return lines


def _shortened(names: Sequence[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def print_plan(plan: Plan, estimate: Estimate) -> None:
    """Print a dry run's result. estimate: as for `plan_json`."""
    from experiments.plan_memory import MAX_BYTES, bytes_text

    values = plan_json(plan, estimate)
    blocks = plan.grid.blocks
    axes = blocks[0].block.factors if len(blocks) == 1 else ""
    weights = sorted({program.weight_count for program in plan.newest.programs})
    workers = estimate.workers
    where = f"on {workers} worker{'s' if workers > 1 else ''}" if workers else "in the sweep's own process"
    of_which = f", {values['new']:,} of them new" if values["new"] < plan.trials else ""
    lines = [
        f"{plan.name}: {plan.trials:,} trials{of_which}{f' ({axes})' if axes else ''}",
        *_block_lines(blocks),
        *(
            ["refine    only the coarse map and its edge are trained: the figures below are for every trial"]
            * plan.is_refined
        ),
        *_stopping_lines(plan),
        *_data_lines(plan.dataset),
        *([f"          {len(plan.datasets):,} data sets; this is the first"] if len(plan.datasets) > 1 else []),
        f"plan      {bytes_text(values['plan_bytes'])} of memory at most, of {bytes_text(MAX_BYTES)} that it may take",
        f"programs  {values['programs']}, with {' or '.join(map(str, weights))} weights",
        f"shards    {values['shards']:,} {where}",
        f"MLflow    {values['runs']:,} runs, {values['metric_rows']:,} metric rows",
        f"time      about {values['seconds']:,.0f} s{', by the measured speed' * estimate.measured}",
        *(f"note      {text}" for text in plan.notes),
    ]
    click.echo("\n".join(lines))


def _block_lines(blocks: Sequence[BlockCounts]) -> list[str]:
    """Return the lines of the blocks, if there are several or if some points are no trials."""
    if len(blocks) == 1:
        left_out = _left_out(blocks[0])
        return [f"grid      {blocks[0].block.points:,} points{left_out}"] if left_out else []
    return [
        f"{counts.block.name:9} {counts.trials:,} trials: {counts.block.factors or 'no axes'}{_left_out(counts)}"
        for counts in blocks
    ]


def _left_out(counts: BlockCounts) -> str:
    """Return how many points of a block are no trials, and why; empty if all are."""
    unmet = f", {counts.unmet:,} left out by only" if counts.unmet else ""
    equal = f", {counts.equal:,} equal to earlier ones" if counts.equal else ""
    return unmet + equal
