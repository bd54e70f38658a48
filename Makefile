# Everything runs from one environment, .venv, which is made on first use. `make` lists the targets.
#
#   make demo ARGS="--seed 1"            options of `omni demo`
#   make test ARGS="-k media -x"         options of pytest
#   make test JOBS=8                     more tests at once; JOBS=0 for a debugger
#   make install PYTHON=python3.12       another Python; EXTRAS=dev for fewer packages

PYTHON ?= python3
EXTRAS ?= demo,serve,dev
OUT ?= runs/demo
JOBS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
comma := ,
INSTALLED := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))

ifneq ($(filter --out --out=%,$(ARGS)),)
$(error say OUT=DIR instead of ARGS="--out DIR", so that make knows where the report is)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv install demo test test-slow lint format typecheck checks clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(BIN)/pip ## make an empty .venv

install: $(INSTALLED) ## install omni and all that it needs into .venv

demo: $(INSTALLED) ## make a corpus, train on it, evaluate, write runs/demo/report.html (about 15 minutes)
	$(BIN)/omni demo --out $(OUT) $(ARGS)
	@test ! -e $(OUT)/report.html || echo "The report is at $(abspath $(OUT))/report.html"

test: $(INSTALLED) ## run the tests that take minutes at most
	PYTHONHASHSEED=0 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-slow: $(INSTALLED) ## run the tests marked slow
	$(BIN)/python -m pytest -m "slow and not cuda" $(ARGS)

lint: $(INSTALLED) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## put the code into format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(INSTALLED) ## check types
	$(BIN)/mypy

checks: lint typecheck test ## all that a commit must pass

clean: ## delete what was built; keeps .venv and runs/
	rm -rf build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# pip and not python: without ensurepip `python -m venv` fails half-way and leaves a python behind.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here. Name a Python >= 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "omni needs Python >= 3.11, but $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install -e '.[$(EXTRAS)]'
	@touch $@
