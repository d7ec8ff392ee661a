# Two commands do everything on a machine with only python3 and make:
#   make run     creates .venv/ and runs the main job
#   make test    creates .venv/ and runs all tests
# The environment is renewed only when pyproject.toml or constraints.txt changed.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run serve test test-random mutants soak fuzz evidence staging-demo kube-tools guard guard-power baselines lint format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
	@echo
	@echo 'Options:  make run ARGS="scenario=zone_outage seed=3"   make test ARGS="-k forecast"'
	@echo '          PYTHON=python3.12 chooses the interpreter (3.11 or newer)'

run: $(VENV)/.installed-test ## Simulate a scenario and write its report (default: scenario=june_peak)
	$(BIN)/python -m twin run $(if $(findstring scenario=,$(ARGS)),,scenario=june_peak) $(ARGS)

serve: $(VENV)/.installed-test ## The live engine and its API over the twin: june_peak, a minute in each second
	$(BIN)/python -m twin serve $(ARGS)

test: $(VENV)/.installed-test ## Run all tests
	$(BIN)/python -m pytest -n auto --dist loadscope $(ARGS)

test-random: $(VENV)/.installed-test ## Property tests on inputs that nobody has tried yet
	$(BIN)/python -m pytest -n auto --dist load --hypothesis-profile=random tests/property $(ARGS)

mutants: $(VENV)/.installed-test ## Spoil the decision code in each place: do the tests notice?
	$(BIN)/python -m mutation $(ARGS)

soak: $(VENV)/.installed-test ## A day of the live engine, every port in trouble: does anything grow?
	$(BIN)/python -m tools.soak $(ARGS)

fuzz: $(VENV)/.installed-test ## Spoilt bytes for all that reads those of others (ARGS="--inputs 1000000 traces")
	$(BIN)/python -m tools.fuzz $(ARGS)

evidence: $(VENV)/.installed-test ## What has to be shown before a deployment, and its page (ARGS="level=full")
	$(BIN)/python -m twin evidence $(ARGS)

staging-demo: $(VENV)/.installed-test ## The peak for real on this machine: real parts, Locust, the engine; 6 minutes
	$(BIN)/python -m twin staging demo $(if $(findstring folder=,$(ARGS)),,folder=/tmp/wedtwin-demo) $(ARGS)

kube-tools: ## Build the real Kubernetes and KEDA of the tests into ~/.cache: once, 35 minutes of processor time; needs Go
	$(PYTHON) tools/kube/build.py

guard: $(VENV)/.installed-test ## Did scaling get worse than the stored baseline? (ARGS="surge" for one world)
	$(BIN)/python -m twin guard $(ARGS)

guard-power: $(VENV)/.installed-test ## Plant regressions: does the guard see them? (goes on where it was)
	$(BIN)/python -m twin guard power $(ARGS)

baselines: $(VENV)/.installed-test ## Show what changed against the baseline, then renew it
	$(BIN)/python -m twin guard update $(ARGS)

# What it needs does not go together with what the product needs.
build/semgrep/bin/semgrep:
	$(PYTHON) -m venv build/semgrep
	build/semgrep/bin/pip install --quiet semgrep==1.185.0

lint: $(VENV)/.installed-dev build/semgrep/bin/semgrep ## Check style, formatting, types, import rules, and for what is dangerous
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/scan
	$(BIN)/python .ci/advisories

format: $(VENV)/.installed-dev ## Put all files into the house format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove the environment, caches and build results (never the run records in outputs/)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed-%: pyproject.toml constraints.txt .ci/venv
	@.ci/venv $(VENV) $* $(PYTHON)
	@touch $@
