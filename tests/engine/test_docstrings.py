"""Every example in the engine's docstrings runs and prints what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import engine

_FORMER = {"engine.neuron"}
_MODULES = sorted({module.name for module in pkgutil.walk_packages(engine.__path__, "engine.")} - _FORMER)
_WITHOUT_EXAMPLE = {"engine.kernels.codegen.train_loop", "engine.kernels.compiled"}
"""Modules of the compiler whose example is that of `pipeline`."""


@pytest.mark.parametrize("name", _MODULES)
def test_examples_print_what_they_show(name: str) -> None:
    """Every module of the kernels has an example."""
    module = importlib.import_module(name)
    failed, examples = doctest.testmod(module)
    assert not failed
    needs_one = name.startswith("engine.kernels.") and not hasattr(module, "__path__") and name not in _WITHOUT_EXAMPLE
    assert examples or not needs_one
