# On a fresh machine with Python 3.11+ and make, every target sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# Each stamp is newer than what it was made from, so a changed lock file installs anew and nothing else does.
.venv/.uv: requirements/bootstrap.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/.installed: .venv/.uv requirements/dev.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Tryton lives in a virtual environment of its own: the sync talks to it over HTTP only.
.venv-tryton/.installed: .venv/.uv requirements/tryton.txt
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv-tryton
	$(BIN)/uv pip install --quiet --python .venv-tryton/bin/python --require-hashes -r requirements/tryton.txt
	@touch $@

.PHONY: setup
setup: .venv/.uv ## Install everything, as locked
	@$(MAKE) --no-print-directory -j2 .venv/.installed .venv-tryton/.installed

.PHONY: demo
demo: setup ## Two service months, billed and reconciled in a real ERP
	$(BIN)/psa-erp demo

.PHONY: up
up: setup ## Everything for work: Dagster on 3000, console on 8080
	$(BIN)/psa-erp up

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; } || \
	  echo "chromium is not installed: browser tests will be skipped"

# Where systemd runs, the packages would start servers on this machine's ports: there it is left to you.
.PHONY: proxies
proxies:
	@{ PATH="$$PATH:/usr/sbin" command -v nginx && command -v caddy; } >/dev/null || { test ! -d /run/systemd/system && \
	  command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y nginx-light caddy >/dev/null; } || \
	  echo "nginx or caddy is not installed: tests of deploy/ will be skipped"

.PHONY: check
check: setup ## Lint, types, layering, Dagster definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dagster definitions validate -w workspace.yaml

.PHONY: test
test: check chromium proxies ## All checks and all tests
	$(BIN)/pytest

.PHONY: chaos
chaos: setup ## More simulated histories of the posting engine than the tests run (SEEDS=n)
	PSA_ERP_SEEDS=$(or $(SEEDS),2000) $(BIN)/pytest psa_erp_assets_tests/chaos -q

.PHONY: bench
bench: setup ## Measure, and write data/bench/results.json
	$(BIN)/psa-erp bench

.PHONY: lock
lock: .venv/.uv ## Lock dependencies anew
	cd requirements && for set in "../pyproject.toml runtime" "../pyproject.toml dev --extra dev -c runtime.txt" \
	  "tryton.in tryton" "bootstrap.in bootstrap"; do set -- $$set; in=$$1; out=$$2; shift 2; \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-header $$in "$$@" -o $$out.txt; done
