# Everything here sets itself up: Python 3.11 (or another 3.10 to 3.14 as PYTHON=...), git and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# -c: the versions that this repository is tested with. On Linux, torch's CPU build comes from PyTorch's own index.
INSTALLED := $(VENV)/.installed
# Each framework runs in a process of its own there: two of them in one do not always get along.
FRAMEWORKS := .venv-frameworks

.DEFAULT_GOAL := help

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz,dev]'
	@touch $@

setup: $(INSTALLED) ## Make the virtual environment in .venv

demo: $(INSTALLED) ## Find a loss bug across two files, then take a wrong loss apart
	@PATH="$(abspath $(BIN)):$$PATH" sh fixtures/demo/run.sh

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest -n auto

test-slow: $(INSTALLED) ## Run the tests that are long by choice: fifty seeds of every right loss
	$(BIN)/python -m pytest -n auto -m slow

seeds: $(INSTALLED) ## Every right loss, over fifty seeds, in all dtypes: a line each, and the sums (an hour on one core)
	$(BIN)/python -m benchmarks.correct_seeds $(FORMS)

test-frameworks: ## Prove fixes in TensorFlow, Paddle, Flax and every loss library (installs them apart: 3 GB)
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c tests/frameworks/constraints.txt -e '.[fuzz,dev]' -r tests/frameworks/requirements.txt
	for file in tests/frameworks/test_*.py; do $(FRAMEWORKS)/bin/python -m pytest $$file || exit 1; done
	KERAS_BACKEND=torch $(FRAMEWORKS)/bin/python -m pytest tests/frameworks/test_keras.py

lint: $(INSTALLED) ## Lint, format check, types, dependency directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## Measure check side by side with other linters (downloads them, and packages)
	$(BIN)/python -m benchmarks.check_speed --write

bench-fuzz: $(INSTALLED) ## Measure evaluations a second of fuzz against a bare loop
	$(BIN)/python benchmarks/fuzz_throughput.py

corpus: $(INSTALLED) ## Check real packages, and compare with the reviewed findings
	$(BIN)/python -m benchmarks.corpus

clean: ## Remove everything that the other commands made
	rm -rf $(VENV) $(FRAMEWORKS) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .lossaudit

.PHONY: help setup demo test test-slow test-frameworks seeds lint bench bench-fuzz corpus clean
