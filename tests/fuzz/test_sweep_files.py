"""Sweep files, mutated: each is refused with a message, or trains what it says. `make fuzz`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event
from hypothesis import strategies as st

from engine import Score
from experiments.architecture import Architecture
from experiments.errors import UserError
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.scores import OutcomeRule
from experiments.sections import TopRuns
from experiments.spec import load_spec, ready_sweeps
from service.execution.plan import Plan, make_plan
from service.recording.store import Store
from service.run import run_sweep
from tests.fuzz.mutations import mutated_text, mutated_tree
from tests.fuzz.reading import blocks, meets, points, read, same
from tests.fuzz.rounds import rounds
from tests.service.conftest import run_command

pytestmark = pytest.mark.fuzz

_BLOCKS = """\
name: blocks
dataset: {name: xor}
model: {hidden: [3]}
steps: 20
clip_norm: 1.0
grid:
- optimizer: [sgd, momentum]
  learning_rate: {logspace: [0.01, 1.0], points: 5, with: [0.05]}
  batch_size: [2, null]
  seed: {range: 3}
  only: [optimizer=sgd or learning_rate<0.5, seed!=1]
- zip:
    optimizer: [adam, rmsprop, sgd]
    learning_rate: [0.001, 0.01, 0.01]
  clip_norm: [null, 0.5, 1.0]
  seed: {range: [2, 6]}
"""
_SEARCH = """\
name: search
dataset: {name: xor}
model: {hidden: [3]}
steps: 20
search: {method: sobol, trials: 20, seed: 3}
grid:
  learning_rate: {loguniform: [0.001, 10]}
  init_scale: {uniform: [0.5, 2]}
  optimizer: [sgd, momentum]
  momentum: [null, 0.5]
  batch_size: {uniform: [1, 3]}
  seed: {range: 2}
"""
_HALVING = """\
name: halving
dataset: {name: xor}
steps: 30
search: {method: hyperband, trials: 12, first: 4, factor: 2, metric: accuracy, seed: 1}
grid:
  learning_rate: {loguniform: [0.001, 10]}
  optimizer: [sgd, adam]
  seed: {range: 2}
"""
_EARLY = """\
name: early
dataset: {name: moons, samples: 20, validation_fraction: 0.25}
steps: 40
early_stopping: {patience: 6, every: 2, metric: validation_loss, min_delta: 0.001}
grid:
  learning_rate: [0.01, 1]
record:
  points: 5
  scores: {fit: {sum: loss_ratio}, end: {mean: loss, last: 3}, low: {first: loss<0.2}}
  outcomes: {stalled: fit>5}
"""
_ASKING = """\
name: asking
dataset: {name: xor}
model: {hidden: [3]}
steps: 20
search: {method: tpe, trials: 12, batch: 5, seed: 3}
grid:
  learning_rate: {loguniform: [0.001, 10]}
  optimizer: [sgd, momentum]
  momentum: [0.1, 0.5, 0.7]
  seed: {range: 2}
"""
_USUAL = {"bias", "gain", "batch_sampling"}
"""An identity leaves these out where they are the default."""
_BASES = {
    "blocks": _BLOCKS,
    "search": _SEARCH,
    "halving": _HALVING,
    "early": _EARLY,
    "asking": _ASKING,
    **{name: path.read_text(encoding="utf-8") for name, path in ready_sweeps().items()},
}
_CHEAP_SECONDS, _CHEAP_TRIALS, _CHEAP_STEPS = 0.5, 80, 2_000
_LARGEST_DATA = 5_000


@pytest.fixture(scope="module", autouse=True)
def _traced_once() -> Iterator[None]:
    """Trace each model once for data of one shape, because tracing takes most of a plan's time."""
    programs: dict[Any, Any] = {}
    trace = Architecture.trace

    def cached(self: Architecture, dataset: Any) -> Any:
        key = (self, dataset.feature_count, dataset.output_count, dataset.task)
        if key not in programs:
            programs[key] = trace(self, dataset)
        return programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Architecture, "trace", cached)
        yield


@pytest.mark.parametrize("kind", ["tree", "text"])
def test_a_sweep_file_is_refused_or_means_what_it_says(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mutated.yaml"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    seen = {"accepted": 0, "refused": 0}

    def check(data: st.DataObject) -> None:
        base = data.draw(st.sampled_from(sorted(_BASES)), label="base")
        mutated = (
            mutated_tree(data.draw, read(_BASES[base])) if kind == "tree" else mutated_text(data.draw, _BASES[base])
        )
        file.write_text(mutated, encoding="utf-8", newline="")
        turn = data.draw(st.integers(0, 40))
        try:
            plan = make_plan(load_spec(file))
        except UserError as error:
            seen["refused"] += 1
            _check_message(str(error))
            if turn == 0:
                _check_command(file, tmp_path)
            return
        seen["accepted"] += 1
        event("accepted")
        _check_meaning(read(mutated), plan)
        if turn == 0 and _is_cheap(plan):
            _check_run(plan, uri)

    rounds(check)
    print(seen)
    assert seen["accepted"] > 0
    assert seen["refused"] > 0


def _check_message(message: str) -> None:
    assert re.match(r"mutated\.yaml(:\d+)?: ", message), message
    assert len(message) < 4_000
    assert not re.search(r"Traceback|object at 0x|<class|Error\(", message), message


def _check_command(file: Path, folder: Path) -> None:
    """Check that the command refuses it too, and makes no store."""
    store = folder / "untouched.db"
    result = run_command("sweep", str(file), "--inline", "--tracking-uri", f"sqlite:///{store}")
    assert result.exit_code == 2, result.output
    assert not store.exists()


def _check_meaning(file: Any, plan: Plan) -> None:
    """Check that every key of the file has its effect, and nothing else is trained."""
    spec, grid = plan.resolved.spec, blocks(file.get("grid"))
    raw = file["grid"] if isinstance(file.get("grid"), list) else [file.get("grid") or {}]
    swept = {name for axes in grid for name in axes}
    given = {**file, **(file.get("model") or {})}
    fixed = {name: given[name] for name in HYPERPARAMETERS if given.get(name) is not None}
    used: set[str] = set()
    for population in plan.populations:
        for trial in {0, population.trials // 2, population.trials - 1}:
            configuration, params = population.configuration(trial), population.params(trial)
            used.update(configuration, params)
            assert any(
                _is_point({**params, **configuration}, axes, fixed) and meets(block.get("only"), params)
                for block, axes in zip(raw, grid, strict=True)
            ), configuration
    assert {*fixed, *swept} - used <= {"activation"} | _only_null(grid) | _USUAL or "output" in used
    search = file.get("search") or {}
    draws = search.get("trials") is not None
    assert 1 <= plan.trials <= points(file.get("grid"), search.get("trials") if draws else None)
    is_product = not draws and len(raw) == 1 and not {"only", "zip"} & raw[0].keys() and not _has_null(grid[0])
    if is_product and all(swept - _USUAL <= set(p.configuration(0)) for p in plan.populations):
        assert plan.trials == points(file.get("grid"))
    assert (spec.name, spec.description) == (file["name"], file.get("description"))
    _check_data(file["dataset"], plan)
    for name, value in (file.get("record") or {}).items():
        assert _is_kept(getattr(spec.record, name), value), name
    for section in ("search", "early_stopping"):
        for name, value in (file.get(section) or {}).items():
            assert same(getattr(getattr(spec, section), name), value), (section, name)


def _is_kept(kept: Any, value: Any) -> bool:
    """Return whether a key of `record` has the value of the file."""
    if isinstance(kept, TopRuns):
        return same({"top": kept.top}, value)
    if isinstance(kept, tuple) and isinstance(value, dict):
        names = [part.name if isinstance(part, Score) else part.outcome for part in kept]
        return names == list(value) and all(_is_part(part, value[name]) for name, part in zip(names, kept, strict=True))
    return same(kept, value)


def _is_part(part: Score | OutcomeRule, value: Any) -> bool:
    """Return whether a score, or the rule of an outcome, is that of the file."""
    if isinstance(part, Score):
        return _is_score(part, value)
    return [condition.text for condition in part.conditions] == (value if isinstance(value, list) else [value])


def _is_score(score: Score, value: dict[str, Any]) -> bool:
    if score.condition is not None:
        quantity, sign, bound = re.fullmatch(r"\s*(\w+)\s*([<>]=?)\s*(\S+)\s*", value["first"]).groups()  # type: ignore[union-attr]
        return (quantity, sign, float(bound)) == (score.quantity, *score.condition)
    return value[score.kind] == score.quantity and same([score.last, score.cap], [value.get("last"), value.get("cap")])


def _is_point(configuration: dict[str, Any], axes: dict[str, Any], fixed: dict[str, Any]) -> bool:
    """Return whether a trial may come from a block. null stands for a default or for no hyperparameter."""
    for name in {*fixed, *axes}:
        allowed = axes.get(name, [fixed.get(name)])
        value = configuration.get(name)
        is_allowed = None in allowed or value in allowed or any(same(value, other) for other in allowed)
        if name in configuration and not is_allowed:
            return False
    return True


def _has_null(axes: dict[str, Any]) -> bool:
    return any(None in values for values in axes.values())


def _only_null(grid: list[dict[str, Any]]) -> set[str]:
    return {name for axes in grid for name, values in axes.items() if all(value is None for value in values)}


def _check_data(asked: Any, plan: Plan) -> None:
    for name, value in asked.items():
        if value is not None:
            assert same(getattr(plan.resolved.spec.dataset, name), value), name
    data = plan.dataset
    training, test = len(data.training_targets), len(data.test_targets)
    assert data.name == asked["name"]
    if asked.get("samples") is not None:
        assert training + test + len(data.validation_targets) == asked["samples"]
    if asked.get("test_fraction") is not None:
        assert abs(test - asked["test_fraction"] * (training + test + len(data.validation_targets))) <= 1
    if asked.get("features") is not None:
        assert list(data.feature_names) == asked["features"]
    if asked.get("classes") is not None:
        assert list(data.classes) == asked["classes"]


def _is_cheap(plan: Plan) -> bool:
    steps = max(population.architecture.config.steps for population in plan.populations)
    small = len(plan.dataset.training_targets) <= _LARGEST_DATA
    return plan.seconds < _CHEAP_SECONDS and plan.trials <= _CHEAP_TRIALS and steps <= _CHEAP_STEPS and small


def _check_run(plan: Plan, uri: str) -> None:
    """Check that it runs to its end, with each trial once."""
    event("run")
    result = run_sweep(plan.resolved, tracking_uri=uri, inline=True)
    assert result.trials == plan.trials == result.table["trial"].nunique()
    assert Store(uri).find_sweep(result.sweep).status == "FINISHED"
