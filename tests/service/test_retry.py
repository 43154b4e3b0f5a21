"""Retries while a store is away: their time limit, and errors that are not retried."""

import time

import pytest

from experiments.errors import StoreError, StoreUnavailableError
from service.execution.observer import NullObserver
from service.execution.retry import Retry


def test_retries_end_when_their_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    def away() -> None:
        nonlocal attempts
        attempts += 1
        raise StoreUnavailableError("away")

    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"away\ngave up after waiting"):
        Retry(0.5, NullObserver()).call(away)
    assert 0.4 < time.monotonic() - began < 5
    assert attempts >= 2


def test_a_lasting_error_is_not_retried() -> None:
    def wrong() -> None:
        raise StoreError("wrong")

    with pytest.raises(StoreError, match=r"wrong$"):
        Retry(60, NullObserver()).call(wrong)
