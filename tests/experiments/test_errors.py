"""The error tree: its old names."""

from __future__ import annotations

import pytest

from experiments import errors


@pytest.mark.parametrize(
    ("old", "error"), [("StoreAway", errors.StoreUnavailableError), ("Interrupted", errors.SweepInterruptedError)]
)
def test_an_old_name_of_an_error_works_and_warns_of_the_new_one(old: str, error: type[errors.GradgridError]) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is now called {error.__name__}$"):
        assert getattr(errors, old) is error


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Unknown'"):
        getattr(errors, "Unknown")  # noqa: B009 - mypy knows that it is none
