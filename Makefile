# tiltlm: `make demo` runs the article's experiment, `make test` passes the tests.
# Each target sets up .venv itself when it is not there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PEOPLE := .venv-people
READY  := $(VENV)/.ready

# Tests run side by side, each on one thread: torch's threads would wait for each other.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest
TESTS  := $(PYTEST) -n auto --maxprocesses 4 --dist worksteal

# Huge pages for torch's tensors: on machines where page walks are slow, several times as fast.
export THP_MEM_ALLOC_ENABLE ?= 1

ENGINES := .engines

# bitsandbytes lies apart: where it is installed peft imports it, which takes each process a second and a half.
ROUNDED := .rounded

# For the machine's own processor the build ended in "illegal instruction" on virtual machines with AMX.
LLAMA := CMAKE_ARGS="-DGGML_NATIVE=OFF" CMAKE_BUILD_PARALLEL_LEVEL=1

.PHONY: help setup setup-people lock lock-people demo test test-all test-people lint test-emulated bench engines test-engines docs notebooks package clean test-rounded

help:
	@echo "make demo      run the article's experiment (40 to 90 seconds on two cores), then open the page it names"
	@echo "make lint      ruff, its formatting, mypy --strict, and the contracts between packages"
	@echo "make test      lint, the tests, and some of them on a device that refuses what CUDA would"
	@echo "make test-all  the same with the slow tests"
	@echo "make test-rounded  the tests of weights that bitsandbytes rounds; make test-all has them too"
	@echo "make bench     benchmarks, as ratios against named baselines"
	@echo "make docs      the documentation site, in site/"
	@echo "make package   the wheel, tried out in an empty environment"
	@echo "make test-people  the tests of page, notebooks and documentation"
	@echo "make engines   .engines with vLLM and llama.cpp (on the processor; some ten minutes)"
	@echo "make test-engines  serve SmolLM2 by both and verify it"
	@echo "make setup     .venv with everything; make setup-people: .venv-people with page and notebooks"
	@echo "make lock      constraints.txt anew, from what .venv has"
	@echo "make clean     remove .venv, caches and build files"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(READY)

setup-people: $(PEOPLE)/.ready

$(PEOPLE)/.ready: pyproject.toml constraints-people.txt
	test -x $(PEOPLE)/bin/python || $(PYTHON) -m venv $(PEOPLE)
	$(PEOPLE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-people.txt "torch"
	$(PEOPLE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-people.txt -e ".[dev,ui,ui-dev,docs,notebooks]"
	touch $(PEOPLE)/.ready

lock-people: $(PEOPLE)/.ready
	$(PEOPLE)/bin/python -m tests.dependencies people > constraints.new
	mv constraints.new constraints-people.txt

notebooks: $(PEOPLE)/.ready
	$(PEOPLE)/bin/python -m tests.notebooks

docs: $(PEOPLE)/.ready
	$(PEOPLE)/bin/python -m tests.reference_pages
	NO_MKDOCS_2_WARNING=1 $(PEOPLE)/bin/python -m mkdocs build --strict

test-people: $(PEOPLE)/.ready
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PEOPLE)/bin/python -m pytest tests/web tests/report tests/test_docs.py tests/test_notebooks.py

package: $(READY)
	$(PYTHON) -m tests.packaging

lock: $(READY)
	$(BIN)/python -m tests.dependencies > constraints.new
	mv constraints.new constraints.txt

demo: $(READY)
	$(BIN)/tiltlm demo

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

# Mypy looks at everything on one core, while the other has something to do as well. Make 3.81, which
# Macs have, prints what both say as it comes.
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
LOOK := $(MAKE) --no-print-directory --jobs=2 $(SYNC) lint test-emulated

test: $(READY)
	$(LOOK)
	$(TESTS) -m "not slow"

test-all: test-rounded
	$(LOOK)
	$(TESTS)

# What touches models goes through once more with them on a device that refuses what CUDA would.
test-emulated: $(READY)
	$(PYTEST) --device emulated -m "not slow" tests/models/test_sampling.py \
		tests/measures/test_effects.py tests/measures/test_generation.py \
		tests/auditing/test_strata.py tests/realise/test_saving.py

test-rounded: $(READY)
	test -d $(ROUNDED)/bitsandbytes || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --target $(ROUNDED) "bitsandbytes==0.50.2"
	PYTHONPATH=$(ROUNDED) HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/models/test_rounded_weights.py

bench: $(READY)
	for name in loss step sampling startup shift; do \
	  HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.speed.$$name || exit 1; \
	done

engines: $(ENGINES)/.ready

$(ENGINES)/.ready: pyproject.toml requirements-engines.txt
	test -x $(ENGINES)/bin/python || $(PYTHON) -m venv $(ENGINES)
	$(LLAMA) $(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		-r requirements-engines.txt
	$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(ENGINES)/.ready

test-engines: engines
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(ENGINES)/bin/python -m pytest -m engines tests/engines

clean:
	rm -rf $(VENV) $(PEOPLE) $(ENGINES) $(ROUNDED) build dist site .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
	rm -rf src/*.egg-info
