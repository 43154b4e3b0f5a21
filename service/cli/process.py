"""Setting up the command's process."""

from __future__ import annotations

import atexit
import gc

from service.recording.environment import prepare_environment

_COLLECTION_THRESHOLD = 100_000  # objects made and not freed between two garbage collections


def prepare_process() -> None:
    """Set up the environment, and make commands start and end faster.

    Imports create a million objects that stay. By default Python searches them for garbage many times while importing,
    and once more at exit, which takes a third of a short command's time.
    """
    prepare_environment()
    gc.set_threshold(_COLLECTION_THRESHOLD, 20, 50)
    atexit.register(gc.freeze)
