"""The number of examples or seconds of fuzzing, and its seed, from the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

_BATCH = 100


def rounds(check: Callable[[st.DataObject], None]) -> None:
    """Check mutations in batches, until GRADGRID_FUZZ_EXAMPLES have run or GRADGRID_FUZZ_SECONDS are over.

    Each call takes its share of both: GRADGRID_FUZZ_TESTS says how many tests there are. With GRADGRID_FUZZ_SEED, any
    text, the mutations are the same each time.
    """
    tests = int(os.environ.get("GRADGRID_FUZZ_TESTS", "1"))
    examples = int(os.environ.get("GRADGRID_FUZZ_EXAMPLES", str(_BATCH * tests))) // tests
    seconds = float(os.environ.get("GRADGRID_FUZZ_SECONDS", "inf")) / tests
    start = os.environ.get("GRADGRID_FUZZ_SEED")
    began, done = time.monotonic(), 0
    while done < examples and time.monotonic() - began < seconds:
        batch = min(_BATCH, examples - done)
        options = settings(
            max_examples=batch, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
        )
        test = options(given(st.data())(check))
        (seed(f"{start} {done}")(test) if start else test)()
        done += batch
    print(f"{done:,} examples in {time.monotonic() - began:.0f} s")
