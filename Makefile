# `make demo` shows moonwatch at work, `make test` passes all tests. Both make what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools that come from PyPI, such as hadolint, are found by the tests as commands.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# torch comes by itself: which build of it fits depends on the machine, its version does not.
TORCH := torch==2.13.0
WORKERS ?= 2

.PHONY: demo test test-slow containers check format lock clean

demo: $(VENV)/demo
	rm -rf out/demo
	$(BIN)/moonwatch run configs/demo.yaml --record out/demo/tracks.jsonl
	$(BIN)/moonwatch render configs/demo.yaml --tracks out/demo/tracks.jsonl --out out/demo/annotated.mp4
	@ls -l out/demo/annotated.mp4 out/demo/events.jsonl

test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

# What takes minutes: thousands of random mixes, processes killed again and again.
test-slow: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow and not containers"

# The images of the Dockerfile, built and run with podman: needs root and what the script names.
containers: $(VENV)/dev
	deploy/containers/standins.sh
	$(BIN)/python deploy/containers/trial.py

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The exact versions that everything was tested with, read off fresh environments: core and gpu are
# the container images. What torch brings depends on the machine and comes with it.
lock:
	for set in core demo gpu dev; do \
	  case $$set in \
	    core) what=".[postgresql]" ;; \
	    demo) what=".[render]" ;; \
	    gpu) what="$(TORCH) .[postgresql,moondream]" ;; \
	    dev) what="$(TORCH) .[render,moondream,postgresql] -r requirements/dev.in" ;; \
	  esac; \
	  rm -rf build/lock && $(PYTHON) -m venv build/lock && \
	  build/lock/bin/pip install -q $$what && \
	  { echo "# Made by \`make lock\`."; build/lock/bin/pip freeze --exclude moonwatch --exclude torch; } \
	    | grep -vE '^(moonwatch|nvidia-|cuda-|triton)' > requirements/$$set.txt || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements/demo.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check $(TORCH)
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements/dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@
