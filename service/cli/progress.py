"""What one sees while a sweep runs, here or elsewhere: live on a terminal, now and then a plain line. On stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from service.cli.options import tell
from service.recording.redaction import without_passwords

if TYPE_CHECKING:
    from service.execution.plan import Plan
    from service.inspection.watch import Look
    from service.recording.infos import SweepInfo

_PLAIN_SECONDS = 10.0
_QUIET_SECONDS = 60.0


class _Waits:
    """Says that the store is unavailable, at once and then every ten seconds, and that it is back."""

    def __init__(self) -> None:
        self._next = 0.0

    def waiting(self, why: str, seconds: float, bound: float) -> None:
        if seconds >= self._next:
            reason = f"{why}; training goes on meanwhile" if seconds == 0 else "the store is still unavailable"
            self._say(f"{reason}: waiting, {seconds:,.0f} of {bound:,.0f} s")
            self._next = seconds + _PLAIN_SECONDS

    def back(self) -> None:
        self._next = 0.0
        self._say("the store is back")

    def _say(self, text: str) -> None:
        tell(text)


class LiveProgress(_Waits):
    """Trials done, trials a second, the best so far, time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )
        self._task = TaskID(0)
        self._done = 0
        self._began = 0.0
        self._objective = ""

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        tell(_introduction(plan, sweep, done, workers, note))
        self._began = time.monotonic()
        self._objective = plan.objective
        self._task = self._bar.add_task(plan.name, total=plan.trials, completed=done, rate="", best="")
        self._bar.start()

    def advance(self, best: float | None) -> None:
        self._done += 1
        self._bar.update(
            self._task,
            advance=1,
            rate=f"{self._done / (time.monotonic() - self._began):,.0f}/s",
            best="" if best is None else f"best {self._objective} {best:.4g}",
        )

    def end(self) -> None:
        self._bar.stop()

    def _say(self, text: str) -> None:
        self._bar.console.print(without_passwords(text), markup=False, highlight=False)


class PlainProgress(_Waits):
    """A line at the beginning and one every ten seconds, for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._plan: Plan | None = None
        self._done = 0
        self._before = 0
        self._began = self._told = 0.0

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        tell(_introduction(plan, sweep, done, workers, note))
        self._plan, self._done, self._before = plan, done, done
        self._began = self._told = time.monotonic()

    def advance(self, best: float | None) -> None:
        self._done += 1
        now = time.monotonic()
        if self._plan and now - self._told >= _PLAIN_SECONDS:
            self._told = now
            found = "" if best is None else f", best {self._plan.objective} {best:.4g}"
            tell(f"{self._done:,} of {self._plan.trials:,} trials{found}{self._speed(now - self._began)}")

    def _speed(self, seconds: float) -> str:
        """Return trials a second and the time left; nothing after a single trial, which may have waited for Ray."""
        recorded = self._done - self._before
        if self._plan is None or recorded < 2:
            return ""
        rate = recorded / seconds
        return f", {rate:,.{0 if rate >= 10 else 1}f}/s, {_duration((self._plan.trials - self._done) / rate)} left"

    def end(self) -> None:
        pass


def _duration(seconds: float) -> str:
    """A time to wait for, as a person says it: 95 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


class _Shown:
    """Shows progress while it can be shown: a sweep goes on when its terminal is closed or its log's disk is full."""

    def __init__(self, progress: LiveProgress | PlainProgress) -> None:
        self._progress: LiveProgress | PlainProgress | None = progress

    def begin(self, plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> None:
        self._show("begin", plan, sweep, done, workers, note)

    def advance(self, best: float | None) -> None:
        self._show("advance", best)

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


def make_progress() -> _Shown:
    """The bar where stderr is a terminal, else plain lines."""
    return _Shown(LiveProgress() if sys.stderr.isatty() else PlainProgress())


class Viewer:
    """Shows a sweep that is followed: anew in its place on a terminal, else a line where something has changed."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._told = ""

    def __enter__(self) -> Viewer:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, look: Look) -> None:
        from service.cli.heat_map import sweep_map

        line = _look_line(look)
        if self._live:
            width = self._console.width
            picture = sweep_map(look.table, look.sweep.objective, look.sweep.swept, width)
            self._live.update(Group(line, picture or ""), refresh=True)
        elif line != self._told:
            self._told = line
            tell(line)


def _look_line(look: Look) -> str:
    of = f" of {look.of:,}" if look.of else ""
    parts = [f"{look.sweep.spec}/{look.sweep.sweep}: {look.status.lower()}, {look.trials:,}{of} trials"]
    parts += [f"{count:,} {outcome}" for outcome, count in look.outcomes.items()]
    if look.best is not None:
        parts.append(f"best {look.sweep.objective} {look.best:.4g}")
    if look.quiet > _QUIET_SECONDS and not look.ended:
        parts.append(f"nothing new for {look.quiet // 10 * 10:,.0f} s")
    if look.lost:
        parts.append(f"{look.lost}; `gradgrid resume {look.sweep.sweep}` trains the rest")
    return ", ".join(parts)


def _introduction(plan: Plan, sweep: SweepInfo, done: int, workers: int, note: str) -> str:
    programs = len(set(plan.programs))
    already = f", {done:,} of them recorded already" if done else ""
    begun = (
        f"sweep {sweep.sweep}: {plan.trials:,} trials of {programs} program{'s' if programs > 1 else ''} "
        f"on {workers} worker{'s' if workers > 1 else ''}{already}"
    )
    notes = [f"note: {text}" for text in plan.notes]
    return "\n".join(["; ".join(part for part in (begun, note, plan.note) if part), *notes])
