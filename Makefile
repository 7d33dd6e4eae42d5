# Everything from a fresh clone: `make demo` and `make test` set up first. Needs Python >= 3.10 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
# The pinned torch wants 3.11; on 3.10 the newest versions that fit are taken.
PINS := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')

KERNELS := $(wildcard binarize/kernels/CMakeLists.txt binarize/kernels/src/*)

.PHONY: setup demo test lint format docs clean

setup: $(SETUP)

# uv installs in a quarter of pip's time, where it is at hand.
$(SETUP): pyproject.toml constraints.txt $(KERNELS)
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python $(PINS) -e '.[dev]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINS) -e '.[dev]'; \
	fi
	@touch $(SETUP)

demo: setup  ## convert, train, export and evaluate cifar_resnet20 on embedded data
	@BINARIZE=$(BIN)/binarize sh benchmarks/demo.sh

# One thread each: two test processes that both wait for both cores take many times longer.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## write the generated pages and plots again
	@for page in docs/*.py; do $(BIN)/python $$page; done

clean:
	rm -rf demo build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .mypy_cache
