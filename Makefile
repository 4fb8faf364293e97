SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(VENV)/bin/pip install --quiet --quiet --disable-pip-version-check
# The pvc that the demo, the lab and the benchmark run; PVC=dist/pvc is the one file, built when needed.
PVC ?= $(VENV)/bin/pvc
FROZEN := $(filter dist/pvc,$(PVC))
# What the one file is made of.
SOURCES := $(shell find pvc packaging -type f -not -path '*/__pycache__/*')

.PHONY: run demo lab lab-down test test-lab check lint real bench dist deb reference fmt lock clean

# This machine, standalone, with /etc/pvc/pvc.toml where there is one.
run: $(VENV)/ready
	$(VENV)/bin/pvc serve

# KEEP=1 leaves it running.
demo: $(VENV)/ready $(FROZEN)
	@$(PY) -m tests.demo --pvc $(PVC)

# A cluster on this machine: three nodes, two servers, ZooKeeper and Ceph. Says how to reach it.
lab: $(VENV)/ready $(FROZEN)
	@$(PY) -m tests.lab up --pvc $(PVC)

lab-down: $(VENV)/ready
	@$(PY) -m tests.lab down

# Everything: style and types, the demo with the one file, then every test: first what needs no service, then all else.
test: lint dist deb
	$(PY) -m tests.demo --pvc dist/pvc
	$(PY) -m pytest -m "not real" tests
	$(PY) -m pytest -m real tests

# Within a minute or two, without any service: style, types, import direction, unit and contract suites.
check: lint
	$(PY) -m pytest -m "not real"

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Only what needs real ZooKeeper, Ceph, libvirt or QEMU.
real: $(VENV)/ready
	$(PY) -m pytest -m real --ignore=tests/frozen --ignore=tests/package tests

# Only the tests of the cluster.
test-lab: $(VENV)/ready
	$(PY) -m pytest -m lab tests

# Side by side with cat, qemu-img and virsh. BENCH_MIB and BENCH_ROUNDS make it smaller.
bench: $(VENV)/ready $(FROZEN)
	@$(PY) -m tests.bench --pvc $(PVC)

dist: dist/pvc

dist/pvc: $(VENV)/ready $(SOURCES)
	packaging/freeze

# The Debian package, from what "make dist" made.
deb: dist
	packaging/deb

# docs/commands.md, from the commands' own declarations.
reference: $(VENV)/ready
	$(PY) packaging/reference.py markdown >docs/commands.md

fmt: $(VENV)/ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Debian's packages, where some are missing (needs root then), and the locked Python packages.
$(VENV)/ready: packaging/install-deps packaging/link-ceph requirements.lock pyproject.toml
	@packaging/install-deps
	@test -x $(PY) || /usr/bin/python3 -m venv $(VENV)
	@echo "Installing Python packages into $(VENV)"
	@$(PIP) --require-hashes -r requirements.lock
	@packaging/link-ceph $(PY)
	@$(PIP) --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

lock: $(VENV)/ready
	$(VENV)/bin/uv pip compile --quiet --generate-hashes --group dev pyproject.toml -o requirements.lock --no-header --no-annotate

clean:
	rm -rf $(VENV) build dist .cache
