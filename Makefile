# `make` alone lists the targets. All of them install what they need into .venv.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The locks are complete. --no-deps: pip before 23.3 resolves an extra such as coverage[toml] again,
# and stops at a release that came out after the lock was written.
LOCKED = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r
THIS = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
CODE := app bookreview inventory adsfetch stack stress bench clients migrations tests asgi.py wsgi.py gunicorn.conf.py
RESOLVE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header setup.cfg
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help run install migrate revision test check lint format typecheck bench torture storm fuzz clients browser stack lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)$$/\1\t\2/p' Makefile | expand -t 12

run: $(VENV)/service ## migrate, then serve on 127.0.0.1:8000 (SQLite and a sample, unless told otherwise)
	@$(BIN)/flask prepare
	@exec $(BIN)/gunicorn -k asgi --reuse-port asgi:app

install: $(VENV)/developer ## make .venv with everything that the other targets use

migrate: $(VENV)/service ## bring the database of DATABASE_URL to the newest migration
	@$(BIN)/flask db upgrade

revision: $(VENV)/developer ## write a migration from the models: make revision m="add a column"
	@$(BIN)/flask db migrate -m "$(m)"

test: $(VENV)/developer ## the whole suite, on SQLite and on PostgreSQL and Redis that it starts itself
	@$(BIN)/pytest $(TESTS)

check: lint typecheck test ## all that CI runs

lint: $(VENV)/developer ## ruff: rules and format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

format: $(VENV)/developer ## rewrite the code in the format that lint asks for
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

typecheck: $(VENV)/developer ## mypy --strict on the packages
	@$(BIN)/mypy

bench: $(VENV)/developer ## measure, and print ratios against plain services in the same run
	@$(BIN)/python -m bench

torture: $(VENV)/developer ## judge every answer while Redis and workers fail: make torture SECONDS=300 SEED=7
	@$(BIN)/python -m stress.consistency $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

storm: $(VENV)/developer ## judge what subscribers see while workers and Redis fail: make storm REVIEWS=500 SEED=7
	@$(BIN)/python -m stress.subscriptions $(if $(REVIEWS),--reviews $(REVIEWS)) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/developer ## drive the whole OpenAPI document by schemathesis: make fuzz SECONDS=60 SEED=7
	@$(BIN)/python -m stress.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

clients: $(VENV)/developer ## the reference clients graphql-ws and graphql-sse against a running service; needs node and npm
	@$(BIN)/python -m clients

browser: $(VENV)/developer ## the pages in a headless browser; needs Chromium, on the PATH or named by CHROMIUM
	@$(BIN)/python -m clients.browser

stack: $(VENV)/developer ## the service on a real PostgreSQL and Redis with several workers
	@exec $(BIN)/python -m stack

lock: $(VENV)/developer ## choose the newest versions again, and write the two lock files
	@$(RESOLVE) --upgrade --extra build -o requirements.lock
	@$(RESOLVE) --upgrade --extra build --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the environment and the caches; instance/ with its database stays
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(BIN)/pip:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/service: $(BIN)/pip requirements.lock setup.cfg
	@$(LOCKED) requirements.lock
	@$(THIS)
	@touch $@

$(VENV)/developer: $(VENV)/service requirements-dev.lock
	@$(LOCKED) requirements-dev.lock
	@touch $@
