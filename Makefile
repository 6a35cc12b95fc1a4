# Two commands for a newcomer: `make demo` trains, evaluates and answers; `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
RUN ?= runs/demo
PORT ?= 5000
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# A process a core, each with one thread: small tensors gain nothing from more. `make test CORES=0` is one process.
CORES ?= auto
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist worksteal

.PHONY: demo test test-slow lint format clean

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Stamps: an environment is made once, and again when what it installs changes.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[serve,plot]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[all,dev]' setuptools
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@BIN=$(BIN) RUN=$(RUN) PORT=$(PORT) sh recipes/demo.sh

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TESTS)

# Minutes of training each: recipes learned to their threshold, the wheel, kills at random moments.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --timeout 1800

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
