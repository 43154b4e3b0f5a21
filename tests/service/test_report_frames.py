"""The figures of a report's page, read in a real browser: scales, marks and texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service import sweep
from service.api import RecordedSweep
from service.results.axes import display_name, format_value
from tests.service.page_frames import DrawnFrame, open_tabs, overlapping_texts, read_page, visible_frames

_WILD = ("exploding", "diverged")
_SMALL: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "moons", "samples": 40, "noise": 0.1},
    "model": {"hidden": [3, 3]},
    "loss": "mean_squared_error",
    "steps": 300,
    "grid": {
        "activation": ["relu", "sigmoid", "tanh"],
        "learning_rate": {"logspace": [0.01, 10000.0], "points": 16},
        "seed": {"range": 4},
    },
    "record": {"points": 12},
}
_LOST = {
    "name": "lost",
    "dataset": {"name": "moons", "samples": 200, "noise": 0.1},
    "model": {"hidden": [4, 4, 4, 4]},
    "loss": "mean_squared_error",
    "steps": 400,
    "grid": {**_SMALL["grid"], "learning_rate": {"logspace": [1.0, 1000.0], "points": 31}},
}
"""Nine tenths of these trials diverge."""

_FACTORS = {"curves": 1.5, "gradients": 3.0, "trials": 1.5}
"""The greatest length of a frame's axis, as a multiple of its data. Frames of gradients may span two powers of ten."""
_CONSTANT = 0.02


@dataclass(frozen=True)
class _Sweep:
    """A recorded sweep's trials and curves, with the headings that its frames have."""

    trials: pd.DataFrame
    curves: pd.DataFrame
    metric: str

    def undiverged(self, frame: DrawnFrame) -> np.ndarray[Any, Any]:
        """Return the values that a frame's scale may be chosen from."""
        calm = self.trials[~self.trials["outcome"].isin(_WILD)]
        if frame.section == "trials":
            return np.asarray(calm[f"metrics.{self.metric}"], dtype=float)
        rates = "learning rate " + calm["params.learning_rate"].map(format_value)
        headings = rates if frame.section == "curves" else calm["params.activation"] + ", " + rates
        points = self.curves[self.curves["number"].isin(calm["number"][headings == frame.heading])]
        columns = [name for name in points if frame.tab in (display_name(str(name)), str(name).replace("_", " "))]
        if frame.section == "gradients":
            columns = [name for name in points if str(name).startswith("grad_norm.") and str(name).endswith(".weight")]
        assert columns, frame
        return np.asarray(points[columns], dtype=float).ravel()


def check_page(path: Path, recorded: _Sweep, widths: tuple[int, ...] = (1280, 390)) -> list[str]:
    """Return the faults of a page's frames and texts, a sentence each."""
    faults: list[str] = []
    drawn: dict[tuple[str, str, str], DrawnFrame] = {}
    for width in widths:
        with read_page(path, width) as page:
            if page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"the page is wider than {width}")
            for _ in open_tabs(page):
                faults += [f"at {width}: {one!r} lies over {other!r}" for one, other in overlapping_texts(page)]
                drawn |= {(f.section, f.tab, f.heading): f for f in visible_frames(page) if f.section in _FACTORS}
    groups: dict[tuple[str, str], list[DrawnFrame]] = {}
    for frame in drawn.values():
        groups.setdefault((frame.section, frame.tab), []).append(frame)
    assert {"curves", "gradients", "trials"} == {section for section, _ in groups}
    for (section, _), frames in groups.items():
        data = [recorded.undiverged(frame) for frame in frames]
        if len({(frame.low, frame.high) for frame in frames}) == 1:
            data = [np.concatenate(data)] * len(frames)
        for frame, values in zip(frames, data, strict=True):
            faults += _faults(frame, values[np.isfinite(values)], _FACTORS[section])
    return faults


def _faults(frame: DrawnFrame, values: np.ndarray[Any, Any], factor: float) -> Iterator[str]:
    name = f"{frame.section} {frame.tab} {frame.heading!r} from {frame.low:.3g} to {frame.high:.3g}"
    if frame.logarithmic and not 0 < frame.low < frame.high < np.inf:
        yield f"{name}: not an axis"
        return
    values = values[values > 0] if frame.logarithmic else values
    if len(set(frame.values)) == 1:
        return  # a flat line in the scale of the other frames
    if values.size:
        low, high = float(values.min()), float(values.max())
        if high - low <= _CONSTANT * max(abs(low), abs(high)):
            return
        if frame.span(low, high) < 1 / factor:
            yield f"{name}: the axis is longer than the data, from {low:.3g} to {high:.3g}"
    elif frame.high > 1e4 * abs(frame.low):
        yield f"{name}: the axis is too long for diverged curves"
    if frame.filled() < 1 / 3:
        yield f"{name}: the marks fill {frame.filled():.0%} of the height"


def _recorded(found: RecordedSweep) -> _Sweep:
    return _Sweep(found.trials, found._store.curves(found.info), found.objective)


def _written(found: RecordedSweep, folder: Path) -> Path:
    path = folder / "page.html"
    found.report(keep=False).write(path)
    return path


@pytest.mark.pages
def test_frames_show_the_trials_that_have_not_diverged(uri: str, tmp_path: Path) -> None:
    found = sweep(_SMALL, tracking_uri=uri, inline=True)
    assert (found.trials["outcome"] == "diverged").mean() > 0.4
    assert check_page(_written(found, tmp_path), _recorded(found), widths=(390,)) == []


@pytest.mark.pages
@pytest.mark.parametrize("name", ["deep", "moons", "breast_cancer", "xor", "lost"])
def test_frames_of_the_ready_sweeps_show_the_trials_that_have_not_diverged(name: str, uri: str, tmp_path: Path) -> None:
    found = sweep(_LOST if name == "lost" else name, tracking_uri=uri, inline=True)
    if name == "lost":
        assert (found.trials["outcome"] == "diverged").mean() > 0.9
    assert check_page(_written(found, tmp_path), _recorded(found)) == []
