# Everything a developer does; each target is a line or two, the work is in scripts/.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint fast cluster-test bench clean

demo: .venv/ready  ## a cluster if there is none, the images, the chart, the aircraft example to its end
	@scripts/demo

test: lint fast cluster-test  ## everything that .ci/run runs

lint: .venv/ready  ## formatting, types, the layers of the code
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache | tail -1

fast: .venv/ready  ## the tests that need no cluster
	@$(BIN)/pytest -q -m "not cluster"

cluster-test: .venv/ready  ## the tests on a real cluster, which is started when there is none
	@scripts/cluster-test

bench: .venv/ready  ## the numbers of README's table
	@scripts/bench

clean:  ## what was built here; the cluster and the cache stay
	@rm -rf .venv dist

.venv/ready: pyproject.toml constraints.txt scripts/venv
	@PYTHON=$(PYTHON) scripts/venv && touch $@
