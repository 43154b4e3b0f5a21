"""The page on the architecture names objects and files that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_PAGE = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| (?P<names>`\w+`(?:, `\w+`)*) \| (?P<file>[\w/\\]+\.py) \|", flags=re.MULTILINE)


def test_each_object_of_the_page_is_defined_in_the_file_that_the_page_names() -> None:
    rows = list(_ROW.finditer(_PAGE))
    assert len(rows) == len(re.findall(r"^\| `\w+`.* \| \S+\.py \| ", _PAGE, flags=re.MULTILINE)) > 20
    for row in rows:
        text = (_ROOT / row["file"].replace("\\", "")).read_text(encoding="utf-8")
        for name in re.findall(r"\w+", row["names"]):
            assert re.search(rf"^class {name}\b", text, flags=re.MULTILINE), f"{name} is not in {row['file']}"


def test_each_path_of_the_page_exists() -> None:
    for path in re.findall(r"\b(?:engine|experiments|service|docs)/[\w/]*\w\.(?:py|md)", _PAGE):
        assert (_ROOT / path).exists(), path
    for room in re.findall(r"^\| `(\w+)/` \|", _PAGE, flags=re.MULTILINE):
        assert (_ROOT / "service" / room).is_dir(), room


def test_every_package_is_installed(root: Path) -> None:
    """An installation that is not editable has only the packages that pyproject.toml names."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        file.parent for top in ("engine", "experiments", "service") for file in (root / top).rglob("__init__.py")
    }
    packages = {".".join(folder.relative_to(root).parts) for folder in folders}
    assert set(settings["tool"]["setuptools"]["packages"]) == packages
