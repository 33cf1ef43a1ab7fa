# Every target makes what it needs; `make run` and `make test` work right after a clone.
# Needs Debian's python3 and python3-venv (or any Python from 3.11 on: make PYTHON=python3.13 run).

PYTHON ?= $(shell test -x /usr/bin/python3 && echo /usr/bin/python3 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
# The tests of one file stay together: they share what is slow to make.
WORKERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.run: pyproject.toml requirements/run.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "pypicached needs Python 3.11 or newer: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "no virtual environment: apt install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(BIN)/.dev: $(BIN)/.run requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

.PHONY: run
run: $(BIN)/.run ## Run the daemon in the foreground (ARGS="--listen 127.0.0.1:4000" …)
	@$(BIN)/pypicached serve $(ARGS)

.PHONY: test
test: $(BIN)/.dev ## Run the whole test suite (ARGS="-k rule_18" …)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --max-worker-restart 3 $(ARGS)

.PHONY: check
check: $(BIN)/.dev ## Lint, format check, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: $(BIN)/.dev ## Format, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(BIN)/.dev ## Measure: beside the peers, resolving, huge pages, an outage, a million files (QUICK=1: smaller)
	$(BIN)/python -m bench.wire $(if $(QUICK),--quick) $(ARGS)
	$(BIN)/python -m bench.resolve $(if $(QUICK),--rounds 1)
	$(BIN)/python -m bench.pages
	$(BIN)/python -m bench.stale
	$(BIN)/python -m bench.warm $(if $(QUICK),--rounds 1)
	$(BIN)/python -m bench.scale $(if $(QUICK),--quick)
	$(BIN)/python -m bench.chain $(if $(QUICK),--rounds 1)
	$(BIN)/python -m bench.fleet $(if $(QUICK),--quick)

.PHONY: rehearse
rehearse: $(BIN)/.dev ## Play outages and show what pip and uv got (QUICK=1: a few, uv alone)
	$(BIN)/python -m bench.rehearse $(if $(QUICK),--quick) $(ARGS)

.PHONY: test-live
test-live: $(BIN)/.dev ## Install from the real PyPI through the daemon
	PYPICACHED_LIVE=1 $(BIN)/python -m pytest -q tests/live $(ARGS)

ROUNDS ?= 500

.PHONY: soak
soak: $(BIN)/.dev ## Kill a busy daemon again and again and look for damage (ROUNDS=500 SEED=…)
	@$(BIN)/python -m tests.crash.soak --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

SECONDS ?= 600

.PHONY: fuzz
fuzz: $(BIN)/.dev ## Mutated bytes at both sides of a daemon (SECONDS=600 SEED=… SIDE=… BATCH=…)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) \
		$(if $(SIDE),--side $(SIDE)) $(if $(BATCH),--batch $(BATCH))

# What Debian 12 ships, and one of 2023; the newest is the environment's own.
OLD_PIPS := 23.0.1 23.3.2
CLIENT_TESTS := $(addprefix tests/e2e/test_,$(addsuffix .py,pip fast_deps resume poetry pdm pipenv))

.PHONY: test-clients
test-clients: $(BIN)/.dev ## Install with Poetry, PDM, Pipenv and older pips (fetches them)
	$(BIN)/python -m tests.e2e.tools $(OLD_PIPS)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(CLIENT_TESTS) $(ARGS)
	@for version in $(OLD_PIPS); do echo "pip $$version"; \
		PYPICACHED_TEST_PIP=$(CURDIR)/.clients/pip-$$version \
			$(BIN)/python -m pytest -q tests/e2e/test_pip.py tests/e2e/test_fast_deps.py $(ARGS) \
			|| exit 1; done

.PHONY: test-s3
test-s3: $(BIN)/.dev ## Try buckets in Ceph's RADOS gateway: faults, rights, 2 GiB (radosgw ceph-mon ceph-osd)
	PYPICACHED_TEST_CEPH=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m ceph tests $(ARGS)

.PHONY: deb
deb: ## Build the Debian packages into dist/ (SUITE=trixie WHEELS=folder)
	@/usr/bin/python3 packaging/build_deb.py $(if $(SUITE),--suite $(SUITE)) $(if $(WHEELS),--wheels $(WHEELS))

.PHONY: debian-wheels
debian-wheels: $(BIN)/.dev ## Write requirements/debian.txt, the wheels of the package, from run.txt
	$(BIN)/python packaging/wheels.py lock
	$(BIN)/python packaging/wheels.py check

.PHONY: test-deb
test-deb: $(BIN)/.dev deb ## Try the Debian packages in a booted Debian, as root (SUITE=trixie ARGS="-k purge" …)
	PYPICACHED_TEST_DEB=$(CURDIR)/dist $(if $(SUITE),PYPICACHED_TEST_SUITE=$(SUITE)) \
		$(BIN)/python -m pytest -q tests/deb $(ARGS)

.PHONY: clean
clean: ## Remove what the targets made
	rm -rf $(VENV) .clients .peers build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
