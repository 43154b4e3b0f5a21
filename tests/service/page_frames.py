"""Reads frames and texts from a report's page, as a browser has drawn them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from tests.service.browser import open_page

_KEEP_TEXTS = """
const writings = new Map();
const prototype = CanvasRenderingContext2D.prototype;
const {fillText, clearRect} = prototype;
prototype.clearRect = function (x, y, width, height) {
  writings.delete(this.canvas);
  return clearRect.call(this, x, y, width, height);
};
prototype.fillText = function (text, x, y, ...rest) {
  const size = this.measureText(text), at = this.getTransform();
  const [left, right] = [x - size.actualBoundingBoxLeft, x + size.actualBoundingBoxRight];
  const [top, bottom] = [y - size.actualBoundingBoxAscent, y + size.actualBoundingBoxDescent];
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    .map(([u, v]) => [at.a * u + at.c * v + at.e, at.b * u + at.d * v + at.f]);
  if (!writings.has(this.canvas)) writings.set(this.canvas, []);
  writings.get(this.canvas).push({text, corners});
  return fillText.call(this, text, x, y, ...rest);
};
window.allTexts = () => {
  const boxes = [];
  for (const [canvas, written] of writings) {
    const place = canvas.getBoundingClientRect();
    if (!canvas.isConnected || !place.width) continue;
    const scale = canvas.width / place.width;
    for (const {text, corners} of written) {
      if (text.trim()) boxes.push({text, corners: corners.map(([x, y]) => [place.x + x / scale, place.y + y / scale])});
    }
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement.checkVisibility() || node.parentElement.closest("script, #message")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const {left, right, top, bottom} of node.data.trim() ? range.getClientRects() : []) {
      boxes.push({text: node.data, corners: [[left, top], [right, top], [right, bottom], [left, bottom]]});
    }
  }
  return boxes;
};
"""
_FRAMES = """
() => [...document.querySelectorAll(".figure")].filter((place) => place.checkVisibility()).map((place) => {
  const plot = [...drawn.get(place)._roots][0].model;
  const numbers = (values) => [...values].map((v) => Number.isFinite(v) ? v : null);
  const heading = place.closest("div:has(> h4)")?.querySelector("h4").firstChild.textContent ?? plot.title?.text ?? "";
  const y = plot.y_range;
  return {
    section: place.closest("section").id,
    tab: place.closest("section").querySelector("[role=tab][aria-selected=true]")?.textContent ?? "",
    heading: heading.trim(),
    low: y.start, high: y.end, logarithmic: plot.left.some((axis) => axis.type === "LogAxis"),
    lines: plot.renderers.flatMap(({glyph, data_source: {data}}) =>
      glyph.type === "MultiLine" || glyph.type === "Patches" ? [...data.ys].map(numbers)
      : glyph.type === "Scatter" && data.y ? [numbers(data.y)] : []),
  };
})
"""


@dataclass(frozen=True)
class DrawnFrame:
    """A frame of the page. lines: the heights of lines, outlines and points, as they are in the data."""

    section: str
    tab: str
    heading: str
    low: float
    high: float
    logarithmic: bool
    lines: list[list[float | None]]

    def span(self, low: float, high: float) -> float:
        """Return the distance between two values on this frame's axis, as a share of the axis."""
        return abs(self._height(high) - self._height(low))

    @property
    def values(self) -> list[float]:
        """The heights of all marks."""
        return [value for line in self.lines for value in line if value is not None]

    def filled(self) -> float:
        """Return the share of the frame's height between its lowest and its highest mark."""
        heights = [min(max(self._height(value), 0.0), 1.0) for value in self.values]
        return max(heights) - min(heights) if heights else 0.0

    def _height(self, value: float) -> float:
        if not self.logarithmic:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return -math.inf
        return math.log(value / self.low) / math.log(self.high / self.low)


@contextmanager
def read_page(path: Path, width: int) -> Iterator[Page]:
    """Yield the page in a browser that notes every text it draws."""
    with open_page(width, 900) as page:
        page.add_init_script(_KEEP_TEXTS)
        page.goto(path.as_uri())
        _draw(page)
        yield page


def open_tabs(page: Page) -> Iterator[None]:
    """Open the tabs of each section one after another; yield when all figures are drawn."""
    yield
    for k in range(page.get_by_role("tab").count()):
        button = page.get_by_role("tab").nth(k)
        if button.get_attribute("aria-selected") == "false":
            button.click()
            _draw(page)
            yield


def visible_frames(page: Page) -> list[DrawnFrame]:
    """Return the frames of the tabs that are open."""
    return [DrawnFrame(**frame) for frame in page.evaluate(_FRAMES)]


def overlapping_texts(page: Page) -> list[tuple[str, str]]:
    """Return pairs of texts that overlap by more than a pixel."""
    boxes = page.evaluate("allTexts()")
    assert len(boxes) > 50, "no texts were noted"
    texts = [box["text"] for box in boxes]
    corners = np.array([box["corners"] for box in boxes])
    low, high = corners.min(axis=1), corners.max(axis=1)
    depth = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    pairs = np.argwhere(np.triu((depth > 1).all(axis=2), 1))
    return [(texts[i], texts[j]) for i, j in pairs if _overlap(corners[i], corners[j], texts[i] == texts[j])]


def _overlap(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], same_text: bool) -> bool:
    """Return whether two boxes, maybe tilted, overlap by more than a pixel and are not one text drawn twice."""
    if same_text and np.allclose(one, other, atol=0.5):
        return False
    for box in (one, other):
        for side in (box[1] - box[0], box[3] - box[0]):
            direction = side / np.linalg.norm(side)
            first, second = one @ direction, other @ direction
            if min(first.max(), second.max()) - max(first.min(), second.min()) <= 1:
                return False
    return True


def _draw(page: Page) -> None:
    places = page.locator(".figure:visible")
    for k in range(places.count()):
        places.nth(k).scroll_into_view_if_needed()
        expect(places.nth(k)).to_have_attribute("data-drawn", "yes")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@contextmanager
def opened(path: Path, width: int = 1300, *, dark: bool = False) -> Iterator[Page]:
    """Yield the page with all its figures drawn. Fail on a complaint in the console, and on any other request."""
    with open_page(width, 900, dark=dark) as page:
        complaints: list[str] = []
        asked: list[str] = []
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        places = page.locator(".figure:visible")
        for k in range(places.count()):
            places.nth(k).scroll_into_view_if_needed()
            expect(places.nth(k)).to_have_attribute("data-drawn", "yes")
        page.evaluate("scrollTo(0, 0)")
        yield page
        assert complaints == []
        assert asked == [path.as_uri()]
