# The few words to remember. Each sets up what it needs first; a second time that takes no time.
.DEFAULT_GOAL := help
.PHONY: help run test check fix bench simulate dashboards

# Two workers: the suite waits more than it computes. `make test WORKERS=0` runs it in one process.
WORKERS ?= 2
PYTEST = .venv/bin/python -m pytest --durations=15
ifneq ($(WORKERS),0)
PYTEST += -n $(WORKERS) --dist worksteal
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## a local chain with sample contracts and traffic, a database, and the indexer on it (ARGS="--help")
	@scripts/setup
	@.venv/bin/indexer dev $(ARGS)

test: ## every static check, then the whole test suite (ARGS="tests/unit -k name")
	@scripts/setup tests
	@scripts/lint
	@$(PYTEST) $(ARGS)

check: ## every static check
	@scripts/setup tests
	@scripts/lint

fix: ## format the code and mend what ruff can mend
	@scripts/setup
	@.venv/bin/ruff check --fix --quiet
	@.venv/bin/ruff format

bench: ## throughput of a backfill, beside the floor that the database sets (ARGS="--help")
	@scripts/setup
	@.venv/bin/python -m bench $(ARGS)

dashboards: ## write the Grafana dashboards anew from their code (dashboards/)
	@scripts/setup
	@.venv/bin/python -m dashboards

# What a seed chooses, and how long it takes: docs/simulation.md.
SEEDS ?= 200
FIRST ?= 1

simulate: ## the program against a chain, a node and a database that misbehave (SEEDS=200 FIRST=1 ARGS="--help")
	@scripts/setup tests
	@.venv/bin/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST) $(ARGS)
