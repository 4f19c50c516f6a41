# The same short commands for everyone. `make serve` and `make test` do all the set-up they need.
# `make help` lists them.

SHELL := /bin/bash
# The distribution's Python first: it is built with profile-guided optimisation, which version managers leave out, and
# the gateway then takes about a tenth less CPU.
PYTHON ?= $(shell for p in /usr/bin/python3 python3; do \
  $$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.SHELLFLAGS := -o pipefail -c

# pip's progress: one line that moves on a terminal, a line now and then elsewhere; warnings about the index are not the
# user's business. $(1): how many packages, $(2): what to install.
define pip_install
@$(PIP) install --progress-bar off $(2) 2> >(grep -v '^WARNING' >&2) | awk -v total=$(1) -v live=$$([ -t 2 ] && echo 1 || echo 0) \
  '/^Collecting/ {n++; if (live) printf "\r\033[K      %d/%d %s", n, total, $$2 > "/dev/stderr"; else if (n % 20 == 0) printf "      %d/%d\n", n, total > "/dev/stderr"} \
   END {if (live && n) print "" > "/dev/stderr"}'
endef

.DEFAULT_GOAL := help
.PHONY: help setup engine serve test lint format bench nightly clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.gateway ## the gateway's environment: leaves .venv/bin/portico
engine: $(VENV)/.gateway ## the engine's environment and the demo model, under PORTICO_HOME
	@$(BIN)/portico engine install

serve: $(VENV)/.gateway ## set up what is missing and serve on http://127.0.0.1:8000/v1 until Ctrl-C
	@exec $(BIN)/portico serve $(ARGS)

# The live tests are about the engine on CPU with the demo model, on every machine and whatever is configured here.
test: $(VENV)/.dev ## set up what is missing and run every test; ARGS="-k name" runs some
	@env -u PORTICO_CONFIG $(BIN)/portico engine install --device cpu --model demo
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## ruff, pyright (strict), import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.dev ## Portico beside nginx, sglang-router, vllm-router and LiteLLM; ARGS="--write" keeps the table
	@$(BIN)/python -m bench $(ARGS)

nightly: test bench ## everything, the slow things too
	@PORTICO_EXAMPLES=100000 $(BIN)/python -m pytest -q --timeout 7200 tests/moderation/test_proof.py
	@$(BIN)/python -m pytest -m nightly

clean: ## remove what was built here; the engine stays in $$PORTICO_HOME
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache tests/live/node/node_modules

# venv writes bin/activate last: without it, one was interrupted, and is made again over what is there.
$(VENV)/bin/activate:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv, or make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "[1/2] gateway environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }

# A stamp is written last, so an interrupted install is done again.
$(VENV)/.gateway: $(VENV)/bin/activate requirements/gateway.lock pyproject.toml
	@echo "[2/2] gateway packages: $$(grep -c == requirements/gateway.lock) from requirements/gateway.lock"
	$(call pip_install,$$(grep -c == requirements/gateway.lock),--require-hashes -r requirements/gateway.lock)
	$(call pip_install,1,--no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/.dev: $(VENV)/.gateway requirements/dev.lock
	@echo "development packages: $$(grep -c == requirements/dev.lock) from requirements/dev.lock"
	$(call pip_install,$$(grep -c == requirements/dev.lock),--require-hashes -r requirements/dev.lock)
	@touch $@
