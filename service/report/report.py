"""The report of a sweep: a page and its pictures."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path

from experiments.errors import StoreError, UserError
from service.inspection.compare import Comparison
from service.inspection.files import write_file
from service.recording.connection import is_server
from service.recording.infos import SweepInfo
from service.recording.redaction import without_user
from service.recording.store import Store
from service.report.comparison import make_comparison_page
from service.report.contents import gather
from service.report.page import make_page
from service.report.pictures import make_pictures

FOLDER = "report"
"""The folder of the report among the artifacts of the sweep's run."""

_PAGE = "report.html"
_DASHBOARD = "http://127.0.0.1:5000"  # where `gradgrid dashboard` serves


@dataclass(frozen=True)
class Report:
    """A sweep's report. A notebook shows the page.

    page: HTML.
    pictures: file name -> PNG.
    not_kept: why the sweep's run has no copy of it; empty if it has.
    """

    page: str
    pictures: Mapping[str, bytes]
    not_kept: str = ""

    def write(self, path: Path) -> list[Path]:
        """Write the page, and the pictures to the same folder as `STEM-NAME.png`; return the paths, the page first.

        path: of the page; STEM is its name without the ending. Raises GradgridError if a file can't be written.
        """
        files = {path: self.page.encode(), **{path.with_name(f"{path.stem}-{n}"): p for n, p in self.pictures.items()}}
        for file, content in files.items():
            write_file(file, methodcaller("write_bytes", content))
        return list(files)

    def _repr_html_(self) -> str:
        """Return the page in a frame, for a notebook."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.page)}" style="width:100%;height:720px;border:0"></iframe>'


def make_report(
    store: Store,
    sweep: SweepInfo,
    *,
    metric: str | None = None,
    lost_by: str = "",
    dashboard: str | None = None,
    keep: bool = True,
) -> Report:
    """Return the report of a sweep, and put a copy on the sweep's run, where MLflow shows it.

    store: where the sweep is recorded.
    sweep: the sweep.
    metric: what cells and ranks are by; None for the sweep's objective.
    lost_by: the metric that colours the lost trials of a map; empty for the step at which they failed.
    dashboard: the address of the MLflow server that links lead to; None for the store's, or that of
        `gradgrid dashboard`.
    keep: whether the sweep's run gets a copy. If it can't be written, `not_kept` says why.
    Raises NotFoundError if the sweep has no trials or no such metric, UntrustedPartsError if its code may not run.
    """
    with _no_collection():
        contents = gather(store, sweep, metric, lost_by)
        report = Report(make_page(contents, _base(store, dashboard)), make_pictures(contents))
    if not keep:
        return report
    try:
        store.write_files(sweep, FOLDER, {_PAGE: report.page.encode(), **report.pictures})
    except StoreError as error:  # the user gets the page anyway
        return replace(report, not_kept=str(error))
    return report


def make_comparison(comparison: Comparison, store: Store, *, dashboard: str | None = None) -> Report:
    """Return the report of compared sweeps, a page without pictures. No run gets a copy.

    comparison: the sweeps.
    store: where they are recorded.
    dashboard: as for `make_report`.
    """
    with _no_collection():
        return Report(make_comparison_page(comparison, _base(store, dashboard)), {})


def _base(store: Store, dashboard: str | None) -> str:
    """Return the address that links of a page lead to."""
    return (dashboard or (without_user(store.uri) if is_server(store.uri) else _DASHBOARD)).rstrip("/")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Suspend garbage collection: figures are many small objects, and searching them for garbage took a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def checked_path(path: Path) -> Path:
    """Return the path of a page. Raises UserError if it does not end in .html, or its folder does not exist."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: a report is a page; end its name in .html")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    return path
