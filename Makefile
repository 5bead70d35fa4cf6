# Everything a developer does here, one command each. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo test test-tools check format bench clean

BIN := .venv/bin
TYPED := $(wildcard src tests examples benchmarks)
# Narrow a run: make test ARGS="tests/unit -k lease"
ARGS ?=

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: ## .venv with everything, as uv.lock says
	@scripts/install

demo: install ## the server with a chat and two users, in the browser
	@$(BIN)/wsauth demo

test: install test-tools ## all tests (ARGS="tests/unit -k lease" for some)
	@$(BIN)/python -m pytest $(ARGS)

test-tools:
	@scripts/test-tools

check: install ## format, lint, types and import floors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/lint-imports --no-logo

format: install ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: install ## the measurements of docs/performance (needs gcc)
	@command -v gcc >/dev/null || { echo "make bench needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove what the commands above made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
