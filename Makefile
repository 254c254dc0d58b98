# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check eval bench clean

demo: $(VENV)/demo.stamp ## install mmrag, index examples/corpus, ask four questions
	$(BIN)/python examples/demo.py

test: $(VENV)/test.stamp ## install what the tests need and run them
	$(BIN)/python -m pytest

check: $(VENV)/test.stamp ## lint, types, import contracts, recipes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mmrag recipe check

eval: $(VENV)/demo.stamp ## score the example questions
	$(BIN)/mmrag eval examples/corpus --questions examples/questions.jsonl

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) '.[ocr]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) build dist examples/corpus/.mmrag evidence
