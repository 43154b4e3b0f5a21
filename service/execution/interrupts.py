"""Let Ctrl-C, SIGTERM and a closed terminal stop a sweep, but never in the middle of a write."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
_TERMINATING = tuple(number for number in (signal.SIGTERM, _HANG_UP) if number is not None)
_STREAMS = (0, 1, 2)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    _leave_closed_terminal(number)
    raise KeyboardInterrupt


def _leave_closed_terminal(number: int) -> None:
    """After a hang-up, discard output to the closed terminal: writing to it would fail."""
    if number != _HANG_UP:
        return
    import termios

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in _STREAMS:
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] in (errno.EIO, errno.EBADF):  # a file or a pipe has ENOTTY
                with suppress(OSError):
                    os.dup2(nowhere, stream)
    os.close(nowhere)


def _not_ignored(numbers: tuple[signal.Signals, ...]) -> list[signal.Signals]:
    """Return those of the signals that this process does not ignore. `nohup` makes it ignore SIGHUP."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise_interrupt) for number in _not_ignored(_TERMINATING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Delay interrupts while the block runs; raise KeyboardInterrupt when it ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        _leave_closed_terminal(number)
        signals.append(number)

    before = {number: signal.signal(number, remember) for number in _not_ignored((signal.SIGINT, *_TERMINATING))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signals:
        raise KeyboardInterrupt


def shield_children_from_hang_up() -> None:
    """Block SIGHUP in processes that this thread starts, so that they outlive a closed terminal.

    A closed terminal sends SIGHUP to every process started in it. Ray's processes would end at once, before the driver
    could end the sweep. They end with the driver instead.
    """
    if _HANG_UP is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {_HANG_UP})
