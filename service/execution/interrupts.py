"""Ctrl-C, SIGTERM and a closed terminal stop a sweep between two things, never in the middle of writing one."""

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
    """After a hang-up, have what is written to a terminal that is gone go nowhere, instead of failing."""
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


def _heeded(numbers: tuple[signal.Signals, ...]) -> list[signal.Signals]:
    """Those of the signals that this process was not told to ignore, as `nohup` tells it."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP are a KeyboardInterrupt, as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise_interrupt) for number in _heeded(_TERMINATING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Inside, an interruption waits; it is raised at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        _leave_closed_terminal(number)
        came.append(number)

    before = {number: signal.signal(number, note) for number in _heeded((signal.SIGINT, *_TERMINATING))}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def shield_children_from_hang_up() -> None:
    """Have processes that this thread starts from now on outlive a terminal that is closed: they end with the driver.

    A closed terminal tells every process that was started in it. Ray's would be gone at once, and the driver with them,
    before it could end the sweep.
    """
    if _HANG_UP is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {_HANG_UP})
