# Everything starts here, on a machine with only Python and make: `make run`, `make test`.
# Pass options with ARGS, as in `make run ARGS="--port 8123"` or `make test ARGS="-k fence"`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# Changes whenever the environment has been made anew from the lock.
STAMP := $(VENV)/.from-lock
# All tests run in two processes, each with servers of its own; ARGS=-n0 has them in one, as a selection is, which then
# is ready sooner.
TWO_PROCESSES := -n 2 --max-worker-restart 0
SELECTING := -k% -m% -n% -p% tests% --co --collect-only --pdb
export PYTHONPATH := $(CURDIR)

.PHONY: help run setup test lint format lock bench demonstration clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: $(STAMP) ## Start the whole service; Ctrl-C stops it
	@exec $(BIN)/python manage.py up $(ARGS)

setup: $(STAMP) ## Only make the environment

test: $(STAMP) ## Run the tests, or with ARGS="-k fence" some
	$(BIN)/python -m pytest $(if $(filter $(SELECTING),$(ARGS)),,$(TWO_PROCESSES)) $(ARGS)

lint: $(STAMP) ## Check style, imports and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(STAMP) ## Put all files into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Resolve the dependencies into requirements.lock (ARGS=--upgrade: the newest)
	scripts/setup.sh lock $(ARGS)

bench: $(STAMP) ## Run the benchmarks
	$(BIN)/python -m tests.benchmarks $(ARGS)

demonstration: $(STAMP) ## Carry out a plan while people write and things die; print the verdict
	$(BIN)/python -m tests.history.demonstration $(ARGS)

clean: ## Remove what can be made again; the data in .data stays
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock scripts/setup.sh
	@scripts/setup.sh environment
