# `make` alone lists the targets. All of them install what they need into .venv.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The locks are complete. --no-deps: pip before 23.3 resolves an extra such as coverage[toml] again,
# and stops at a release that came out after the lock was written.
LOCKED = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r
THIS = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
CODE := app bookreview inventory adsfetch stack stress bench clients film migrations tests asgi.py wsgi.py gunicorn.conf.py
RESOLVE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header setup.cfg
TESTS ?= tests
# Most tests wait for servers, so that more processes than cores pay. A file's tests stay together:
# they share servers; they begin in the order of the collection (tests/conftest.py).
WORKERS ?= 4
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov)

.DEFAULT_GOAL := help
.PHONY: help run install migrate revision test check lint format typecheck bench consistency torture
.PHONY: subscriptions storm hosts fuzz clients day browser film stack deploycheck lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\)[a-z ]*:.*## \(.*\)$$/\1\t\2/p' Makefile | expand -t 15

# The shell becomes gunicorn. Beside it another one delivers to webhooks, again if it was killed.
run: $(VENV)/service ## migrate, then serve on 127.0.0.1:8000 (SQLite and sample data, unless DATABASE_URL is set)
	@echo "Preparing the database: a few seconds"
	@$(BIN)/flask prepare
	@until $(BIN)/flask webhooks deliver --until-exit-of $$$$ || ! kill -0 $$$$; do sleep 1; done & \
	exec $(BIN)/gunicorn -k asgi --reuse-port asgi:app

install: $(VENV)/developer ## create .venv with everything that the other targets use

migrate: $(VENV)/service ## upgrade the database of DATABASE_URL to the newest migration
	@$(BIN)/flask db upgrade

revision: $(VENV)/developer ## generate a migration from the models: make revision m="add a column"
	@$(BIN)/flask db migrate -m "$(m)"

test: $(VENV)/developer ## run the whole suite, on SQLite and on PostgreSQL and Redis servers that it starts
	@$(PYTEST) $(TESTS)

check: lint typecheck test ## run all that CI runs

lint: $(VENV)/developer ## ruff: rules and format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

format: $(VENV)/developer ## reformat the code as lint requires
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

typecheck: $(VENV)/developer ## mypy --strict on the packages
	@$(BIN)/mypy

bench: $(VENV)/developer ## measure, and print ratios against plain services in the same run
	@$(BIN)/python -m bench

consistency torture: $(VENV)/developer ## check every response while Redis and workers fail: make consistency SECONDS=300 SEED=7
	@$(BIN)/python -m stress.consistency $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

subscriptions storm: $(VENV)/developer ## check what followers of the feed receive while all servers fail: make subscriptions SECONDS=60 SEED=7
	@$(BIN)/python -m stress.subscriptions $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

hosts: $(VENV)/developer ## check two hosts behind HAProxy while hosts, links and servers fail, as root: make hosts SECONDS=60 SEED=7
	@$(BIN)/python -m stress.hosts $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/developer ## test the whole OpenAPI document with schemathesis: make fuzz SECONDS=60 SEED=7
	@$(BIN)/python -m stress.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

clients: $(VENV)/developer ## run the reference clients of GraphQL and generated types of REST against the service; needs node and npm
	@$(BIN)/python -m clients

day: $(VENV)/developer ## work for a day as a shop developer, with a generated Python client, against make run in a fresh clone
	@$(BIN)/python -m clients.day

browser: $(VENV)/developer ## test the pages in a headless browser; needs Chromium, on the PATH or named by CHROMIUM
	@$(BIN)/python -m clients.browser

film: $(VENV)/developer ## record docs/walkthrough.mp4: every command of it runs, a failed one stops it; needs Chromium, ffmpeg with flite
	@$(BIN)/python -m film

stack: $(VENV)/developer ## serve on a real PostgreSQL and Redis with several workers
	@exec $(BIN)/python -m stack

deploycheck: $(VENV)/developer ## check deploy/ with nginx, haproxy, promtool, systemd-analyze and hadolint; needs them installed
	@REQUIRE_PROGRAMS=1 $(BIN)/pytest -q tests/test_deploy.py

lock: $(VENV)/developer ## resolve the newest versions and write the two lock files
	@$(RESOLVE) --upgrade --extra build -o requirements.lock
	@$(RESOLVE) --upgrade --extra build --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## remove the environment and the caches; instance/ with its database stays
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(BIN)/pip:
	@echo "Creating $(VENV): a few seconds"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/service: $(BIN)/pip requirements.lock setup.cfg
	@echo "Installing the service into $(VENV): one or two minutes the first time"
	@$(LOCKED) requirements.lock
	@$(THIS)
	@touch $@

$(VENV)/developer: $(VENV)/service requirements-dev.lock
	@echo "Installing the developer tools into $(VENV): one to three minutes the first time"
	@$(LOCKED) requirements-dev.lock
	@touch $@
