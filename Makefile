# Everything from a fresh clone: `make demo` and `make test` set up first. Needs Python >= 3.10 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
# The pinned torch wants 3.11; on 3.10 the newest versions that fit are taken.
PINS := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')

KERNELS := $(wildcard binarize/kernels/CMakeLists.txt binarize/kernels/src/*)

.PHONY: setup demo test quick fuzz mutants lint format docs clean

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

# One thread each: two test processes that both wait for both cores take many times longer. Compiled test
# modules are kept whatever the environment says: most tests take less time than compiling them.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

test: setup lint
	$(PYTEST) -n 2 --dist worksteal

# The tests that check most for their time, in one process. Kernels, exports, trainings: make test.
QUICK := \
  tests/estimators \
  tests/recipe \
  tests/test_packing.py tests/test_error_kinds.py tests/test_public_face.py \
  tests/layers/test_binary_weight.py tests/layers/test_block.py tests/layers/test_estimator_in_layer.py \
  tests/layers/test_input_binarizers.py tests/layers/test_scales.py tests/rewrite/test_surgery_relu.py \
  tests/export/test_binary_ops.py tests/export/test_fuse_outputs.py tests/export/test_pack_activations.py \
  tests/models/test_model_names.py tests/compare/test_compare_variants.py \
  tests/cli/test_help.py tests/cli/test_render.py

quick: setup  ## ruff and a choice of the tests, for every change
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) -q -p no:xdist -m "not slow" $(QUICK)

fuzz: setup  ## every fuzzer at its full length; NAMES="recipes --first 700" for a part of one
	nice -n 10 $(BIN)/python tests/fuzz/run.py $(NAMES)

mutants: setup  ## changes the code and asks whether the tests see it; hours, resumable
	@nice -n 10 $(BIN)/python benchmarks/mutants.py

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
