# Everything sets itself up: python3 with venv, make and git are all it takes.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo dashboard test slow pages kill test-cluster check bench speed format docs clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-13s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (a minute or two the first time)"
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Train the demo's 280 networks on real data and show the best
	$(BIN)/gradgrid sweep breast_cancer
	@echo 'from here, that is: make dashboard'

dashboard: $(INSTALLED) ## Open the MLflow dashboard on what was recorded here
	$(BIN)/gradgrid dashboard

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest

slow: $(INSTALLED) ## Run what make test leaves out: killed sweeps, whole ready sweeps, an emulated processor
	$(BIN)/python -m pytest -m slow

pages: $(INSTALLED) ## Run every page of docs, the notebook, and reports of thousands of trials
	$(BIN)/python -m pytest -m pages

kill: $(INSTALLED) ## Kill sweeps at random instants, resume them and compare, two hundred rounds
	GRADGRID_KILL_ROUNDS=200 $(BIN)/python -m pytest -m slow tests/service/test_kill.py

test-cluster: $(INSTALLED) ## Bring the cluster up in containers, use it and strike it with faults; needs a Docker Engine
	@docker info >/dev/null 2>&1 || { echo 'make test-cluster needs a running Docker Engine'; exit 1; }
	$(BIN)/python -m pytest -m cluster -p no:randomly tests/cluster

check: $(INSTALLED) ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Time the demo against a plain MLflow loop
	$(BIN)/python benchmarks/demo.py

speed: $(INSTALLED) ## Time the engine against NumPy, JAX and PyTorch, which it installs; half an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/engine.py

docs: $(INSTALLED) ## Write the reference and run the notebook anew
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/run_notebook.py

clean: ## Remove what was set up and cached; recorded sweeps stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
