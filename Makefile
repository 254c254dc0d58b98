# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MMRAG := $(BIN)/mmrag
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check eval bench clean

demo: $(VENV)/demo.stamp ## install mmrag, index examples/corpus, ask four questions
	$(MMRAG) sync examples/corpus
	$(MMRAG) ask examples/corpus "How long is the warranty on the Larkwind 150?" --evidence evidence/text
	$(MMRAG) ask examples/corpus "What does error code E07 mean?" --evidence evidence/table
	$(MMRAG) ask examples/corpus "To how many years was the warranty on the supply fan extended?" --evidence evidence/scan
	$(MMRAG) ask examples/corpus "How much current may the alarm relay carry?" --evidence evidence/diagram
	@echo "Open evidence/*/index.html to see each quote marked on its page."

test: $(VENV)/test.stamp ## install what the tests need and run them
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/test.stamp ## lint, types, import contracts, recipes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MMRAG) recipe check

eval: $(VENV)/demo.stamp ## score the example questions
	$(MMRAG) eval examples/corpus --questions examples/questions.jsonl

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) '.[ocr,media]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) build dist examples/corpus/.mmrag evidence
