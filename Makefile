# Five targets, and CI calls the same ones. Another interpreter: `make setup PYTHON=python3.12`.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORTURE ?= .torture

.PHONY: help setup demo test check bench torture adapters clean

help:
	@echo "make demo     the main job on real text, set-up included"
	@echo "make test     set-up and the tests"
	@echo "make check    ruff, pyright, import-linter"
	@echo "make bench    speed, beside the rivals"
	@echo "make adapters other libraries' trainers and loaders, each in an environment of its own"
	@echo "make torture  the long programmes of crashes and random traces"

setup: $(READY)

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "batchwright needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable '.[train,development]'
	@touch $@

demo: setup
	$(BIN)/batchwright demo $(DEMO)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(TESTS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

# Interrupted, it goes on with what is left of the kills of `train`.
torture: setup
	BATCHWRIGHT_TORTURE=$(TORTURE) $(BIN)/python -m pytest -n 2 --dist load --max-worker-restart 0 -m slow --timeout 7200 -o addopts="-q --strict-markers --strict-config -p no:cacheprovider"

# Named ones only: make adapters ADAPTERS="torchdata megatron"
adapters: setup
	$(BIN)/python -m tests.adapters.environments $(ADAPTERS)

clean:
	rm -rf $(VENV)
