# Everything a newcomer, a developer or CI needs. Each target does its own set-up.
SHELL := /bin/bash
BIN := .venv/bin

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: .venv/.run ## see it work: a tenant, a job, its outputs through the shell and the mount
	@tests/first_light.sh

test: .venv/.dev lint ## all tests, with lint and types
	@$(BIN)/python -m pytest

lint: .venv/.dev ## style, types, and who may import whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

soak: .venv/.dev ## what takes an hour: load, large files, crashes by the hundred
	@$(BIN)/python -m pytest -m soak -o addopts="-v --strict-markers"

bench: .venv/.dev ## figures, as ratios in one run
	@$(BIN)/python -m tests.bench

docs: .venv/.dev ## make docs/reference/ from the catalogue and the commands
	@$(BIN)/python docs/make_reference.py

clean: ## take away what the other targets made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.run: pyproject.toml .ci/setup
	@.ci/setup run

.venv/.dev: pyproject.toml .ci/setup
	@.ci/setup dev

.PHONY: help run test lint soak bench docs clean
