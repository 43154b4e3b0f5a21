"""Sweep files, mutated: each is refused with a message, or trains what it says. `make fuzz`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event
from hypothesis import strategies as st

from experiments.errors import UserError
from experiments.grid import Architecture
from experiments.hyperparameters import HYPERPARAMETERS
from experiments.spec import TopRuns, load_spec, ready_sweeps
from service.execution.plan import Plan, make_plan
from service.recording.store import Store
from service.run import run_sweep
from tests.fuzz.mutations import mutated_text, mutated_tree
from tests.fuzz.reading import axis_values, read, same
from tests.fuzz.rounds import rounds
from tests.service.conftest import run_command

pytestmark = pytest.mark.fuzz

_BASES = {name: path.read_text(encoding="utf-8") for name, path in ready_sweeps().items()}
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
    spec = plan.resolved.spec
    grid = {name: axis_values(raw) for name, raw in (file.get("grid") or {}).items()}
    given = {**file, **(file.get("model") or {})}
    fixed = {name: given[name] for name in HYPERPARAMETERS if given.get(name) is not None}
    used: set[str] = set()
    for population in plan.populations:
        for trial in {0, population.trials // 2, population.trials - 1}:
            configuration = population.configuration(trial)
            used.update(configuration)
            for name in {*fixed, *grid} & set(configuration):
                allowed = grid.get(name, [fixed.get(name)])
                assert any(same(configuration[name], value) for value in allowed), (name, configuration[name])
    # an identity leaves these out where they are the default
    usual = {
        name
        for name in ("bias", "gain", "batch_sampling")
        if HYPERPARAMETERS[name].default in grid.get(name, [fixed.get(name)])
    }
    assert {*fixed, *grid} - used <= {"activation", *usual} or "output" in used
    assert 1 <= plan.trials <= math.prod(map(len, grid.values()))
    if all(set(grid) - usual <= set(p.configuration(0)) for p in plan.populations):
        assert plan.trials == math.prod(map(len, grid.values()))
    assert (spec.name, spec.description) == (file["name"], file.get("description"))
    _check_data(file["dataset"], plan)
    for name, value in (file.get("record") or {}).items():
        kept = getattr(spec.record, name)
        assert same({"top": kept.top} if isinstance(kept, TopRuns) else kept, value)


def _check_data(asked: Any, plan: Plan) -> None:
    for name, value in asked.items():
        if value is not None:
            assert same(getattr(plan.resolved.spec.dataset, name), value), name
    data = plan.dataset
    training, test = len(data.training_targets), len(data.test_targets)
    assert data.name == asked["name"]
    if asked.get("samples") is not None:
        assert training + test == asked["samples"]
    if asked.get("test_fraction") is not None:
        assert abs(test - asked["test_fraction"] * (training + test)) <= 1
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
