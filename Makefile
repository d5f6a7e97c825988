# Two commands set everything up on a fresh machine: `make run` and `make test`.
# Both build .venv from locked, hashed requirements. Neither needs root, a system package or a running service.

PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8080
export PORT

.PHONY: help run demo test lint both unit fault mutants bench eval lock clean bypass identity

help:
	@echo "make run    start Portcullis on this machine (PORT=8080, data in .portcullis)"
	@echo "make demo   tell the whole story on the terminal, with every claim checked"
	@echo "make test   lint, types, import rules and every test, on real Redis and real PostgreSQL"
	@echo "make both   every contract and integration test on both engines (a quarter of an hour)"
	@echo "make unit   the tests that need no I/O (seconds)"
	@echo "make mutants  break each promise in a copy of the source and see a test turn red (minutes)"
	@echo "make bench  speed, as ratios measured in one run"
	@echo "make eval   precision and recall of the detectors on a labelled corpus, and their speed"
	@echo "make bypass tens of thousands of mutants over every policy, and inputs made to be slow"
	@echo "make identity  a hundred thousand steps of the identity model (half an hour)"
	@echo "make lock   renew the lock files from pyproject.toml"

run: .venv/.run
	@exec $(BIN)/portcullis run

demo: .venv/.dev
	@exec $(BIN)/python -m tests.e2e.story

test: lint
	$(BIN)/python -m pytest -n auto tests/unit
	$(BIN)/python -m pytest -n auto tests/contract tests/integration
	$(BIN)/python -m pytest tests/e2e tests/fault

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

both: .venv/.dev
	TEST_ENGINES=all $(BIN)/python -m pytest -n auto tests/contract tests/integration

unit: .venv/.dev
	$(BIN)/python -m pytest -n auto tests/unit

fault: .venv/.dev
	$(BIN)/python -m pytest tests/fault

mutants: .venv/.dev
	$(BIN)/python -m tests.fault.mutants $(NAMES)

bench: .venv/.dev
	$(BIN)/python -m benchmarks.check
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.register

eval: .venv/.dev
	$(BIN)/python -m benchmarks.evaluate

bypass: .venv/.dev
	$(BIN)/python -m benchmarks.bypass

# Runs of up to 50 steps; about 40 of them are taken on average, and a quarter as many runs on PostgreSQL.
identity: .venv/.dev
	PORTCULLIS_IDENTITY_RUNS=3000 $(BIN)/python -m pytest tests/contract/test_identity_model.py -s

# pip checks the hash of every package; the checkout itself is then linked in without touching them.
.venv/.run: requirements.lock pyproject.toml | .venv/made
	@echo "Installing the locked dependencies into .venv; this happens once and takes about a minute."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ .venv/.run

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Portcullis needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || uv venv --quiet --seed --python $(PYTHON) .venv || \
	  { echo "$(PYTHON) cannot make a virtual environment; install its venv package, or uv"; exit 1; }
	@touch $@

lock: .venv/.dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) --extra embedded --extra checkout --extra geoip pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) --extra embedded --extra checkout --extra geoip --extra dev pyproject.toml -o requirements-dev.lock

LOCK := --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis
