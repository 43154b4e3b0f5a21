# Every target installs what it needs into .venv. You need python3 with venv, make and git.
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# tests wait for servers and other processes a third of the time
SIDE_BY_SIDE := -n 4
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo dashboard test slow pages fuzz kill newest-mlflow test-cluster check bench speed format docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-13s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (a minute or two the first time)"
	@test -x $(BIN)/python || python3 -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Train the demo's 280 networks on real data and show the best
	$(BIN)/gradgrid sweep breast_cancer
	@echo 'the dashboard: make dashboard'

dashboard: $(INSTALLED) ## Open the MLflow dashboard on the sweeps recorded here
	$(BIN)/gradgrid dashboard

test: $(INSTALLED) ## Run the tests
	$(PYTEST) $(SIDE_BY_SIDE)

slow: $(INSTALLED) ## Run the slow tests: Ray and servers, killed sweeps, an emulated processor
	$(PYTEST) -m slow -n 2

pages: $(INSTALLED) ## Run every page of docs/ and the notebook, MLflow's pages in a browser, and large reports
	$(PYTEST) -m pages $(SIDE_BY_SIDE)

fuzz: $(INSTALLED) ## Mutate sweep files and data files 10,000 times; some ten minutes
	GRADGRID_FUZZ_EXAMPLES=10000 $(PYTEST) -m fuzz -s tests/fuzz

kill: $(INSTALLED) ## Kill sweeps at random moments, two hundred rounds, and at each of their effects; resume them
	GRADGRID_KILL_ROUNDS=200 $(PYTEST) -m slow tests/service/test_kill.py tests/service/test_every_effect.py

newest-mlflow: $(INSTALLED) ## Run the recorders' tests with the newest MLflow that the index has
	$(BIN)/python tests/newest_mlflow.py

test-cluster: $(INSTALLED) ## Start the cluster in containers, use it and break it; needs a Docker Engine
	@docker info >/dev/null 2>&1 || { echo 'make test-cluster needs a running Docker Engine'; exit 1; }
	$(PYTEST) -m cluster -p no:randomly tests/cluster

check: $(INSTALLED) ## Check lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Time the demo against a plain MLflow loop
	$(BIN)/python benchmarks/demo.py

speed: $(INSTALLED) ## Time the engine against NumPy, JAX and PyTorch (installs them); half an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/engine.py

docs: $(INSTALLED) ## Write docs/reference.md and run the notebook
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/run_notebook.py

clean: ## Remove .venv and the caches; recorded sweeps stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
