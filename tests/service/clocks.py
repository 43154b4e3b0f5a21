"""A clock that a test moves."""


class Clock:
    """Takes the place of the module `time` where only `monotonic` is used. Times in seconds."""

    def __init__(self) -> None:
        self._now = 1000.0

    def monotonic(self) -> float:
        """Return the time that the test has set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._now += seconds
