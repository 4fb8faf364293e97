SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PVC ?= $(VENV)/bin/pvc
# What the frozen pvc is made of.
SOURCES := $(shell find pvc packaging -type f)

.PHONY: run demo test check unit real bench dist fmt deps lock clean

run: $(VENV)/ready
	$(VENV)/bin/pvc serve

demo: $(VENV)/ready
	$(PY) -m tests.demo --pvc $(PVC)

# Everything: the checks, the suites on real parts, the command-line tests on the one file, and the demo with it.
test: check real dist
	$(PY) -m pytest tests/frozen
	$(PY) -m tests.demo --pvc dist/pvc

# Fast, needs no service: style, types, import direction, unit and contract suites.
check: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m pytest -m "not real"

# The contract suites on real ZooKeeper and libvirt, and whole-machine scenarios.
real: $(VENV)/ready
	$(PY) -m pytest -m real tests/contract tests/machine

bench: $(VENV)/ready
	$(PY) -m tests.bench

dist: dist/pvc

dist/pvc: $(VENV)/ready $(SOURCES)
	packaging/freeze

fmt: $(VENV)/ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Debian's packages, where they are missing (root), then the locked Python packages.
$(VENV)/ready: packaging/install-deps requirements.lock pyproject.toml
	packaging/install-deps
	test -x $(PY) || /usr/bin/python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: $(VENV)/ready
	$(VENV)/bin/uv pip compile --quiet --generate-hashes --group dev pyproject.toml -o requirements.lock --no-header --no-annotate

clean:
	rm -rf $(VENV) build dist .cache
