"""Several recorded sweeps, compared, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from service.inspection.compare import Comparison
    from service.recording.store import Store
    from service.report.report import Report


class ComparedSweeps:
    """Recorded sweeps, compared: what `gradgrid top A B` prints.

    metric: what they are compared by.
    differences: what differs between their sweep files: key -> its value in each, as text.
    notes: sentences on what to keep in mind.
    """

    def __init__(self, store: Store, comparison: Comparison) -> None:
        self._store, self._comparison = store, comparison
        self.metric = comparison.metric
        self.differences = dict(comparison.differences)
        self.notes = list(comparison.notes)

    @property
    def trials(self) -> pd.DataFrame:
        """The trials of all sweeps, one row each, as those of one sweep; `params.sweep` is the sweep's id."""
        return self._comparison.table

    def leaderboard(self, by: str | None = None, where: str | Sequence[str] = ()) -> pd.DataFrame:
        """Return the configurations of all sweeps, best first. Columns as those of one sweep, and `sweep`, its id.

        by: the metric; None for that of the comparison.
        where: a condition such as `learning_rate<0.1`, or several; only trials that meet all of them count.
        Raises NotFoundError if one of the sweeps does not have the metric, UserError for a condition that no trial can
        meet.
        """
        from service.results.frames import entries_frame

        return entries_frame(self._comparison.entries(by, where))

    def matched(self) -> pd.DataFrame:
        """Return the differences between trials that are equal in everything that both sweeps share.

        A row for each further sweep and each combination of values that are not shared. Columns: first and second, the
        sweeps' ids; `first.<name>` and `second.<name>`, such values; pairs and finished, the numbers of partners; mean,
        low and high of the difference, second minus first, with its 95 % confidence interval; over, what the interval
        is over, `configurations` or `seeds`; first_quartile, median and third_quartile; first_better, second_better,
        equal, lost and same, numbers of partners, `same` of those that are one trial in both sweeps.
        """
        from service.results.frames import matched_frame

        return matched_frame(self._comparison.matchings)

    def report(self, *, dashboard: str | None = None) -> Report:
        """Return the page of the comparison. Its `write(path)` writes it. dashboard: as for one sweep."""
        from service.report.report import make_comparison

        return make_comparison(self._comparison, self._store, dashboard=dashboard)
