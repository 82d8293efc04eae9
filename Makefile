# Every target makes its own .venv when there is none; python3 >= 3.11 and make are all it needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO_ARGS ?=
RELEASE_ARGS ?=
LOWEST_ARGS ?=
PIP_ARGS ?=

.PHONY: help demo test lint types floors unit fuzz mutate bench gpu real soak docs release lowest format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    run the whole job on real data: places, cells, training, table, pictures"
	@echo "make test    ruff, mypy, import-linter, pytest"
	@echo "make fuzz    damage files and read them, SECONDS=600 for each kind of reader"
	@echo "make mutate  break grids, moments and assign one place at a time, SECONDS=600 each; tests must notice"
	@echo "make bench   print the speed table: cells by us and by other engines, in one run"
	@echo "make gpu     measure training on this machine's graphics card, and run the tests that need one"
	@echo "make real    measure answers on real photos, PHOTOS=photos.npz, held out by place and by block"
	@echo "make soak    send geoloc serve 1 000 good, broken, huge and hostile uploads"
	@echo "make docs    build the documentation into docs/_build/html"
	@echo "make release build sdist and wheel, try the wheel on each Python from 3.11 that is here, and the demo on one"
	@echo "make lowest  run the tests of geocells with the lowest releases it allows, on Python 3.11"
	@echo "make format  sort imports, format the code"
	@echo "make clean   remove caches and builds (keeps $(VENV))"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# Two stamps: the demo needs less than the tests. A change of pyproject.toml installs again.
$(VENV)/.demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[models,plot,demo]'
	@touch $@

$(VENV)/.dev-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[dev]'
	@touch $@ $(VENV)/.demo-installed

demo: $(VENV)/.demo-installed
	$(BIN)/geoloc demo $(DEMO_ARGS)

test: lint types floors unit

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev-installed
	$(BIN)/mypy

floors: $(VENV)/.dev-installed
	$(BIN)/lint-imports

unit: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 2

SECONDS ?= 600
fuzz: $(VENV)/.dev-installed
	for target in tables cells photos bundles; do \
		$(BIN)/python -m tests.fuzz $$target --seconds $(SECONDS) || failed=1; \
	done; test -z "$$failed"

mutate: $(VENV)/.dev-installed
	for target in grids moments assign; do \
		$(BIN)/python -m tests.mutation $$target --seconds $(SECONDS) || exit 1; \
	done

bench: $(VENV)/.dev-installed
	$(BIN)/python -m tests.benchmarks

GPU_ARGS ?=
gpu: $(VENV)/.dev-installed
	$(BIN)/python -m tests.gpu $(GPU_ARGS)
	GEOLOC_TEST_GPU=1 $(BIN)/python -m pytest -m gpu tests/gpu

PHOTOS ?= ../shared/real/photos.npz
real: $(VENV)/.dev-installed
	$(BIN)/python examples/real_photos.py $(PHOTOS)

soak: $(VENV)/.dev-installed
	$(BIN)/python -m tests.soak.serve

docs: $(VENV)/.dev-installed
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

release: $(VENV)/.dev-installed
	$(BIN)/python tests/release/build_and_try.py $(RELEASE_ARGS)

lowest: $(VENV)/.dev-installed
	$(BIN)/python tests/release/try_lowest.py $(LOWEST_ARGS)

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf dist docs/_build docs/gallery docs/generated docs/tutorials/runs docs/tutorials/__pycache__ .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find geocells geoloc_models tests -name __pycache__ -type d -prune -exec rm -rf {} +
