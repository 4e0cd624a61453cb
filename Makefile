# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
PHOTOS ?= 6000

.DEFAULT_GOAL := help
.PHONY: help setup demo app test test-slow test-browser lint docs types clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

setup: .venv/ready ## make .venv with fftag and what its tests need

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup $(DEMO)/catalog.duckdb ## make the example catalogue, train, tag, load, report
	$(BIN)/fftag evaluate $(DEMO)/model --data $(DEMO)/dataset.parquet --split test
	$(BIN)/fftag report trend --db $(DEMO)/catalog.duckdb
	$(BIN)/fftag report trend --db $(DEMO)/catalog.duckdb --format png --out $(DEMO)/trend.png
	@echo "picture of the report: $(DEMO)/trend.png"

$(DEMO)/train.csv: $(wildcard examples/*.py examples/retailer/*.py examples/retailer/*.toml) | .venv/ready
	$(BIN)/python examples/make_catalogue.py --out $(DEMO) --photos $(PHOTOS)

$(DEMO)/dataset.parquet: $(DEMO)/train.csv
	$(BIN)/fftag data import table $< --out $@ --taxonomy fashionpedia

$(DEMO)/model/SHA256SUMS: $(DEMO)/dataset.parquet train/recipes/demo.toml
	$(BIN)/fftag train demo --data $< --out $(DEMO)/model --restart

$(DEMO)/catalog.duckdb: $(DEMO)/model/SHA256SUMS
	$(BIN)/fftag tag $(DEMO)/catalogue --model $(DEMO)/model --out $(DEMO)/tags.parquet \
		--db $@ --products $(DEMO)/products.csv

app: setup $(DEMO)/catalog.duckdb ## open the example catalogue in the browser
	$(BIN)/fftag app --model $(DEMO)/model --db $(DEMO)/catalog.duckdb \
		--data $(DEMO)/dataset.parquet

test: setup ## run the tests, two at a time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: setup ## run the tests marked slow
	$(BIN)/python -m pytest -q -m slow

test-browser: setup ## run the tests in a real browser: Chromium, from your system's packages
	$(BIN)/python -m pytest -q -m browser

lint: setup ## check style, format, the order of the rooms, and that no page is stale
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

docs: setup ## write what the pages have of the code: commands, options, reports
	$(BIN)/python docs/generate.py

types: setup ## check types
	$(BIN)/mypy

clean: ## remove what demo made
	rm -rf $(DEMO)
