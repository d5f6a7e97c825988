# Two commands set everything up on a fresh machine: `make run` and `make test`.
# Both build .venv from the locked, hashed requirements; neither needs root or an installed service.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PORT ?= 8080

.PHONY: run demo test lint unit bench clean help

help:
	@echo "make run    start Portcullis on this machine (PORT=8080, data in .portcullis)"
	@echo "make demo   tell the whole story on the terminal, with every claim checked"
	@echo "make test   lint, types, import rules and every test (real Redis, real PostgreSQL)"
	@echo "make unit   the tests that need no I/O (seconds)"
	@echo "make bench  ratios measured in one run"

# A venv is made with uv where it is on PATH (it needs no ensurepip), else with the standard library.
# pip checks every hash of the lock file; the project itself is then linked in without touching dependencies.
$(VENV)/.run: requirements.lock pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  test -x $(BIN)/python || uv venv --quiet --no-python-downloads --python $(PYTHON) $(VENV); \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock setuptools && \
	  true; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build
