"""Docs that work as printed: commands are documented and run, Python blocks run, links lead somewhere."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from experiments.hyperparameters import HYPERPARAMETERS
from experiments.source import SpecSource
from experiments.spec import check_spec, ready_sweeps
from service.cli import main
from tests.pictures import is_colourful, read_png

_ROOT = Path(__file__).parent.parent
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
_TEXT = {page.name: page.read_text(encoding="utf-8") for page in _PAGES}
_OF_MLFLOW = ("-W", "ignore:The ``noload`` loader strategy is deprecated")
_ELSEWHERE = (  # other tests run these: they serve until they are stopped, or need a cluster
    "gradgrid dashboard",
    "gradgrid submit",
    "gradgrid status",
    "gradgrid logs",
    "gradgrid cancel",
)
_NO_COMMANDS = ("cluster.md", "reference.md")
_SLOW = ("phase-diagram.md", "own-data.md", "own-parts.md", "models.md", "resuming.md", "command.md")
_NAMED = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def _commands(name: str) -> list[str]:
    """Return the commands that a page prints: of gradgrid, and of Python with a file that the page shows."""
    printed = re.findall(r"^    ((?:gradgrid|python) .*)$", _TEXT[name], flags=re.MULTILINE)
    files = [file for file, _ in _NAMED.findall(_TEXT[name])]
    return [command for command in printed if command.startswith("gradgrid") or command.split()[1] in files]


def _paged(names: Iterable[str], slow: Collection[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.pages) if name in slow else name for name in names]


def _blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _TEXT[name], flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "name", _paged([name for name in _TEXT if _commands(name) and name not in _NO_COMMANDS], {*_TEXT} - {"README.md"})
)
def test_the_pages_commands_run_in_the_order_they_are_printed(name: str) -> None:
    """They run in a folder with the files that the page shows, and make the pictures that it shows."""
    Path("own.yaml").write_text(_blocks("README.md", "yaml")[0], encoding="utf-8")
    for file, content in _NAMED.findall(_TEXT[name]):
        Path(file).write_text(content, encoding="utf-8")
    for command in _commands(name):
        if command.startswith("python "):
            subprocess.run(f"{sys.executable} {command.removeprefix('python ')}", shell=True, check=True)
        elif not command.startswith(_ELSEWHERE):
            done = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
            assert done.exit_code == 0, f"{command}\n{done.output}"
    if name not in ("README.md", "fractal.md"):  # pictures of another page, and of sweeps that take minutes
        for picture in re.findall(r"\]\(images/([\w-]+\.png)\)", _TEXT[name]):
            pixels = read_png(Path(picture))
            assert len(np.unique(pixels[is_colourful(pixels)], axis=0)) > 10, picture


def test_the_counts_on_the_page_are_those_of_the_dry_runs() -> None:
    text = _TEXT["sweep-file.md"]
    printed = ""
    for file, content in _NAMED.findall(text):
        Path(file).write_text(content, encoding="utf-8")
        printed += CliRunner().invoke(main, ["sweep", file, "--dry-run"], catch_exceptions=False).stdout
    counts = re.findall(r"`(\d[\d,]* (?:trials|points)[^`]*)`", text)
    assert len(counts) >= 5
    for count in counts:
        assert " ".join(count.split()) in printed, count


def test_every_picture_is_shown_and_made_by_a_command_of_its_page() -> None:
    shown = {name: re.findall(r"images/([\w-]+)\.png", text) for name, text in _TEXT.items()}
    assert {f"{picture}.png" for pictures in shown.values() for picture in pictures} == {
        path.name for path in (_ROOT / "docs" / "images").glob("*.png")
    }
    for name in ("phase-diagram.md", "tutorial.md"):
        for picture in shown[name]:
            page = picture.rpartition("-")[0]
            assert f"-o {page}.html" in _TEXT[name]


def test_the_reference_is_that_of_the_schema_and_the_command() -> None:
    assert _TEXT["reference.md"] == _module("make_reference").reference(), "run `make docs`"


@pytest.mark.pages
def test_the_notebook_runs_and_shows_what_it_shows() -> None:
    kept = json.loads((_ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    for before, now in zip(kept, _module("run_notebook").executed()["cells"], strict=True):
        if before["cell_type"] == "code":
            assert _output(now) == _output(before), before["source"]


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, _ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _output(cell: Any) -> str:
    """Return the text that a cell printed and returned, without names of sweeps."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return re.sub(r"\d{8}-\d{6}-\w{4}", "SWEEP", "".join("".join(text) for text in texts))


def _snippets(name: str) -> list[str]:
    """Return the blocks of Python on a page that are not files."""
    files = [content for _, content in _NAMED.findall(_TEXT[name])]
    return [block for block in _blocks(name, "python") if block not in files]


@pytest.mark.parametrize("name", _paged([name for name in _TEXT if _snippets(name)], {*_SLOW, "README.md"}))
def test_the_pages_python_runs(name: str, tmp_path: Path) -> None:
    for block in _snippets(name):
        done = subprocess.run(
            [sys.executable, "-W", "error", *_OF_MLFLOW, "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_readmes_sweep_is_the_ready_one() -> None:
    (block,) = _blocks("README.md", "yaml")
    assert yaml.safe_load(block) == yaml.safe_load(ready_sweeps()["moons"].read_text(encoding="utf-8"))
    check_spec(SpecSource(yaml.safe_load(block), "README"))


def _sections_on(command: str) -> str:
    """Return a command's section of command.md, and what holds for every command.

    resume and extend have the options of sweep too.
    """
    parts = re.split(r"^## ", _TEXT["command.md"], flags=re.MULTILINE)
    subjects = {command, "sweep"} if command in ("resume", "extend") else {command}
    headings = {part: part.partition("\n")[0] for part in parts}
    return "\n".join(
        part
        for part, heading in headings.items()
        if not heading.startswith("gradgrid ") or subjects & set(re.findall(r"\w+", heading))
    )


def test_every_command_and_option_is_documented() -> None:
    for name, command in main.commands.items():
        text = _sections_on(name)
        assert re.search(rf"^    (\$ )?gradgrid {name}\b", text, flags=re.MULTILINE), name
        for option in (o for p in command.params for o in p.opts if o.startswith("--")):
            assert re.search(rf"{option}(?![\w-])", text), f"{name} {option}"
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_every_hyperparameter_and_ready_sweep_is_documented() -> None:
    for name in [*HYPERPARAMETERS, *ready_sweeps()]:
        assert f"`{name}`" in _TEXT["sweep-file.md"], name


def test_the_pictured_graph_is_the_one_that_the_page_draws(tmp_path: Path) -> None:
    (block,) = [block for block in _blocks("engine.md", "python") if "to_svg" in block]
    subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, check=True)
    pictured = (_ROOT / "docs" / "images" / "graph.svg").read_text(encoding="utf-8")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == pictured


@pytest.mark.parametrize("name", sorted(_TEXT))
def test_links_within_the_repository_lead_somewhere(name: str) -> None:
    folder = _ROOT if name == "README.md" else _ROOT / "docs"
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", _TEXT[name]):
        file, _, anchor = target.partition("#")
        page = folder / file if file else folder / name
        assert page.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, target


def test_the_makefiles_targets_that_the_docs_name_exist() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    for text in [*_TEXT.values(), (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]:
        for target in re.findall(r"(?:^    |`)make ([\w-]+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    assert os.access(_ROOT / ".ci" / "run", os.X_OK)
