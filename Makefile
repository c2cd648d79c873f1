# Everything on a fresh machine: Python 3.11 or newer, make and git are enough.
PYTHON ?= python3
VENV ?= .venv
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
hash = $(shell cat $(1) | cksum | tr ' ' '-')
RUN_READY := $(VENV)/ready-run-$(call hash,requirements.txt)
SPARK_READY := $(VENV)/ready-spark-$(call hash,requirements.txt requirements-spark.txt)
DEV_READY := $(VENV)/ready-dev-$(call hash,requirements.txt requirements-dev.txt)

.PHONY: help run spark test test-services test-faults check fix bench messages screenshots lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

run: $(RUN_READY) ## everything on this machine; PORT, HOST, DATA_DIR, DEMO=0 change it
	@exec $(BIN)/python manage.py serve --stop-with-parent

spark: $(SPARK_READY) ## install what BATCH_ENGINE=spark needs, about 500 MB; Java 17 or newer must be there

test: $(DEV_READY) ## the test suite, embedded parts only; ARGS="-k name"
	@exec $(BIN)/python -m pytest -n 3 --dist loadgroup -m "not services" $(ARGS)

test-services: $(DEV_READY) ## the tests that need real servers, which are installed or started; ARGS="--only Redis"
	@exec $(BIN)/python -m tests.services $(ARGS)

test-faults: $(DEV_READY) ## the real processes under faults; FAULTS=500 SEED=1, ARGS="--only redis --long 6", ARGS="--profile services"
	@exec $(BIN)/python -m tests.faults $(ARGS)

check: $(DEV_READY) ## format, lint, types, migrations, settings, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@DATA_DIR=$$(mktemp -d) && export DATA_DIR && trap 'rm -rf "$$DATA_DIR"' EXIT && set -ex && \
	$(BIN)/mypy && \
	$(BIN)/python manage.py makemigrations --check --dry-run && \
	HTTPS=1 $(BIN)/python manage.py check --deploy --fail-level WARNING && \
	$(BIN)/lint-imports

fix: $(DEV_READY) ## format, and repair what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY) ## one JSON object of figures, each beside its limit; ARGS="--only NAME --profile services"
	@exec $(BIN)/python -m bench $(ARGS)

messages: $(DEV_READY) ## gather the texts of the pages into locale/, and compile the translations
	@DATA_DIR=$${DATA_DIR:-$$(mktemp -d)} DJANGO_SETTINGS_MODULE=statsproject.settings $(BIN)/python -m tests.messages

screenshots: $(DEV_READY) ## picture every page in both themes, into docs/
	@exec $(BIN)/python -m tests.browser.screenshots

lock: $(VENV)/ready ## resolve requirements*.in anew into pinned requirements*.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header requirements-spark.in -o requirements-spark.txt

clean: ## remove the virtual environment and caches; data stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment. The names of the stamps hold a checksum of the requirements, so a change installs anew.
# uv is the faster installer; where it cannot be had, pip does the same.
$(VENV)/ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Affluence needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || \
	{ echo "The virtual environment could not be made; on Debian: apt install python3-venv." >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/pip install -q --disable-pip-version-check uv==$(UV_VERSION) || \
	echo "uv cannot be had; pip installs instead." >&2
	@touch $@

install = if test -x $(BIN)/uv; then $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python $(1); \
	else $(BIN)/pip install -q --disable-pip-version-check $(1); fi

$(RUN_READY): | $(VENV)/ready
	@echo "Installing requirements.txt into $(VENV)" >&2
	@$(call install,-r requirements.txt)
	@rm -f $(VENV)/ready-run-* && touch $@

$(SPARK_READY): $(RUN_READY)
	@echo "Installing requirements-spark.txt into $(VENV)" >&2
	@$(call install,-r requirements-spark.txt)
	@rm -f $(VENV)/ready-spark-* && touch $@

$(DEV_READY): $(RUN_READY)
	@echo "Installing requirements-dev.txt into $(VENV)" >&2
	@$(call install,-r requirements-dev.txt)
	@rm -f $(VENV)/ready-dev-* && touch $@
