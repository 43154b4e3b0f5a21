"""Which trial was promoted, and why, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.cli.options import print_note

if TYPE_CHECKING:
    from service.inspection.best import BestTrial
    from service.recording.infos import TrialInfo

_SHORT_ID = 8


def best_json(trial: TrialInfo, best: BestTrial | None) -> dict[str, Any]:
    """Return the outcome of a promoted trial and, if it was chosen as the best, by what."""
    chosen = {} if best is None else {"by": best.metric, "value": best.value, "trials": best.compared}
    return {**chosen, "outcome": trial.outcome, "last_step": trial.last_step}


def print_choice(trial: TrialInfo, best: BestTrial | None, options: str) -> None:
    """Print on stderr which trial was taken, and how `gradgrid top` ranks its configuration.

    best: why it was taken; None if the user named its run.
    options: of the command that promotes another one.
    """
    from experiments.stopping import STOPPED
    from service.results.choice import part_note
    from service.results.metrics import test_metric, validation_metric

    parts = []
    if best is not None:
        name = f"{best.sweep.spec}/{best.sweep.sweep}"
        which = (
            f"the only trial of {name} that has a run"
            if best.compared == 1
            else f"the best of the {best.compared:,} single trials of {name} that have a run"
        )
        parts.append(f"{which}: {best.metric} {best.value:.5g}")
        beside = test_metric(best.metric)
        if beside in trial.metrics:
            parts.append(f"{beside} {trial.metrics[beside]:.5g}")
    steps = trial.params.get("steps")
    of_all = f" of {steps}" if steps else ""
    parts.append(
        f"stopped early, at step {trial.outcome_step}{of_all}"
        if trial.outcome == STOPPED
        else f"{trial.outcome}, trained to step {trial.last_step}{of_all}"
    )
    print_note(f"run {trial.run_id}, {', '.join(parts)}")
    if best is not None:
        print_note(part_note(best.metric, [validation_metric(best.metric) in trial.metrics]))
        print_note(_rank_text(best, options))


def _rank_text(best: BestTrial, options: str) -> str:
    """Return the rank of the trial's configuration; empty if each configuration has a single trial."""
    entry, leader = best.entry, best.leader
    if not best.repeated:
        return ""
    rank = f"{entry.rank}{'=' if entry.tied else ''} of {best.configurations:,}"
    of = f"the mean over its {entry.finished} seeds or folds, {entry.mean:.5g}"
    text = f"`gradgrid top` ranks configurations, not single trials; its configuration has rank {rank}, by {of}"
    if leader is entry or not leader.run_id:
        return text
    return (
        f"{text}\nthe first there has the mean {leader.mean:.5g}; its best trial: "
        f"`gradgrid promote {leader.run_id[:_SHORT_ID]} {options}`"
    )
