"""A report: its contents, its page and files, and names that it shows as text."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.errors import NotFoundError
from service import load_sweep, sweep
from service.recording.store import Store
from service.report.contents import Contents, gather
from service.report.page import make_page
from service.report.picture_text import literal
from service.results.colours import FIRST_CLASS, SECOND_CLASS
from tests.pictures import is_colour, read_png
from tests.service.conftest import TINY, Recorded, run_command, run_for_json, write_spec


@pytest.fixture(scope="module")
def contents(recorded: Recorded) -> Contents:
    store = Store(recorded.uri)
    return gather(store, store.find_sweep("small"))


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
    (note,) = contents.notes
    assert "chosen on the test part" in note


def test_a_page_needs_no_other_file_and_escapes_foreign_text(contents: Contents) -> None:
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
def test_wrong_arguments_of_report_are_refused(recorded: Recorded, arguments: list[str], message: str) -> None:
    done = run_command("report", "small", "--tracking-uri", recorded.uri, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_learned_functions_are_left_out_if_the_data_file_has_changed(uri: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{k - 9},{k * k / 7}\n" for k in range(20)), encoding="utf-8")
    spec = {"name": "own", "dataset": {"path": str(tmp_path / "d.csv"), "target": "y"}, "steps": 3}
    found = sweep(spec, tracking_uri=uri, inline=True)
    assert "Learned functions" in found.report().page
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{k - 9},{k * k / 9}\n" for k in range(20)), encoding="utf-8")
    page = load_sweep("own", tracking_uri=uri).report().page
    assert "Learned functions" not in page
    assert "its data changed since it began" in page


def test_a_sweep_without_trials_is_reported(recorded: Recorded) -> None:
    store = Store(recorded.uri)
    begun = store.begin("20260101-000000-abcd", "begun", {"name": "begun"}, {"gradgrid.objective": "loss"}, {})
    with pytest.raises(NotFoundError, match="nothing to show"):
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
    pixels = read_png(tmp_path / "odd-surfaces.png")
    assert all(is_colour(pixels, colour).sum() > 300 for colour in (FIRST_CLASS, SECOND_CLASS))
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
