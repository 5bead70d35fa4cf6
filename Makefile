# Everything a developer does here, one command each. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install compile demo test test-tools check format bench wheels clean

BIN := .venv/bin
TYPED := $(wildcard src tests examples benchmarks deploy)
# Narrow a run: make test ARGS="tests/unit -k lease"
ARGS ?=
# Where it is set, each of the thousands of processes that the tests start compiles every module it imports anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: ## .venv with everything, as uv.lock says
	@scripts/install

compile: install ## the gateway's hot path, by mypyc (needs gcc)
	@scripts/compile

demo: install ## the server with a chat and two users, in the browser
	@$(BIN)/wsauth demo

test: install test-tools ## all tests (ARGS="tests/unit -k lease" for some)
	@scripts/compile --if-possible
ifeq ($(strip $(ARGS)),)
	@# Alone: they see to the second what servers do that we did not write.
	@$(BIN)/python -m pytest tests/conformance
	@$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/conformance
else
	@$(BIN)/python -m pytest $(ARGS)
endif

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

bench: compile ## the measurements of docs/performance (needs gcc, nginx, haproxy)
	@$(BIN)/python -m benchmarks $(ARGS)

wheels: install ## sdist and wheels into dist/, a compiled one where gcc is
	@scripts/wheels

clean: ## remove what the commands above made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist tests/node/node_modules
	rm -f src/wsauth/gateway/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
