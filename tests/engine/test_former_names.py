"""Former names of modules and functions still work, with a warning."""

import importlib
import sys

import pytest

import engine


def test_the_former_module_of_networks_still_works_with_a_warning() -> None:
    sys.modules.pop("engine.neuron", None)
    with pytest.warns(DeprecationWarning, match="engine.neuron has moved"):
        module = importlib.import_module("engine.neuron")
    assert module.MLP is engine.MLP


@pytest.mark.parametrize(("former", "name"), [("OPTIONS", "UPDATE_OPTIONS"), ("compiled_for", "target_description")])
def test_former_names_still_work_with_a_warning(former: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"engine.{former} is called engine.{name} now"):
        assert getattr(engine, former) is getattr(engine, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(engine, "nothing")  # noqa: B009
