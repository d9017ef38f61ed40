# make help shows what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check bench bench-pi lock clean
.DELETE_ON_ERROR:

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/demo.stamp  ## install the edge alone and watch it at work for 20 seconds
	@mkdir -p demo-output
	$(BIN)/maskwatch run --source demo --indicator console --seconds 20 --picture demo-output/demo.jpg

test: $(VENV)/dev.stamp  ## install all and run the tests
	$(BIN)/pytest -n 2 --dist loadfile

check: $(VENV)/dev.stamp  ## run the linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/demo.stamp  ## time the pipeline, the daemon's start and its memory
	$(BIN)/maskwatch bench

bench-pi: $(VENV)/demo.stamp  ## count a pass's instructions on a Pi's cores; AGAINST=FILE.tflite compares
	@$(BIN)/python tests/pi/bench_pi.py $(if $(BUNDLE),--bundle "$(BUNDLE)") $(if $(AGAINST),--against "$(AGAINST)")

lock: $(VENV)/dev.stamp  ## resolve the pinned packages anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml locks/build.in --extra dev -o locks/dev.txt
	$(BIN)/uv pip compile $(LOCK) -c locks/dev.txt pyproject.toml locks/build.in --extra demo -o locks/demo.txt

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Maskwatch needs Python 3.11 to 3.13; name one: make PYTHON=python3.12"; exit 3; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: locks/%.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:  ## remove what make made
	rm -rf $(VENV) build demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
