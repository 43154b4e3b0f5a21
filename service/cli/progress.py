"""The progress of a sweep, here or elsewhere, on stderr: live on a terminal, else as plain lines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from experiments.stopping import stops_trials
from service.cli.options import print_note
from service.cli.time_left import StoppingTimeLeft, duration
from service.recording.redaction import without_passwords
from service.results.rungs import comparison_text

if TYPE_CHECKING:
    from service.execution.plan import Plan
    from service.inspection.watch import SweepSnapshot
    from service.recording.infos import SweepInfo

_PLAIN_SECONDS = 10.0
_IDLE_SECONDS = 60.0


class _WaitMessages:
    """Says that recording waits and why, at once and then every ten seconds, and that it goes on."""

    def __init__(self) -> None:
        self._next = 0.0

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        if seconds >= self._next:
            reason = f"{why}; training goes on meanwhile" if seconds == 0 else "still not recording"
            self._say(f"{reason}: waiting, {seconds:,.0f} of {bound:,.0f} s")
            self._next = seconds + _PLAIN_SECONDS

    def back(self) -> None:
        self._next = 0.0
        self._say("recording goes on")

    def _say(self, text: str) -> None:
        print_note(text)


class LiveProgress(_WaitMessages):
    """A bar: trials done, trials a second, the best so far, time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = _bar(TimeRemainingColumn(compact=True))
        self._task = TaskID(0)
        self._plan: Plan | None = None
        self._left: StoppingTimeLeft | None = None
        self._done = 0
        self._began = 0.0
        self._objective = ""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        print_note(_introduction(plan, sweep, done, workers, note))
        self._began = time.monotonic()
        self._objective, self._plan = plan.objective, plan
        if stops_trials(plan.resolved.spec):  # the bar can't know the time left: first trials are compared
            self._left = StoppingTimeLeft(plan, done)
            self._bar = _bar(TextColumn("{task.fields[left]}"))
        self._task = self._bar.add_task(plan.name, total=plan.trials, completed=done, rate="", best="", left="")
        self._bar.start()

    def advance(self, trials: int, best: float | None) -> None:
        self._done += trials
        self._bar.update(
            self._task,
            advance=trials,
            rate=f"{self._done / (time.monotonic() - self._began):,.0f}/s",
            best="" if best is None else f"best {self._objective} {best:.4g}",
            left=self._left.text(trials, time.monotonic()) if self._left else "",
        )

    def comparing(self, trials: int, steps: int) -> None:
        self._bar.update(self._task, best=comparison_text(_rungs(self._plan), steps, trials))

    def end(self) -> None:
        self._bar.stop()

    def _say(self, text: str) -> None:
        self._bar.console.print(without_passwords(text), markup=False, highlight=False)


def _bar(left: ProgressColumn) -> Progress:
    """Return a bar. left: its column for the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[best]}"),
        left,
        console=Console(stderr=True),
    )


class PlainProgress(_WaitMessages):
    """A line at the start and one every ten seconds, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._plan: Plan | None = None
        self._done = 0
        self._before = 0
        self._began = self._last_line = 0.0
        self._left: StoppingTimeLeft | None = None

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        print_note(_introduction(plan, sweep, done, workers, note))
        self._plan, self._done, self._before = plan, done, done
        self._left = StoppingTimeLeft(plan, done) if stops_trials(plan.resolved.spec) else None
        self._began = self._last_line = time.monotonic()

    def advance(self, trials: int, best: float | None) -> None:
        self._done += trials
        now = time.monotonic()
        left = self._left.text(trials, now) if self._left else ""
        if self._plan and now - self._last_line >= _PLAIN_SECONDS:
            self._last_line = now
            best_text = "" if best is None else f", best {self._plan.objective} {best:.4g}"
            speed = self._speed(now - self._began, left)
            print_note(f"{self._done:,} of {self._plan.trials:,} trials{best_text}{speed}")

    def comparing(self, trials: int, steps: int) -> None:
        print_note(comparison_text(_rungs(self._plan), steps, trials))

    def _speed(self, seconds: float, left: str) -> str:
        """Return trials a second and the time left; nothing after a single trial, which may have waited for Ray.

        left: the time left of a sweep that stops trials, if it is known.
        """
        recorded = self._done - self._before
        if self._plan is None or recorded < 2:
            return ""
        rate = recorded / seconds
        if self._left is None:
            left = f"{duration((self._plan.trials - self._done) / rate)} left"
        return f", {rate:,.{0 if rate >= 10 else 1}f}/s{', ' * bool(left)}{left}"

    def end(self) -> None:
        pass


def _rungs(plan: Plan | None) -> tuple[int, ...]:
    """Return the rungs of a plan's search; empty without any."""
    return plan.ladder.rungs if plan and plan.ladder else ()


class _SafeProgress:
    """Shows progress as long as it can: a sweep continues when its terminal is closed or its log's disk is full."""

    def __init__(self, progress: LiveProgress | PlainProgress) -> None:
        self._progress: LiveProgress | PlainProgress | None = progress

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        self._show("begin", plan, sweep, done, workers, note)

    def advance(self, trials: int, best: float | None) -> None:
        self._show("advance", trials, best)

    def comparing(self, trials: int, steps: int) -> None:
        self._show("comparing", trials, steps)

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        self._show("waiting", why, seconds, bound)

    def back(self) -> None:
        self._show("back")

    def end(self) -> None:
        self._show("end")

    def _show(self, event: str, *facts: object) -> None:
        try:
            if self._progress is not None:
                getattr(self._progress, event)(*facts)
        except (OSError, ValueError):  # ValueError: the stream was closed
            self._progress = None


def make_progress() -> _SafeProgress:
    """Return a bar if stderr is a terminal, else plain lines."""
    return _SafeProgress(LiveProgress() if sys.stderr.isatty() else PlainProgress())


class Viewer:
    """Shows the snapshots of a sweep: each in place of the one before on a terminal, else a line for each change."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last_line = ""

    def __enter__(self) -> Viewer:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, snapshot: SweepSnapshot) -> None:
        """Show a snapshot."""
        from service.cli.heat_map import sweep_map

        line = _snapshot_line(snapshot)
        if self._live:
            sweep = snapshot.sweep
            picture = sweep_map(snapshot.table, sweep.objective, sweep.swept, self._console.width)
            self._live.update(Group(line, picture or ""), refresh=True)
        elif line != self._last_line:
            self._last_line = line
            print_note(line)


def _snapshot_line(snapshot: SweepSnapshot) -> str:
    sweep = snapshot.sweep
    total = f" of {snapshot.total:,}" if snapshot.total else ""
    parts = [f"{sweep.spec}/{sweep.sweep}: {snapshot.status.lower()}, {snapshot.trials:,}{total} trials"]
    parts += [f"{count:,} {outcome}" for outcome, count in snapshot.outcomes.items()]
    if snapshot.best is not None:
        parts.append(f"best {sweep.objective} {snapshot.best:.4g}")
    if snapshot.comparison:
        parts.append(snapshot.comparison)
    if snapshot.idle_seconds > _IDLE_SECONDS and not snapshot.ended:
        parts.append(f"nothing new for {snapshot.idle_seconds // 10 * 10:,.0f} s")
    if snapshot.lost:
        parts.append(f"{snapshot.lost}; `gradgrid resume {sweep.sweep}` trains the rest")
    return ", ".join(parts)


def _introduction(plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> str:
    """Return the first line, and one for each note. done: the trials that are recorded already."""
    programs = len(set(plan.programs))
    already = f", {done:,} of them recorded already" if done else ""
    at_most = "at most " * (plan.is_refined or plan.resolved.last_search.asks)
    count = f"{at_most}{plan.trials:,} trials of {programs} program{'s' if programs > 1 else ''}"
    start = f"sweep {sweep.sweep}: {count} on {workers} worker{'s' if workers > 1 else ''}{already}"
    notes = [f"note: {text}" for text in plan.notes]
    return "\n".join(["; ".join(part for part in (start, note) if part), *notes])
