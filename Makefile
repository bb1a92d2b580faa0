# Each target but `gpu` makes .venv if it is missing, installs what it needs from the package index, and runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-long gpu bench lint types clean

train: .venv/installed-train
	$(BIN)/python examples/digits_cnn.py --out out

test: .venv/installed-test
	$(BIN)/python -m pytest -q -m "not long"

test-long: .venv/installed-test
	$(BIN)/python -m pytest -q

# On a machine with an NVIDIA GPU: tests, checks and figures in under ten minutes, on the python of the PATH (or PYTHON=)
# with what is installed there. It makes no environment and installs nothing; RESULTS=folder takes the report.
gpu:
	$(PYTHON) -m bench.gpu $(if $(RESULTS),--out "$(RESULTS)")

bench: .venv/installed-bench
	$(BIN)/python -m bench

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m bench.readme --check
	$(BIN)/python -m bench.clinic.readme --check

types: .venv/installed-dev
	$(BIN)/mypy

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "xpnet needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed-train: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/installed-test .venv/installed-dev .venv/installed-bench: .venv/installed-%: pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[$*]'
	@touch $@

clean:
	rm -rf .venv out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
