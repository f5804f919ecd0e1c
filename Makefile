# `make` alone lists the targets. ARGS goes to pytest, KEEP=1 leaves the demo running.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo "$$python" && break; done)

# Spelled out, so that nothing on PATH stands in for it.
BIN := .venv/bin
READY := .venv/.ready
# The oldest Python that Guard runs on, whichever one makes the lock: what only older ones need must not be left out.
LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet

.PHONY: help setup tools demo test check bench oracle fuzz image-test lock clean

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) tools  ## .venv with Guard and what its tests need, and the real binaries

$(READY): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "make setup: no Python 3.11 to 3.14 with venv on PATH; install one, or name it: make setup PYTHON=..." >&2; exit 1; }
	@echo "setup: .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@echo "setup: the locked dependencies"
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-dev.txt
	@echo "setup: Guard itself"
	@$(BIN)/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@

tools: $(READY)  ## etcd, kube-apiserver, kube-controller-manager, kubectl, kustomize, helm, kwok, sops, versitygw, sshd, gpg: found, built, or installed
	@$(BIN)/python -m tools.build
	@$(BIN)/python -m tools.debian || echo "make tools: going on; only tests of SSH and of signatures need them" >&2

demo: setup  ## Guard on a real API server, told as a story (KEEP=1 leaves it running)
	@$(BIN)/python demo/play.py $(if $(KEEP),--keep)

test: setup  ## all tests (ARGS="-k scale" for some)
	@$(BIN)/pytest $(ARGS)

check: $(READY)  ## lint, format, types, layers, cases
	@echo "== ruff check";      $(BIN)/ruff check
	@echo "== ruff format";     $(BIN)/ruff format --check
	@echo "== pyright";         $(BIN)/pyright
	@echo "== import-linter";   $(BIN)/lint-imports
	@echo "== cases";           $(BIN)/python -m tools.cases

bench: setup  ## what a decision, the index and a commit cost, what Guard costs at admission, and how fast it heals, follows and syncs
	@$(BIN)/python -m bench.decision
	@$(BIN)/python -m bench.admission
	@$(BIN)/python -m bench.heal
	@$(BIN)/python -m bench.heal_memory
	@$(BIN)/python -m bench.source
	@$(BIN)/python -m bench.sync

oracle: setup  ## 10,000 changes held against what the API server itself would do (ARGS="--seed 7")
	@$(BIN)/python -m tests.oracle --changes 10000 $(ARGS)

fuzz: setup  ## ten minutes of spoiled reviews and sets of fields
	@$(BIN)/python -m tests.fuzz --minutes 10 $(ARGS)

image-test: setup  ## the image, built and run
	@bash tests/image/run.sh

lock: $(READY)  ## the lock files, anew from pyproject.toml
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(BIN)/python -m venv "$$scratch/uv"; \
	"$$scratch/uv/bin/pip" --disable-pip-version-check --quiet install uv; \
	"$$scratch/uv/bin/uv" pip compile $(LOCK_FLAGS) --upgrade --output-file requirements.txt pyproject.toml; \
	"$$scratch/uv/bin/uv" pip compile $(LOCK_FLAGS) --upgrade --extra dev --output-file requirements-dev.txt pyproject.toml
	@if grep -nE '^ *--(index-url|extra-index-url|find-links|trusted-host)|://' requirements.txt requirements-dev.txt; then \
	echo "make lock: the lines above name a host" >&2; exit 1; fi
	@echo "lock: $$(grep -c '^[A-Za-z]' requirements.txt) packages to run Guard, $$(grep -c '^[A-Za-z]' requirements-dev.txt) with its tests"

clean:  ## takes .venv and caches away (the built binaries stay in the user's cache)
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
