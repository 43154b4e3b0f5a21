"""Docs that work as printed: commands are documented and run, Python blocks run, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from experiments.hyperparameters import HYPERPARAMETERS
from experiments.source import Source
from experiments.spec import check_spec, ready_sweeps
from service.cli import main

_ROOT = Path(__file__).parent.parent
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
_TEXT = {page.name: page.read_text(encoding="utf-8") for page in _PAGES}
_OF_MLFLOW = ("-W", "ignore:The ``noload`` loader strategy is deprecated")
_ELSEWHERE = (  # tests of their own run these: they serve until stopped, or need a cluster
    "gradgrid dashboard",
    "gradgrid submit",
    "gradgrid status",
    "gradgrid logs",
    "gradgrid cancel",
)


def _commands(name: str) -> list[str]:
    return re.findall(r"^    (gradgrid .*)$", _TEXT[name], flags=re.MULTILINE)


def _blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _TEXT[name], flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [name for name in _TEXT if _commands(name) and name != "cluster.md"])
def test_the_pages_commands_run_in_the_order_they_are_printed(name: str) -> None:
    Path("own.yaml").write_text(_blocks("README.md", "yaml")[0], encoding="utf-8")
    for command in _commands(name):
        if command.startswith(_ELSEWHERE):
            continue
        done = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{command}\n{done.output}"


@pytest.mark.parametrize("name", [name for name in _TEXT if _blocks(name, "python")])
def test_the_pages_python_runs(name: str, tmp_path: Path) -> None:
    for block in _blocks(name, "python"):
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
    check_spec(Source(yaml.safe_load(block), "README"))


def test_every_command_and_option_is_documented() -> None:
    for name, command in main.commands.items():
        assert re.search(rf"^    (\$ )?gradgrid {name}\b", _TEXT["command.md"], flags=re.MULTILINE), name
        for option in (o for p in command.params for o in p.opts if o.startswith("--")):
            assert option in _TEXT["command.md"], f"{name} {option}"
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
        for target in re.findall(r"(?:^    |`)make (\w+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    assert os.access(_ROOT / ".ci" / "run", os.X_OK)
