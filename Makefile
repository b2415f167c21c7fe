# Everything is set up in .venv of this checkout. PYTHON=python3.12 chooses the interpreter.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch without CUDA where the default index brings it.
SHELL := /bin/bash
TORCH := torch==2.13.0
TORCH_INDEX ?=
STUBS := tensorrt-stubs==10.13.0.35.1  # without dependencies: it asks for tensorrt itself, which only machines with a GPU get
BIN := .venv/bin
PIP := $(BIN)/python -m pip
PINS := .ci/constraints.txt
export ORT_DISABLE_TELEMETRY := 1  # onnxruntime sends usage data otherwise
# Tests run in WORKERS processes, each file in one of them; libraries inside them use one thread. Many of the short tests
# wait for other processes, so that three keep two cores busy.
test: WORKERS ?= 3
test-long: WORKERS ?= 2
IN_PARALLEL = -n $(WORKERS) --dist loadfile
test test-long: export OMP_NUM_THREADS := 1

.PHONY: demo test test-long fuzz check bench gpu soak docs format pins lowest package aarch64 x86-64 fresh mutants clean

demo: .venv/station
	$(BIN)/seisedge demo

test: .venv/developer
	$(BIN)/python -m pytest -m "not long" $(IN_PARALLEL) $(PYTEST_ARGS)

test-long: .venv/developer
	$(BIN)/python -m pytest -m long $(IN_PARALLEL) $(PYTEST_ARGS)

fuzz: export OMP_NUM_THREADS := 1
fuzz: .venv/developer   # ten million mutated records, and two thousand streams of them through a station: about half an hour
	$(BIN)/python -m tests.runtime.records.record_fuzz --records 10000000 --streams 2000

check: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.generated --check
	.ci/page-check

bench: .venv/developer
	$(BIN)/seisedge bench model
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python benchmarks/detection.py

gpu: .venv/developer   # on a machine with an NVIDIA card, at most eight minutes; GPU_ARGS=--dry runs it on the CPU
	$(BIN)/python benchmarks/gpu.py $(GPU_ARGS)

soak: .venv/developer   # a day of stream time on a bad line, six times: about twenty minutes
	$(BIN)/python -m benchmarks.soak --plot docs/img/soak.png

docs: .venv/developer   # schemas and the command reference, from the code
	$(BIN)/python -m tests.generated

format: .venv/developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: .venv/developer   # the versions now in .venv become those of every developer; upgrade there with pip first
	@echo '# Versions for developers, written by `make pins`; the station and users of the package are not bound by them.' > $(PINS)
	$(PIP) freeze --exclude-editable | grep -vE '^(torch|triton|tensorrt-stubs|nvidia-.*|cuda-.*)==' >> $(PINS)

# The jobs below need minutes and a network; developers run them by hand.

lowest:   # the runtime tests with the lowest versions that pyproject.toml states
	.ci/lowest "$(PYTHON)" $(PYTEST_ARGS)

package: .venv/developer   # sdist, a wheel built from it, and the demo from that wheel
	.ci/package

aarch64: .venv/developer   # a bare Arm system under emulation: bootstrap, and the same event lines; as root
	.ci/bare arm64 $(SUITE)

x86-64: .venv/developer   # the same on a bare system of this machine's kind
	.ci/bare amd64 $(SUITE)

fresh:    # demo, test and check on bare Debian systems; as root; SUITES=trixie for one of them
	.ci/fresh $(SUITES)

mutants: .venv/developer   # the share of small changes of the code that its tests notice; MODULES='estimate windows' for some
	$(BIN)/python -m tests.mutants $(MODULES)

clean:
	rm -rf .venv .venv-lowest dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/python:
	@.ci/make-venv "$(PYTHON)"
	@touch $@

# What a station has: light, no torch.
.venv/station: .venv/python pyproject.toml
	$(PIP) install --quiet --editable .
	@touch $@

# All versions but torch's are those of $(PINS): what passed its checks and tests yesterday passes them today.
.venv/developer: .venv/station $(PINS)
	$(PIP) install --quiet 'pip>=25.1'  # Debian 12 has 23, which cannot read [dependency-groups]
	$(PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) install --quiet --constraint $(PINS) --editable '.[train,export]' --group dev
	$(PIP) install --quiet --no-deps $(STUBS)
	@touch $@
