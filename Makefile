# Two commands on a fresh Debian or Ubuntu machine: `make quickstart` and `make test`.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test check bench wheel clean

quickstart: .venv/leadline  ## measure eight networks on this machine and export a bundle
	$(BIN)/leadline quickstart

test: .venv/dev  ## everything: static checks, then all tests
	.ci/system-packages test
	$(MAKE) --no-print-directory check
	$(BIN)/pytest -n 2 --dist loadgroup

check: .venv/dev  ## ruff, mypy --strict, import contracts, the shape of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q tests/unit/house

bench: .venv/dev  ## the tables of docs/benchmarks.md, measured here and now
	.ci/system-packages bench
	$(BIN)/python -m benchmarks

wheel: .venv/dev  ## a wheel that carries the device programs prebuilt
	LEADLINE_PREBUILT=1 $(BIN)/python -m build --wheel

clean:
	rm -rf .venv dist build

.venv/python: .ci/system-packages
	.ci/system-packages python $(PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

.venv/leadline: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: .venv/leadline
	$(BIN)/python -m pip install --quiet --group dev
	touch $@
