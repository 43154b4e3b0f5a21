"""Imports go in one direction: engine <- experiments <- service. Ray and MLflow are each imported in one place."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_FORBIDDEN = {"engine": {"experiments", "service"}, "experiments": {"service"}, "service": set[str]()}


_ROOMS = ("results", "recording", "execution", "inspection", "report", "run", "compared", "api", "cli")
"""The rooms of service/, the lowest first: a module imports from its own room and from those before it."""

_DOORS = ("run", "compared", "api")
"""The modules of service/ outside its folders."""


def _modules(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def _imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("package", sorted(_FORBIDDEN))
def test_nothing_imports_against_the_direction(root: Path, package: str) -> None:
    modules = _modules(root / package)
    assert len(modules) > 3
    for module in modules:
        assert not set(_imported(module)) & _FORBIDDEN[package], module


def _rooms_imported(module: Path) -> Iterator[str]:
    """Yield the rooms of service/ that a module imports from, at its top or inside a function."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("service."))


def test_the_rooms_of_service_import_in_one_direction(root: Path) -> None:
    modules = [module for module in _modules(root / "service") if module.parent != root / "service"]
    doors = [root / "service" / f"{name}.py" for name in _DOORS]
    assert {module.parent.name for module in modules} | set(_DOORS) == set(_ROOMS)
    for module in [*modules, *doors]:
        room = module.stem if module in doors else module.parent.name
        allowed = set(_ROOMS[: _ROOMS.index(room) + 1])
        assert set(_rooms_imported(module)) <= allowed, module.relative_to(root)


def test_service_has_only_its_doors_outside_its_rooms(root: Path) -> None:
    assert {path.name for path in (root / "service").glob("*.py")} == {
        "__init__.py",
        *(f"{name}.py" for name in _DOORS),
    }


@pytest.mark.parametrize(
    ("library", "home"),
    [("ray", "service/execution/cluster.py"), ("mlflow", "service/recording"), ("alembic", "service/recording")],
)
def test_ray_and_mlflow_are_each_imported_in_one_place(root: Path, library: str, home: str) -> None:
    users = [
        str(module.relative_to(root))
        for package in _FORBIDDEN
        for module in _modules(root / package)
        if library in _imported(module)
    ]
    assert users
    assert all(user.startswith(home) for user in users)


def test_the_engine_needs_only_numpy_and_llvmlite(root: Path) -> None:
    """SciPy is imported only where the error function is computed of plain numbers."""
    standard = set(sys.stdlib_module_names)
    outside = {name for module in _modules(root / "engine") for name in _imported(module)} - standard - {"engine"}
    assert outside == {"llvmlite", "numpy", "scipy"}


@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom service.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    heavy = {"ray", "mlflow", "llvmlite", "numpy", "pandas", "pydantic", "rich", "sklearn", "matplotlib", "yaml"}
    assert not loaded & heavy
    assert "Usage: " in done.stdout
