# Everything here runs on a fresh clone: local/bootstrap makes .venv first. `make` alone lists what there is.

bin := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run ps shell audit test test-long fuzz chaos bench lint lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the platform here, in the foreground (PORT=3000 DATA_DIR=.data ADMIN_EMAIL= ADMIN_PASSWORD=)
	@local/bootstrap local
	@exec $(bin)/python -m local run --under-make

ps: | $(bin)/python ## List the processes of the running platform
	@$(bin)/python -m local ps

shell: | $(bin)/python ## Open nameko shell on the running platform
	@$(bin)/python -m local shell

audit: | $(bin)/python ## Check the invariants of the running platform (fails when one is breached)
	@$(bin)/python -m local audit

# Two workers, each with a stack of its own; the long e2e tests come first. In sequence: ARGS="-n 0".
test: lint ## Check the code, then run every test on servers of its own (ARGS= for pytest)
	@$(bin)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: lint ## Run the long races and property tests (minutes; ARGS= for pytest)
	@$(bin)/python -m pytest -m long $(ARGS)

fuzz: lint ## Look for undocumented answers with Schemathesis (FUZZ_SECONDS=300 each for breadth and depth)
	@$(bin)/python -m pytest -m long -s tests/e2e/test_fuzz.py $(ARGS)

chaos: lint ## Strike a stack of its own under load and check what it promised (ARGS="--faults 100 --seed 1")
	@local/bootstrap chaos
	@$(bin)/python -m tests.chaos $(ARGS)

bench: ## Measure speed and cost on a stack of its own (ARGS=--help tells of parts, --long and profiles)
	@local/bootstrap bench
	@$(bin)/python -m bench $(ARGS)

lint: ## Check style, types and who imports whom
	@local/bootstrap lint
	@$(bin)/ruff check --quiet .
	@$(bin)/ruff format --check --quiet .
	@$(bin)/mypy
	@$(bin)/lint-imports

lock: ## Compile requirements/*.in again (ARGS=--upgrade for newer versions)
	@local/bootstrap lint
	@cd requirements && for set in lint $(filter-out lint nameko,$(basename $(notdir $(wildcard requirements/*.in)))); do \
		echo "requirements/$$set.txt"; \
		../$(bin)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --universal \
			--custom-compile-command "make lock" $$set.in $$( [ $$set = lint ] || echo -c lint.txt ) \
			-o $$set.txt $(ARGS) || exit; \
	done

$(bin)/python:
	@echo "Nothing is installed yet: make run installs what is missing." >&2; exit 1
