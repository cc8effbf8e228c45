# The commands people type. Everything is installed in .venv, nothing elsewhere.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOG := $(VENV)/setup.log
UV := uv==0.13.8

# Where it forbids to keep what was compiled, as in images for containers, each of the tests' processes compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo up test fuzz check bench faults lock

setup: $(INSTALLED)

demo: setup
	@$(BIN)/holdfast demo

up: setup
	@exec $(BIN)/holdfast up

# Three processes on two cores: many a test waits for a process, and each of the three starts its own servers once.
test: setup
	$(BIN)/pytest -n 3 --dist worksteal

# Other input than `make test` has, and more of it.
fuzz: setup
	FUZZ_EXAMPLES=1000 $(BIN)/pytest -n 2 --dist worksteal tests/fuzz

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

# All that a provider can do wrong, to a chunk and to a job, and what it costs, and the lives of 200 customers of Stripe's:
# twenty-five minutes.
faults: setup
	FAULTS=all $(BIN)/pytest -n 2 tests/app/enrichment/test_provider_faults.py tests/faults/test_outages.py \
		tests/faults/test_billing_lives.py
	$(BIN)/python -m benchmarks faults

# After a change of the dependencies in pyproject.toml. The result names no index: everybody uses their own.
lock: setup
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra dev \
		pyproject.toml --output-file requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "make: Python 3.11 or newer is needed, and $(PYTHON) is not; name another: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV); echo "make: $(PYTHON) cannot make a virtual environment; on Debian install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet $(UV) >$(LOG) 2>&1 || { \
		echo "make: uv cannot be installed; is there a network? ($$(tail -n 1 $(LOG)))" >&2; exit 1; }
	@echo "Installing the dependencies into $(VENV) …"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock >$(LOG) 2>&1 \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . >>$(LOG) 2>&1 || { \
		echo "make: the dependencies cannot be installed; is there a network? The reason is in $(LOG)" >&2; exit 1; }
	@touch $@
