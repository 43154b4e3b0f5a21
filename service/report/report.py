"""The report of a sweep: a page, and its pictures beside it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path

from experiments.errors import StoreError, UserError
from service.inspection.files import write_file
from service.recording.connection import is_server
from service.recording.infos import SweepInfo
from service.recording.redaction import without_user
from service.recording.store import Store
from service.report.contents import gather
from service.report.page import make_page
from service.report.pictures import make_pictures

FOLDER = "report"
"""On the sweep's run."""

_PAGE = "report.html"
_DASHBOARD = "http://127.0.0.1:5000"  # where `gradgrid dashboard` serves


@dataclass(frozen=True)
class Report:
    """page: HTML. pictures: file name -> PNG. not_kept: why it could not be put on the sweep's run, else empty."""

    page: str
    pictures: Mapping[str, bytes]
    not_kept: str = ""

    def write(self, path: Path) -> list[Path]:
        """Write the page, and the pictures beside it as `STEM-NAME.png`; returns what was written."""
        files = {path: self.page.encode(), **{path.with_name(f"{path.stem}-{n}"): p for n, p in self.pictures.items()}}
        for file, content in files.items():
            write_file(file, methodcaller("write_bytes", content))
        return list(files)

    def _repr_html_(self) -> str:
        """What a notebook shows: the page in a frame."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.page)}" style="width:100%;height:720px;border:0"></iframe>'


def make_report(
    store: Store, sweep: SweepInfo, *, metric: str | None = None, dashboard: str | None = None, keep: bool = True
) -> Report:
    """Make the report of a sweep, and put it on the sweep's run, where MLflow's page shows it, unless told not to.

    metric: what cells and ranks are by, else what the sweep is ranked by. dashboard: where MLflow's pages are, for the
    links to runs; else the store's own server, or where `gradgrid dashboard` serves. Raises NotFoundError where there
    is nothing to see.
    """
    base = dashboard or (without_user(store.uri) if is_server(store.uri) else _DASHBOARD)
    with _no_collection():
        contents = gather(store, sweep, metric)
        report = Report(make_page(contents, base.rstrip("/")), make_pictures(contents))
    if not keep:
        return report
    try:
        store.keep_files(sweep, FOLDER, {_PAGE: report.page.encode(), **report.pictures})
    except StoreError as error:  # the page is made all the same
        return replace(report, not_kept=str(error))
    return report


@contextmanager
def _no_collection() -> Iterator[None]:
    """The many small objects of figures stay until the page is made; looking for garbage among them took a second."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def checked_path(path: Path) -> Path:
    """The path of a page that can be written. Raises UserError."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: a report is a page; end its name in .html")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    return path
