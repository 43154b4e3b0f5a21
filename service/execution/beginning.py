"""Create a sweep's own run in the store, or reopen it to resume the sweep."""

from __future__ import annotations

import secrets
import time

from experiments.data.frames import kept_bytes
from experiments.data.readers import read_frame, read_options
from experiments.errors import SpecError, UserError
from experiments.extensions import without_extensions
from service.execution import summary
from service.execution.plan import Plan
from service.recording.infos import SweepInfo, identity_mismatches, sweep_tags
from service.recording.pages import guide
from service.recording.saved_views import Subject
from service.recording.signs_of_life import who_is_at_work
from service.recording.store import Store
from service.recording.tags import Tag
from service.recording.trust import remember_parts


def begin_sweep(store: Store, plan: Plan, job: str | None) -> SweepInfo:
    """Create a sweep of this plan in the store and return it.

    job: the cluster's job that runs it. Raises StoreError.
    """
    source = plan.resolved.source
    parts = plan.resolved.parts.text
    remember_parts(parts)  # the user has agreed to run it: no need to ask when the sweep is resumed
    tags = {
        **sweep_tags(plan.dataset.fingerprint, source.folder, plan.objective, _runs_tag(plan)),
        Tag.TRIALS: str(plan.trials),
        **({Tag.RUNGS: ",".join(map(str, plan.ladder.rungs))} if plan.ladder else {}),
        **({Tag.JOB: job} if job else {}),
        **({Tag.FRAME: "kept"} if source.frame else {}),
    }
    frame = b""
    if source.frame is not None:
        frame = kept_bytes(read_frame(source.frame(), options=read_options(plan.resolved.spec.dataset)))
    sweep = store.begin(
        f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}",
        plan.name,
        source.data,
        tags,
        summary.sweep_params(plan),
        parts,
        plan.variants.facts,
        frame,
    )
    if plan.ladder and len(plan.ladder.brackets) > 1:
        store.write_brackets(sweep, plan.ladder.firsts(plan.configurations))
    guide(store, sweep, Subject(plan.resolved.axes, plan.objective))
    return sweep


def _runs_tag(plan: Plan) -> str:
    runs = plan.record.runs
    return runs if isinstance(runs, str) else f"top {runs.top}"


def reopen_sweep(store: Store, name: str, plan: Plan, job: str | None, *, extend: bool = False) -> SweepInfo:
    """Reopen the sweep of this name and return it.

    extend: record the plan's last extension as one of the sweep.
    Raises SpecError if its spec, parts, data or engine version have changed, or if its trials were ranked by another
    metric; UserError if another driver runs it.
    """
    sweep = store.find_sweep(name)
    _check_at_rest(sweep, job)
    mismatches = identity_mismatches(sweep, plan.dataset.fingerprint)
    data = plan.resolved.source.data
    if sweep.spec != plan.name or store.spec(sweep) != (without_extensions(data, last=1) if extend else data):
        mismatches.append("its spec")
    if store.parts(sweep) != plan.resolved.parts.text:
        mismatches.append("its parts")
    if mismatches:
        raise SpecError(
            f"the sweep {sweep.sweep} can't be resumed: {' and '.join(mismatches)} changed since it began; undo the "
            "change (give the same --set as then, if there were any), or start a new sweep"
        )
    if plan.objective != sweep.objective:
        raise SpecError(
            f"the sweep {sweep.sweep} ranks its trials by {sweep.objective}, and these could only be ranked by "
            f"{plan.objective}; start a new sweep"
        )
    store.reopen(sweep)
    if extend:
        store.extend(sweep, data, {Tag.TRIALS: str(plan.trials)}, summary.extension_params(plan, sweep.params))
    return sweep


def _check_at_rest(sweep: SweepInfo, job: str | None) -> None:
    """Raise UserError if another driver runs the sweep.

    A cluster runs one copy of a job at a time. So a job that finds its own sweep knows that the earlier driver is gone.
    """
    driver = who_is_at_work(sweep)
    if not driver or (job and sweep.job == job):
        return
    raise UserError(
        f"the sweep {sweep.sweep} is still run by {driver}: wait until it ends (`gradgrid watch {sweep.sweep}` shows "
        "it), or stop it with Ctrl-C or `kill`; then resume it"
    )
