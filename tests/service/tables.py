"""Tables of trials, compared."""

import pandas as pd


def assert_same_trials(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Raise AssertionError unless two tables hold the same trials to the last bit; ids of runs may differ."""
    pd.testing.assert_frame_equal(ours.drop(columns="run_id"), theirs.drop(columns="run_id"), check_exact=True)
