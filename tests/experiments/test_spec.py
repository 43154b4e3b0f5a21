"""Every mistake in a sweep file gets one message: its place, what is wrong, and what would be right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.data.variants import load_datasets
from experiments.errors import SpecError
from experiments.source import override, read_yaml
from experiments.spec import ResolvedSpec, check_spec, load_spec, ready_sweeps
from experiments.trials import make_grid

_FRACTALS = {f"fractal_{name}" for name in ("tanh", "minibatch", "relu", "linear", "point", "offset", "drift", "null")}
_BASE = "name: a\ndataset: {name: moons}\n"


def _check(text: str, *assignments: str) -> ResolvedSpec:
    source = read_yaml(text, "a.yaml", Path())
    return check_spec(override(source, assignments) if assignments else source)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("010", 10), ("+5", 5), ("0o17", 15), ("0x1F", 31), ("1e-3", 0.001), (".5", 0.5), ("-1.", -1.0), ("True", True),
        ("~", None), ("", None), ("1:30", "1:30"), ("no", "no"), ("yes", "yes"), ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"), ("0b1", "0b1"),
    ],
)  # fmt: skip
def test_scalars_mean_what_they_look_like(scalar: str, value: object) -> None:
    """The core schema of YAML 1.2; by YAML 1.1, 010 is eight, 1:30 is ninety and no is false."""
    read = read_yaml(f"key: {scalar}\n", "a.yaml", Path()).data["key"]
    assert read == value
    assert type(read) is type(value)


def _grid(text: str) -> None:
    resolved = _check(text)
    make_grid(resolved, load_datasets(resolved.spec.dataset, Path()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.yaml: the file is empty"),
        ("just words", "a.yaml:1: a sweep file should be a mapping that begins with `name:`, not 'just words'"),
        ("name: [", "a.yaml:1: not valid YAML"),
        ("name: a\nb: c: d", "a.yaml:2: not valid YAML"),
        ("name: \0", "a.yaml: not valid YAML"),
        ("name: a\n---\nname: b", "a.yaml:2: not valid YAML"),
        ("name: !!python/object/apply:os.system [ls]", "a.yaml:1: the tag .*os.system' is refused"),
        ("name: !include b", "a.yaml:1: the tag '!include' is refused"),
        ("a: &x [1]\nb: *x", r"a.yaml:2: the alias \*x is refused"),
        (_BASE + "steps: 3\nsteps: 4", "a.yaml:4: the key 'steps' is repeated"),
        (_BASE + "stepz: 3", "a.yaml:3: unknown key 'stepz'; did you mean 'steps'?"),
        (_BASE + "activation: relu", "a.yaml:3: unknown key 'activation'; it belongs under model:"),
        (_BASE + "model: {steps: 3}", "a.yaml:3: unknown key 'steps'; it belongs at the top of the file"),
        (_BASE + "model:\n  hiden: [3]", "a.yaml:4: unknown key 'hiden'; did you mean 'hidden'?"),
        ("dataset: {name: moons}", "a.yaml:1: name is missing"),
        ("name: a b\ndataset: {name: moons}", "a.yaml:1: name: should have only the letters A to Z and a to z, digits"),
        ("name: a\ndataset: moons", "a.yaml:2: dataset should be a mapping of keys to values, not 'moons'"),
        ("name: a\ndataset: {}", "a.yaml:2: dataset: give either name"),
        ("name: a\ndataset: {path: a.csv}", "a.yaml:2: dataset: a data set with path needs target"),
        ("name: a\ndataset: {name: xor, noise: -1}", "a.yaml:2: dataset.noise should be greater than or equal to 0"),
        (_BASE + "steps: -3", "a.yaml:3: steps should be greater than or equal to 1, not -3"),
        (_BASE + "steps: 2.5", "a.yaml:3: steps should be a whole number, not 2.5"),
        (_BASE + "seed: yes", "a.yaml:3: seed should be a whole number, not 'yes'"),
        (_BASE + "learning_rate: fast", "a.yaml:3: learning_rate should be a number, not 'fast'"),
        (_BASE + "learning_rate: 0", "a.yaml:3: learning_rate should be greater than 0, not 0"),
        (_BASE + "learning_rate: .inf", "a.yaml:3: learning_rate should be a finite number, not inf"),
        (_BASE + "momentum: 1.0", "a.yaml:3: momentum should be less than 1, not 1.0"),
        (_BASE + "model: {hidden: 8}", "a.yaml:3: model.hidden: must be a list of layer widths"),
        (_BASE + "model: {hidden: [8, 0]}", "a.yaml:3: model.hidden: must be a list of layer widths"),
        (_BASE + "model: {activation: rleu}", "a.yaml:3: model.activation: .*'rleu'; did you mean 'relu'?"),
        (_BASE + "optimizer: adm", "a.yaml:3: optimizer: no optimizer is called 'adm'; did you mean 'adam'?"),
        (_BASE + "record: {points: 1}", "a.yaml:3: record.points should be greater than or equal to 2, not 1"),
        (_BASE + "grid: 3", "a.yaml:3: grid should be a mapping of keys to values, or a list of such blocks, not 3"),
        (_BASE + "grid:\n  foo: [1]", "a.yaml:4: no hyperparameter is called 'foo'; known: hidden, activation"),
        (_BASE + "grid:\n  activation: [relu, rleu]", "a.yaml:4: grid.activation: .*'rleu'; did you mean 'relu'?"),
        (
            _BASE + "grid:\n  activation:\n  - relu\n  - rleu",
            "a.yaml:6: grid.activation: no activation is called 'rleu'",
        ),
        (_BASE + "grid:\n  learning_rate: [0.1, fast]", "a.yaml:4: grid.learning_rate should be a number, not 'fast'"),
        (_BASE + "grid:\n  learning_rate: []", "a.yaml:4: grid.learning_rate: has no values"),
        (_BASE + "grid: {seed: {range: 0}}", "a.yaml:3: grid.seed: has no values"),
        (_BASE + "grid: {seed: {range: [5, 1]}}", "a.yaml:3: grid.seed: has no values"),
        (_BASE + "grid: {seed: {range: [1, 5, 0]}}", "a.yaml:3: grid.seed: range has a step of 0"),
        (_BASE + "grid: {seed: {rang: 3}}", "a.yaml:3: grid.seed: rang is not a form of an axis; write a list"),
        (_BASE + "grid: {seed: {range: 3, points: 2}}", "a.yaml:3: grid.seed: range takes no points"),
        (_BASE + "grid: {learning_rate: {logspace: [1, 2]}}", "grid.learning_rate: logspace needs points"),
        (_BASE + "grid: {learning_rate: {logspace: [0, 1], points: 3}}", "logspace needs two numbers above 0"),
        (
            _BASE + "grid: {learning_rate: {linspace: [0.1, x], points: 3}}",
            "linspace should be .first, last., two finite numbers",
        ),
        (_BASE + "grid: {learning_rate: {linspace: [0.1, 1], points: x}}", "points should be the number of values"),
        (_BASE + "grid: {seed: {values: 3}}", "a.yaml:3: grid.seed: values should be a list, not 3"),
        (_BASE + "grid: {learning_rate: [0.1, 0.1]}", "a.yaml:3: grid.learning_rate: 0.1 is listed twice"),
        (_BASE + "seed: 3\ngrid: {seed: [1, 2]}", "a.yaml:4: seed is in the grid and outside it"),
    ],
)
def test_message(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _check(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            _BASE + "grid: {activation: [relu, tanh]}",
            "a.yaml:3: grid.activation: no trial of this sweep uses activation",
        ),
        (_BASE + "model: {activation: relu}", "a.yaml:3: model.activation: no trial of this sweep uses activation"),
        (
            _BASE + "momentum: 0.9",
            "a.yaml:3: momentum: no trial .* it belongs to optimizer momentum and nesterov and",
        ),
        (_BASE + "model: {output: tanh}", "a.yaml:3: model.output: cross_entropy takes logits"),
        (_BASE + "model: {hidden: [2000, 2000]}", "a.yaml:3: model.hidden: 2-2000-2000-1 has 4,010,001 weights"),
        (
            "name: a\ndataset: {name: sine}\nloss: hinge",
            "a.yaml:3: loss: hinge needs classes, but sine has a regression",
        ),
        (
            _BASE + "model: {hidden: [30, 30]}\nrecord: {gradients: each}",
            "a.yaml:4: record.gradients: 1,051 weights are too many",
        ),
    ],
)
def test_message_about_parts_that_do_not_go_together(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _grid(text)


@pytest.mark.parametrize("count", [10**9, 10**30])
def test_a_huge_grid_is_refused_with_its_size_before_it_is_made(count: int) -> None:
    with pytest.raises(
        SpecError, match=f"the grid has {2 * count:,} trials .*of 4.3 GB at most, which are 67,108,864 trials: sho"
    ):
        _check(_BASE + f"grid:\n  optimizer: [sgd, adam]\n  seed: {{range: {count}}}")


def test_several_mistakes_are_reported_at_once_but_not_all_of_many() -> None:
    with pytest.raises(SpecError) as caught:
        _check(_BASE + "\n".join(f"k{n}: 1" for n in range(9)))
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "and 4 more"


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("[0.1, 1e-3]", [0.1, 0.001]),
        ("{values: [2, 3]}", [2.0, 3.0]),
        ("{linspace: [0.1, 0.3], points: 3}", [0.1, 0.2, 0.3]),
        ("{logspace: [0.001, 1], points: 4}", [0.001, 0.01, 0.1, 1.0]),
        ("0.5", [0.5]),
    ],
)
def test_axis_forms_of_numbers(axis: str, values: list[float]) -> None:
    assert _check(_BASE + f"grid: {{learning_rate: {axis}}}").axes == {"learning_rate": values}


@pytest.mark.parametrize(
    ("axis", "values"), [("{range: 3}", [0, 1, 2]), ("{range: [2, 4]}", [2, 3]), ("{range: [9, 0, -4]}", [9, 5, 1])]
)
def test_axis_forms_of_whole_numbers(axis: str, values: list[int]) -> None:
    assert list(_check(_BASE + f"grid: {{seed: {axis}}}").axes["seed"]) == values


def test_layers_can_be_swept() -> None:
    assert _check(_BASE + "grid: {hidden: [[], [4], [8, 8]]}").axes == {"hidden": [(), (4,), (8, 8)]}


def test_overrides_set_add_and_change_the_form_of_an_axis() -> None:
    text = _BASE + "grid:\n  seed: [1, 2]\n  learning_rate: {linspace: [0.1, 0.2], points: 2}"
    resolved = _check(text, "grid.seed.range=3", "grid.learning_rate.logspace=[0.1, 10]", "model.hidden=[4]", "steps=7")
    assert resolved.axes == {"seed": range(3), "learning_rate": [0.1, 10.0]}
    assert resolved.fixed == {"hidden": (4,), "steps": 7}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps=-1", "^--set steps=-1: steps should be greater than or equal to 1"),
        ("grid.sed.range=2", "^--set grid.sed.range=2: no hyperparameter is called 'sed'; did you mean 'seed'"),
        ("grid.seed.range=x", "^--set grid.seed.range=x: grid.seed: range should be a count"),
        ("steps", "^--set steps: write it as key=value"),
        ("=3", "^--set =3: write it as key=value"),
        ("steps=[", r"^--set steps=\[:1: not valid YAML"),
    ],
)
def test_a_wrong_override_is_named(assignment: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _check(_BASE, assignment)


def test_a_spec_is_a_file_a_ready_sweeps_name_or_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(_BASE, encoding="utf-8")
    assert load_spec(file).source.folder == tmp_path
    assert load_spec("moons").spec.name == "moons"
    assert load_spec({"name": "a", "dataset": {"name": "xor"}}).spec.dataset.name == "xor"
    with pytest.raises(SpecError, match=r"moonz: neither a file nor a ready sweep .* did you mean 'moons'"):
        load_spec("moonz")
    with pytest.raises(SpecError, match="can't be read"):
        load_spec(tmp_path)


def test_the_ready_sweeps_are_whole_and_the_demo_is_large_enough() -> None:
    assert set(ready_sweeps()) == {"notebook", "xor", "moons", "sine", "breast_cancer", "deep", "digits", *_FRACTALS}
    for name in ready_sweeps():
        resolved = load_spec(name)
        assert resolved.spec.name == name
        assert make_grid(resolved, load_datasets(resolved.spec.dataset, Path())).trials
    axes = load_spec("breast_cancer").axes
    assert len(axes["activation"]) >= 6
    assert len(axes["learning_rate"]) >= 8
    assert len(axes["seed"]) >= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": np.int64(20)}, r"steps should be a whole number, not .*with its \.tolist\(\)"),
        (
            {"grid": {"learning_rate": np.array([0.1, 0.2])}},
            r"learning_rate should be a number, .*with its \.tolist\(\)",
        ),
    ],
)
def test_numbers_of_numpy_are_refused_with_the_way_out(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec({"name": "own", "dataset": {"name": "moons"}, **change})
