"""The report's numbers, each against the plainest way to come to it, and its files."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.errors import NotFoundError
from service import load_sweep, sweep
from service.recording.store import Store
from service.report.contents import Contents, gather
from service.report.page import make_page
from service.report.panels import Line, Panel, ScaleRule, exits, panel_scales
from service.report.picture_text import literal
from service.report.pictures import make_pictures
from service.results.axes import NO_AXIS, Axis, axis_pairs, cell_indices, swept_axes
from service.results.frame_choice import choose_frames, describe
from service.results.importance import importance
from service.results.phase_diagram import make_phase_diagram, scale_of_median
from service.results.quantile_bands import Curves
from service.results.scales import Scale, scale_of, without_outliers
from tests.service.conftest import TINY, Recorded, run_command, run_for_json, write_spec


@pytest.fixture(scope="module")
def contents(recorded: Recorded) -> Contents:
    store = Store(recorded.uri)
    return gather(store, store.find_sweep("small"))


def test_axes_are_ordered_and_paired() -> None:
    table = pd.DataFrame(
        {
            "params.activation": ["tanh", "relu", "tanh"],
            "params.learning_rate": [1.0, 0.01, 0.1],
            "params.momentum": [0.9, math.nan, 0.5],
            "params.seed": [0, 1, 2],
            "params.steps": 5,
        }
    )
    axes = swept_axes(table, ["activation", "learning_rate", "momentum", "seed", "steps"])
    assert [axis.values for axis in axes] == [("tanh", "relu"), (0.01, 0.1, 1.0), (0.5, 0.9)]
    assert [(a.name, d.name) for a, d in axis_pairs(axes)] == [
        ("learning_rate", "activation"), ("learning_rate", "momentum"), ("momentum", "activation"),
    ]  # fmt: skip
    assert axis_pairs(axes[:1]) == [(axes[0], NO_AXIS)]
    assert axes[1].is_logarithmic
    assert Axis("n", (0.01, 0.1)).is_logarithmic
    assert not Axis("n", (1, 2, 3, 4, 5, 6)).is_logarithmic
    assert not axes[2].is_logarithmic
    assert axes[2].indices(table).tolist() == [1, -1, 0]
    assert Axis("n", tuple(range(100))).spread_indices(5) == (0, 25, 50, 74, 99)


def test_a_phase_diagram_counts_what_became_of_the_trials(recorded: Recorded) -> None:
    table = recorded.result.table
    across, down = axis_pairs(swept_axes(table, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(table, "test_loss", across, down)
    assert (across.name, down.name) == ("learning_rate", "activation")
    for i, activation in enumerate(down.values):
        for j, rate in enumerate(across.values):
            cell = table[(table["params.activation"] == activation) & (table["params.learning_rate"] == rate)]
            assert phase.trials[i, j] == len(cell) == 3
            for name, share in phase.shares.items():
                assert share[i, j] == pytest.approx((cell["outcome"] == name).mean())
            finished = cell[cell["outcome"] != "diverged"]
            if len(finished) * 2 >= len(cell):
                assert phase.median[i, j] == finished["metrics.test_loss"].median()
                assert phase.best[i, j] == finished.loc[finished["metrics.test_loss"].idxmin(), "run_id"]
            else:
                assert math.isnan(phase.median[i, j])
                assert phase.onset_step[i, j] == cell["outcome_step"].median()
            assert phase.modal_outcome[i, j] in set(cell["outcome"])
    one = make_phase_diagram(table, "test_loss", across, NO_AXIS)
    assert one.trials.tolist() == [[6, 6]]


def test_an_empty_cell_has_nothing() -> None:
    table = pd.DataFrame(
        {
            "params.a": [1, 2], "params.b": ["x", "y"], "outcome": ["diverged", "dead"], "outcome_step": [3, 5],
            "run_id": ["r", "s"], "metrics.loss": [math.nan, 0.5],
        }
    )  # fmt: skip
    phase = make_phase_diagram(table, "loss", Axis("a", (1, 2)), Axis("b", ("x", "y")))
    assert phase.trials.tolist() == [[1, 0], [0, 1]]
    assert phase.modal_outcome.tolist() == [["diverged", ""], ["", "dead"]]
    assert phase.best.tolist() == [["", ""], ["", "s"]]
    np.testing.assert_equal(phase.onset_step, [[3, math.nan], [math.nan, 5]])
    np.testing.assert_equal(phase.median, [[math.nan, math.nan], [math.nan, 0.5]])


def test_bands_are_quartiles_and_the_diverged_are_infinite() -> None:
    values = np.array([[4.0, 3.0, 2.0], [5.0, 1.0, 1.0], [6.0, 9.0, math.nan], [7.0, 2.0, 0.5]])
    points = pd.DataFrame(
        [
            {"number": n, "step": step, "loss": value, "accuracy": value}
            for n, row in enumerate(values)
            for step, value in zip((0, 5, 10), row, strict=True)
            if not math.isnan(value)
        ]
    )
    table = pd.DataFrame(
        {"number": range(4), "outcome": ["dead", "dead", "diverged", "dead"], "last_step": [10, 10, 7, 10]}
    )
    curves = Curves(points, table)
    assert curves.steps == (0, 5, 10)
    nowhere = cell_indices(table, NO_AXIS, NO_AXIS)
    bands = curves.bands("loss", nowhere, [0], [0])
    np.testing.assert_allclose(bands.middle[0, 0, :2], np.median(values[:, :2], axis=0))
    np.testing.assert_allclose(bands.low[0, 0, :2], np.quantile(values[:, :2], 0.25, axis=0))
    assert bands.middle[0, 0, 2] == 1.5  # of 0.5, 1, 2 and infinity
    assert math.isinf(bands.high[0, 0, 2])
    np.testing.assert_allclose(bands.calm[1, 0, 0], [5.0, 2.0, 1.0])
    accuracy = curves.bands("accuracy", nowhere, [0], [0])
    assert accuracy.middle[0, 0, 2] == 1.0  # more is better: what has diverged has none


@pytest.mark.parametrize(
    ("result", "alone", "together"),
    [
        (lambda a, b: 2.0 * a, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}),
        (lambda a, b: float(a != b), {"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 1.0}),
        (lambda a, b: 4.0 * a + b, {"a": 0.8, "b": 0.2}, {"a": 0.8, "b": 0.2}),
        (lambda a, b: math.nan if a else b, {"a": 8 / 9, "b": 1 / 18}, {"a": 17 / 18, "b": 1 / 9}),
    ],
)
def test_importance_is_the_share_of_the_variance_of_the_ranks(
    result: Any, alone: dict[str, float], together: dict[str, float]
) -> None:
    cells = [(a, b) for a in (0, 1) for b in (0, 1)]
    table = pd.DataFrame(
        {
            "params.a": [a for a, _ in cells],
            "params.b": [b for _, b in cells],
            "params.c": 7,
            "outcome": ["diverged" if math.isnan(result(a, b)) else "stalled" for a, b in cells],
            "metrics.loss": [result(a, b) for a, b in cells],
        }
    )
    found = {share.axis: share for share in importance(table, "loss", ["a", "b", "c"])}
    assert set(found) == {"a", "b"}
    for name, share in found.items():
        assert share.first_order == pytest.approx(alone[name])
        assert share.total == pytest.approx(together[name])


def test_nothing_is_important_where_all_came_to_the_same() -> None:
    table = pd.DataFrame({"params.a": [0, 1], "outcome": "dead", "metrics.loss": 1.0})
    assert importance(table, "loss", ["a"]) == []


def _panel(*values: float, calm: bool = True) -> Panel:
    curve = np.array(values)
    return Panel("", tuple(range(len(values))), (Line("", 0, curve, calm=curve if calm else None),))


def test_panels_share_a_scale_that_fills_each_of_them() -> None:
    first, second = panel_scales([_panel(1.0, 0.1, 0.01), _panel(0.9, 0.3, 0.03)], ScaleRule())
    assert first == second
    assert first.logarithmic
    assert 0.005 < first.low < 0.01
    assert 1.0 < first.high < 2.0


def test_a_panel_that_a_shared_scale_would_flatten_has_its_own() -> None:
    deep, flat = panel_scales([_panel(1.0, 1e-3, 1e-6), _panel(1.0, 0.9, 0.8)], ScaleRule())
    assert deep.logarithmic
    assert flat.logarithmic
    assert deep.low < 1e-6
    assert 0.7 < flat.low < 0.8


def test_what_exploded_or_diverged_has_no_part_in_a_scale() -> None:
    lines = (
        Line("", 0, np.array([1.0, 0.5, 0.2]), calm=np.array([1.0, 0.5, 0.2])),
        Line("", 1, np.array([1.0, 1e6, math.inf])),
    )
    (scale,) = panel_scales([Panel("", (0, 10, 20), lines)], ScaleRule())
    assert scale.high < 2
    assert [exit_.above for exit_ in exits(lines[1], (0, 10, 20), scale)] == [True]
    assert 0 < exits(lines[1], (0, 10, 20), scale)[0].step < 10
    assert exits(lines[0], (0, 10, 20), scale) == []
    (lost,) = panel_scales([_panel(0.5, math.inf, math.inf, calm=False)], ScaleRule())
    assert lost.low < 0.5 < lost.high < 500


def test_values_below_a_logarithmic_scale_leave_the_frame() -> None:
    (scale,) = panel_scales([_panel(1.0, 0.1, 0.0, 0.1)], ScaleRule())
    assert scale.logarithmic
    (exit_,) = exits(_panel(1.0, 0.1, 0.0, 0.1).lines[0], (0, 1, 2, 3), scale)
    assert not exit_.above
    assert 1 < exit_.step < 2
    (shallow,) = panel_scales([_panel(1.0, 1e-3, 1e-9)], ScaleRule(deepest=1e-6))
    assert shallow.low > 1e-7


def test_layers_that_lie_together_are_drawn_together() -> None:
    (scale,) = panel_scales([_panel(1.0, 0.9, 0.1)], ScaleRule(least_decades=2.0))
    assert scale.high / scale.low > 100
    (narrow,) = panel_scales([_panel(1.0, 0.99, 0.5), _panel(1.0, 1e-9)], ScaleRule(least_decades=2.0))[:1]
    assert narrow.high / narrow.low < 0.5**-3.2  # the curve still fills a third


def test_a_scale_is_linear_where_a_logarithm_does_not_help() -> None:
    def scale(*values: float) -> Scale:
        found = scale_of(np.array(values))
        assert found is not None
        return found

    assert not scale(1.0, 2.0, 3.0).logarithmic
    assert not scale(-1.0, 2.0, 300.0).logarithmic
    assert scale(1.0, 300.0).ticks(4) == [1, 10, 100]
    assert scale(0.02, 3.0).ticks(6) == pytest.approx([0.03, 0.1, 0.3, 1, 3])
    assert Scale(0.2, 0.5, True).ticks(4) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert scale(0.25, 0.25).low < 0.25 < scale(0.25, 0.25).high
    assert scale_of(np.array([math.nan, math.inf])) is None


def test_outliers_at_the_worse_end_are_left_out() -> None:
    losses = np.array([0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 1e-9, 2.0, 1e5])
    assert without_outliers(losses, lower_is_better=True).tolist() == [0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 1e-9, 2.0]
    accuracies = np.array([0.0, 0.8, 0.81, 0.82, 0.83, 0.84, 1.0])
    assert without_outliers(accuracies, lower_is_better=False).tolist() == [0.8, 0.81, 0.82, 0.83, 0.84, 1.0]


def test_frames_are_chosen_where_something_happens() -> None:
    rates = tuple(float(10.0**k) for k in range(-6, 4))
    outcomes = ["stalled"] * 3 + ["improving"] * 3 + ["dead"] + ["diverged"] * 3
    table = pd.DataFrame(
        {
            "params.learning_rate": rates, "outcome": outcomes, "outcome_step": 5.0, "run_id": "r",
            "metrics.loss": [0.9, 0.8, 0.7, 0.5, 0.1, 0.3, 0.6, math.nan, math.nan, math.nan],
        }
    )  # fmt: skip
    phase = make_phase_diagram(table, "loss", Axis("learning_rate", rates), NO_AXIS)
    chosen = choose_frames(phase, 4)
    assert [(frame.column, frame.reasons) for frame in chosen] == [
        (0, ("smallest",)), (2, ()), (4, ("best",)), (6, ("before the edge", "most dead")),
    ]  # fmt: skip
    assert describe(chosen, phase) == (
        "4 of 10 values of learning rate are shown: the smallest, the best, the last before most trials are lost, "
        "the one with the most dead trials and some between them."
    )
    assert [frame.column for frame in choose_frames(phase, 10)] == [0, 1, 2, 3, 4, 5, 6]
    assert [frame.column for frame in choose_frames(phase, 2, lost_outcomes=("dead", "diverged"))] == [4, 5]


def test_a_share_that_is_nowhere_has_no_map(recorded: Recorded) -> None:
    table = recorded.result.table
    columns, rows = axis_pairs(swept_axes(table, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(table, "test_loss", columns, rows)
    assert list(phase.shown_shares()) == ["improving", "diverged"]
    assert phase.diverged_cells.tolist() == [[False, True], [False, True]]
    scale = scale_of_median(phase)
    assert scale is not None
    assert scale.high < 10


def test_contents_of_a_sweep(contents: Contents) -> None:
    assert contents.name.startswith("small/")
    assert contents.outcomes["diverged"] == 6
    assert [axis.name for axis in contents.axes] == ["activation", "learning_rate"]
    assert set(contents.curves) == {"test_loss", "loss", "test_accuracy", "grad_norm", "dead_units"}
    assert [panel.title for panel in contents.curves["loss"].panels] == ["learning rate 0.1"]
    assert contents.gradients is not None
    assert [line.label for line in contents.gradients.panels[0].lines] == ["layer 1", "layer 2"]
    assert {surface.title.partition(",")[0] for surface in contents.surfaces} == {"relu", "tanh"}
    assert contents.surfaces[0].values.min() >= 0
    assert contents.surfaces[0].values.max() <= 1
    assert contents.notes == []


def test_pictures_are_png_files_of_every_section(contents: Contents) -> None:
    pictures = make_pictures(contents)
    assert set(pictures) == {"phase.png", "curves.png", "gradients.png", "importance.png", "surfaces.png"}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_a_page_needs_nothing_else_and_escapes_what_is_not_its_own(contents: Contents) -> None:
    page = make_page(contents, "http://user:secret@host:1/RUN/")
    runs = f"http://host:1/RUN/#/experiments/{contents.sweep.experiment_id}/runs"
    best = contents.entries[0].run_id
    assert f'href="{runs}/{best}?workflowType=machine_learning"' in page
    assert "secret" not in page
    own = page.partition("<script>")[0]
    assert "<link" not in own
    assert 'src="' not in own
    assert "{{" not in own
    assert len(page) < 5 * 2**20


@pytest.mark.parametrize(
    "spec",
    [
        {**TINY},  # nothing but seeds
        {"name": "line", "dataset": {"name": "line"}, "steps": 9, "grid": {"learning_rate": [0.1, 0.01]}},
        {"name": "one", "dataset": {"name": "blobs"}, "steps": 3, "record": {"curves": "none", "weights": "none"}},
        {
            "name": "rows", "dataset": {"name": "iris"}, "steps": 3, "record": {"runs": "summary"},
            "grid": {"optimizer": ["sgd", "momentum"], "momentum": [0.5, 0.9], "activation": ["sin", "relu"]},
            "loss": "mean_squared_error",
        },
        {"name": "lost", "dataset": {"name": "line"}, "steps": 9, "grid": {"learning_rate": [1e200, 1e250]}},
    ],
)  # fmt: skip
def test_every_kind_of_sweep_has_a_report(spec: dict[str, Any], uri: str, tmp_path: Path) -> None:
    found = sweep(spec, tracking_uri=uri, inline=True)
    report = found.report()
    assert report.page.startswith("<!doctype html>")
    written = report.write(tmp_path / "seen.html")
    assert [path.name for path in written] == ["seen.html", *(f"seen-{name}" for name in report.pictures)]
    assert "srcdoc" in report._repr_html_()
    if spec["name"] == "one":
        assert "recorded without them" in report.page
    if spec["name"] == "rows":
        assert "learning rate" not in report.page
        assert "momentum × activation" in report.page


def test_the_command_writes_the_page_and_puts_it_on_the_sweeps_run(recorded: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    made = run_for_json("report", "small", "-o", str(path), "--tracking-uri", recorded.uri, "--by", "accuracy")
    assert made["page"] == str(path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert all(Path(file).exists() for file in made["files"])
    run_id = recorded.result.sweep_run_id
    kept = {artifact.path for artifact in recorded.client.list_artifacts(run_id, "report")}
    assert {"report/report.html", "report/phase.png", "report/curves.png"} <= kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "page.txt"], "a report is a page; end its name in .html"),
        (["-o", "nowhere/page.html"], "there is no folder nowhere"),
        (["--by", "los"], "no trial has the metric 'los'; did you mean 'loss'"),
    ],
)
def test_what_can_not_be_reported_is_refused(recorded: Recorded, arguments: list[str], message: str) -> None:
    done = run_command("report", "small", "--tracking-uri", recorded.uri, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_changed_file_of_data_leaves_out_what_was_learned(uri: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{k - 9},{k * k / 7}\n" for k in range(20)), encoding="utf-8")
    spec = {"name": "own", "dataset": {"path": str(tmp_path / "d.csv"), "target": "y"}, "steps": 3}
    found = sweep(spec, tracking_uri=uri, inline=True)
    assert "Learned functions" in found.report().page
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{k - 9},{k * k / 9}\n" for k in range(20)), encoding="utf-8")
    page = load_sweep("own", tracking_uri=uri).report().page
    assert "Learned functions" not in page
    assert "its data changed since it began" in page


@pytest.mark.pages
def test_the_deep_networks_diagram_shows_what_the_literature_says(uri: str) -> None:
    """As docs/phase-diagram.md tells: sigmoid's gradient vanishes with depth, relu dies, past an edge all diverge."""
    found = sweep("deep", tracking_uri=uri, inline=True)
    across, down = axis_pairs(swept_axes(found.trials, ["activation", "learning_rate"]))[0]
    phase = make_phase_diagram(found.trials, "test_loss", across, down)
    rates = np.array(across.values)
    rows = {name: row for row, name in enumerate(down.values)}
    assert (phase.shares["diverged"][:, rates > 2.5] == 1).all()
    assert (phase.shares["diverged"][:, rates < 0.3] == 0).all()
    assert (phase.shares["dead"][rows["relu"], (rates > 0.45) & (rates < 1.1)] >= 0.5).all()
    assert phase.shares["dead"][[rows["gelu"], rows["tanh"]]].max() == 0
    chance = 0.25  # the squared error of predicting the mean of 0 and 1
    assert np.nanmin(phase.median[rows["sigmoid"], rates < 0.3]) > 0.8 * chance
    assert np.nanmin(phase.median[rows["tanh"]]) < 0.05 * chance
    curves = found._store.curves(found.info)
    begun = curves[curves["step"] == 0].set_index("number")
    ratio = (begun["grad_norm.layer1.weight"] / begun["grad_norm.layer5.weight"]).groupby(
        found.trials.set_index("number")["params.activation"]
    )
    medians = ratio.median()
    assert medians["sigmoid"] < 0.01 < 0.3 < medians.drop("sigmoid").min()


def test_a_sweep_without_trials_is_told(recorded: Recorded) -> None:
    store = Store(recorded.uri)
    begun = store.begin("20260101-000000-abcd", "begun", {"name": "begun"}, {"gradgrid.objective": "loss"}, {})
    with pytest.raises(NotFoundError, match="nothing to see"):
        gather(store, begun)
    store.delete(begun)


_ODD_NAMES = ("share $%$", "größe 高さ")


def test_names_of_features_and_classes_are_text_everywhere(tmp_path: Path) -> None:
    """`$` begins a formula in Matplotlib, `$$` in Bokeh, `<` a tag in HTML; and a font may lack a character."""
    rows = [f"{a},{b},{'<b>' if a > b else '>50K $'}" for a in range(8) for b in range(8)]
    (tmp_path / "odd.csv").write_text("\n".join([",".join(_ODD_NAMES) + ",income", *rows]), encoding="utf-8")
    grid = {"activation": ["relu", "tanh"], "learning_rate": [0.01, 0.1]}
    data = {"path": "odd.csv", "target": "income"}
    spec = {"name": "odd", "dataset": data, "model": {"hidden": [2]}, "steps": 5, "grid": grid}
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert run_command("sweep", write_spec(tmp_path, spec), "--inline", "--tracking-uri", uri).exit_code == 0
    page = tmp_path / "odd.html"
    assert run_command("report", "odd", "-o", str(page), "--tracking-uri", uri).exit_code == 0
    assert (tmp_path / "odd-surfaces.png").stat().st_size > 10_000
    text = page.read_text(encoding="utf-8")
    for name in _ODD_NAMES:
        assert '"name":"PlainText","id":' in text
        assert f'"attributes":{{"text":{json.dumps(name)}}}' in text
    store = Store(uri)
    (surface, *_) = gather(store, store.find_sweep("odd")).surfaces
    assert surface.names == _ODD_NAMES
    assert surface.classes == ("<b>", ">50K $")


def test_a_dollar_in_a_picture_is_a_dollar() -> None:
    from matplotlib.cbook import is_math_text

    for text in ("share $%$", "$x$ and $y$", "a $ alone", "none"):
        assert not is_math_text(literal(text))
        assert literal(text).replace(r"\$", "$") == text
