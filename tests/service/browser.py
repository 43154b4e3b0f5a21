"""A real Chromium without a window, which shows pages as a user sees them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # a machine that has others to serve is slow

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Return the browser's program; None if it isn't installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_page(width: int = 1400, height: int = 900, *, dark: bool = False, scale: float = 1) -> Iterator[Page]:
    """Yield a page of a new browser. Skip the test if no browser is installed."""
    program = chromium()
    if program is None:
        pytest.skip("Chromium is not installed; .ci/run installs it")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="chromium") as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program,
            headless=True,
            args=_FLAGS,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=scale,
        )
        try:
            page = browser.new_page()
            page.set_default_timeout(30_000)
            yield page
        finally:
            browser.close()


def visit(page: Page, address: str, until: Locator) -> None:
    """Open an address of MLflow and wait for something on its page; again if MLflow gave up on a busy machine."""
    gave_up = page.get_by_role("heading", name="Something went wrong")
    page.goto(address)
    expect(until.or_(gave_up).first).to_be_visible(timeout=90_000)
    if gave_up.is_visible():
        page.reload()
    expect(until.first).to_be_visible(timeout=90_000)


def keep_screenshot(page: Page, name: str) -> None:
    """Save a picture of the page in the folder that GRADGRID_SCREENSHOTS names, for people to look at."""
    folder = os.environ.get("GRADGRID_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png")
