# What a person types. Every target first brings .venv up to date; where it is, that is silent and costs nothing.

.DEFAULT_GOAL := help
.PHONY: help setup browser docs demo test check format tables clean
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
WORKERS ?= 2

# Where bpf(2) works, a kernel test that is skipped is a failure.
BPF_WORKS = $(BIN)/python -c 'from bpfsmith.kernel import probe; print(int(isinstance(probe.can_bpf(), probe.Available)))'

help:  ## this list
	@awk -F ':.*## +' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY)  ## install what is missing: .venv with the pinned packages; as root also Debian's iproute2, qemu, ..
	@:

$(READY): pyproject.toml requirements.lock tools/setup.sh
	@tools/setup.sh
	@touch $@

browser: setup  ## Debian's chromium, for the tests of the report page (as root; 90 MB)
	@command -v chromium >/dev/null || { apt-get install -y -qq --no-install-recommends chromium || \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }; } >/dev/null 2>&1 </dev/null

docs: setup  ## the documentation as a site in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo build/site/index.html

demo: setup  ## compile, prove, load and run a shipped example
	@$(BIN)/bpfsmith demo

test: check  ## everything: make check, then all test suites (WORKERS=2)
	@BPFSMITH_REQUIRE_KERNEL=$${BPFSMITH_REQUIRE_KERNEL:-$$($(BPF_WORKS))} $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

# mypy without its cache, which keeps an error about a submodule that has been added since.
check: setup  ## formatting, lint, layers, types, generated files
	@$(BIN)/ruff format --check --quiet || { echo "ruff: not formatted; run make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet
	@said=$$($(BIN)/lint-imports 2>&1) || { echo "$$said" >&2; exit 1; }
	@$(BIN)/mypy --no-incremental --no-error-summary
	@$(BIN)/python -m tools.generate --check

format: setup  ## format, and fix what the linter can
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

# The tables that the headers come from change only with the kernel's: $(BIN)/python tools/gen_tables.py [/path/to/linux/bpf.h]
tables: setup  ## write the generated C headers anew
	@$(BIN)/python -m tools.generate

clean:  ## back to a fresh clone: no .venv, caches or built packages
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
