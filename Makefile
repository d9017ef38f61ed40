# make help shows what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-pi check install uninstall bench bench-flash bench-pi soak crash-test power-cut-test lock pictures clean
.DELETE_ON_ERROR:

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/demo.stamp  ## install the edge alone and watch it at work for 20 seconds
	@mkdir -p demo-output
	$(BIN)/maskwatch run --source demo --indicator console --seconds 20 --picture demo-output/demo.jpg

test: $(VENV)/dev.stamp  ## install all and run the tests
	$(BIN)/pytest -n 2 --dist loadfile

test-pi: $(VENV)/dev.stamp  ## install into whole Debian systems of a Pi's kinds, boot them (as root)
	$(BIN)/pytest -n 2 --dist loadscope -m pi tests/pi tests/vm

check: $(VENV)/dev.stamp  ## run the linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: python  ## install the service on this Raspberry Pi, as root; HOST=USER@HOST: over SSH; OPTIONS=--dry-run: look first
	@PYTHONPATH=edge $(PYTHON) -B -m maskwatch.cli install --from . $(OPTIONS) $(HOST)

uninstall: python  ## take it off again; OPTIONS=--purge: settings and state too
	@PYTHONPATH=edge $(PYTHON) -B -m maskwatch.cli uninstall $(OPTIONS) $(HOST)

bench: $(VENV)/demo.stamp  ## time the pipeline, the daemon's start and its memory
	$(BIN)/maskwatch bench

bench-flash: $(VENV)/dev.stamp  ## time a flash over a real sshd: to the first frame on the new model, and for 1 to 20 doors
	@$(BIN)/python tests/e2e/bench_flash.py

bench-pi: $(VENV)/demo.stamp  ## count a pass's instructions on a Pi's cores; AGAINST=FILE.tflite compares
	@$(BIN)/python tests/pi/bench_pi.py $(if $(BUNDLE),--bundle "$(BUNDLE)") $(if $(AGAINST),--against "$(AGAINST)")

pictures: $(VENV)/dev.stamp  ## draw the documentation's pictures and the door's notice anew
	$(BIN)/python docs/draw

soak: $(VENV)/demo.stamp  ## half an hour at full rate, the camera killed 50 times: memory must stay flat; MINUTES=3 KILLS=4 FPS=10
	@$(BIN)/python tests/soak/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(FPS),--fps $(FPS))

crash-test: $(VENV)/dev.stamp  ## cut the power at every step of a change of models, then kill 1,000: no door without one; KILLS=100
	@$(BIN)/python tests/crash/crash.py $(if $(KILLS),--kills $(KILLS))

power-cut-test: $(VENV)/dev.stamp  ## cut the power of a whole arm64 machine 20 times while its model is changed (as root); CUTS=5 SEED=7
	@$(BIN)/python tests/vm/power_cuts.py $(if $(CUTS),--cuts $(CUTS)) $(if $(SEED),--seed $(SEED))

lock: $(VENV)/dev.stamp  ## resolve the pinned packages anew
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml locks/build.in --extra dev -o locks/dev.txt
	$(BIN)/uv pip compile $(LOCK) -c locks/dev.txt pyproject.toml locks/build.in --extra demo -o locks/demo.txt
	$(BIN)/uv pip compile $(LOCK_PI) --python-version 3.11 -c locks/pi-bookworm.in --no-emit-package lgpio --extra pi pyproject.toml -o locks/pi-bookworm.txt
	$(BIN)/uv pip compile $(LOCK_PI) --python-version 3.13 -c locks/pi-trixie.in --no-emit-package lgpio --extra pi pyproject.toml -o locks/pi-trixie.txt
	$(BIN)/uv pip compile $(LOCK_PI) --python-version 3.11 locks/pi-lgpio.in -o locks/pi-lgpio.txt

LOCK_ANY := --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
LOCK := $(LOCK_ANY) --universal --python-version 3.11
# The hashes are those of all platforms' wheels, so the locks serve x86-64 too.
LOCK_PI := $(LOCK_ANY) --python-platform aarch64-manylinux_2_36 --only-binary :all: --no-emit-package numpy

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Maskwatch needs Python 3.11 to 3.13; name one: make PYTHON=python3.12"; exit 3; }

$(VENV)/bin/python: | python
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: locks/%.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

clean:  ## remove what make made
	rm -rf $(VENV) build demo-output soak-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
