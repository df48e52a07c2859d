# Everything a newcomer, a developer or CI needs. Each target does its own set-up.
SHELL := /bin/bash
BIN := .venv/bin

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: ## see it work: a tenant, a job, its outputs through the shell and the mount
	@.ci/setup run
	@tests/first_light.sh

test: lint ## all tests, with lint and types
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: dev ## style, types, and who may import whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

soak: dev ## what takes an hour: load, large files, crashes by the hundred
	@$(BIN)/python -m pytest -m soak -o addopts="-v --strict-markers"

bench: dev ## figures, as ratios in one run
	@$(BIN)/python -m tests.bench

docs: dev ## make docs/reference/ from the catalogue and the commands
	@$(BIN)/python docs/make_reference.py

clean: ## take away what the other targets made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

dev:
	@.ci/setup dev

.PHONY: help run test lint soak bench docs clean dev
