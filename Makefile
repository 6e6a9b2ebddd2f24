# Everything starts here. Needs Python 3.11 or newer, make and git; each target installs what it lacks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install environment run cluster test browser promises check bench lock

PORT ?= 8000
ARGS ?=
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
# commands that read the settings but no database
NO_DATABASE := DATABASE_URL=postgresql://nobody@127.0.0.1:1/none
COMPILE := $(BIN)/python -m uv pip compile --quiet --python-version 3.11 --universal --fork-strategy fewest \
	--no-header --no-emit-index-url --no-emit-find-links --no-config

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

install:  ## make .venv and install the packages, unless they are there
	@sh scripts/install.sh

environment: install
	@sh scripts/environment.sh

run: environment  ## start Netra on PORT (8000): database, demo data, server with one worker
	@$(MANAGE) serve --migrate --seed-demo --port $(PORT)

cluster: environment  ## start a local scale-out: Redis, two web processes on PORT and PORT+1, two workers
	@$(MANAGE) cluster --port $(PORT)

test: install browser  ## run the whole test suite (ARGS="-k quota" narrows it)
	@$(BIN)/python -m pytest $(ARGS)

browser: install
	@sh scripts/browser.sh

promises: install browser  ## run what guards the promises P1 to P9, and say which of them hold
	@$(BIN)/python -m pytest -m mission_critical -p tests.promises -q $(ARGS)

check: install  ## check format, style, types, import rules, migrations, requirements and deployment settings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	@DEBUG=1 $(NO_DATABASE) $(BIN)/mypy
	@echo '$(BIN)/lint-imports --no-cache'; \
		found=$$($(BIN)/lint-imports --no-cache 2>&1) || { printf '%s\n' "$$found"; exit 1; }
	@$(BIN)/python scripts/check_requirements.py
	@DJANGO_SETTINGS_MODULE=tests.settings $(MANAGE) makemigrations --check --dry-run
	@DEBUG=0 $(NO_DATABASE) SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))') \
		$(MANAGE) check --deploy --fail-level WARNING

bench: install  ## run the measured comparisons of benchmarks/
	@$(BIN)/python -m benchmarks $(ARGS)

lock: install  ## compile requirements*.in into the pinned requirements*.txt (ARGS=--upgrade for newer versions)
	$(COMPILE) $(ARGS) requirements.in --output-file requirements.txt
	$(COMPILE) $(ARGS) requirements-local.in --output-file requirements-local.txt
