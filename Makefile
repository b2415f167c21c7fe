# Everything is set up in .venv of this checkout. PYTHON=python3.12 chooses the interpreter.
# TORCH_INDEX=https://download.pytorch.org/whl/cpu takes torch without CUDA where the default index brings it.
SHELL := /bin/bash
TORCH := torch==2.13.0
TORCH_INDEX ?=
STUBS := tensorrt-stubs==10.13.0.35.1  # without dependencies: it asks for tensorrt itself, which only machines with a GPU get
BIN := .venv/bin
# Tests run in WORKERS processes, each file in one of them; libraries inside them use one thread.
WORKERS ?= 2
IN_PARALLEL = -n $(WORKERS) --dist loadfile
test test-long: export OMP_NUM_THREADS := 1

.PHONY: demo test test-long check bench soak docs format clean

demo: .venv/station
	$(BIN)/seisedge demo

test: .venv/developer
	$(BIN)/python -m pytest -m "not long" $(IN_PARALLEL) $(PYTEST_ARGS)

test-long: .venv/developer
	$(BIN)/python -m pytest -m long $(IN_PARALLEL) $(PYTEST_ARGS)

check: .venv/developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.generated --check

bench: .venv/developer
	$(BIN)/seisedge bench model
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python benchmarks/detection.py

soak: .venv/developer   # a day of stream time on a bad line, six times: about twenty minutes
	$(BIN)/python -m benchmarks.soak --plot docs/img/soak.png

docs: .venv/developer   # schemas and the command reference, from the code
	$(BIN)/python -m tests.generated

format: .venv/developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/python:
	@.ci/make-venv "$(PYTHON)"
	@touch $@

# What a station has: light, no torch.
.venv/station: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/developer: .venv/station
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[train,export,dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(STUBS)
	@touch $@
