# Every verb of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test containers vllm check golden format micro clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM := .venv-vllm
RUN_FILE ?= examples/micro.toml
STORE ?= store

help: ## list the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[torch,deepspeed,kubeflow,dev]'
	touch $(READY)

demo: $(READY) ## align the micro model, from prompts to report (minutes; seconds the second time)
	$(BIN)/alma run $(RUN_FILE) --store $(STORE)

test: $(READY) check ## check the code, then run the tests
	$(BIN)/pytest -n 2 --dist loadfile -m 'not containers'

containers: $(READY) ## build the images and run the micro pipeline in containers (podman; images/testing/prepare.sh)
	$(BIN)/pytest -m containers tests/containers

$(VLLM)/.ready: images/vllm/cpu.lock constraints.txt tests/tools/vllm.sh | $(READY)
	PATH="$(abspath $(BIN)):$$PATH" tests/tools/vllm.sh $(VLLM)
	touch $@

vllm: $(VLLM)/.ready ## test the vllm engine on the CPU, in a virtual environment of its own (3 GB; Debian: libnuma1)
	$(VLLM)/bin/pytest tests/engines/vllm

check: $(READY) ## lint, format, types, directions of import, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(READY) ## write the golden files anew; git diff shows what changed
	$(BIN)/pytest --quiet --regenerate-golden tests/golden tests/manifests tests/sections tests/engines/test_trl.py

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

micro: $(READY) ## rebuild the micro world's data and base model
	$(BIN)/python examples/micro/build.py

clean: ## remove what runs left (the store and caches), not the virtual environment
	rm -rf store .pytest_cache .mypy_cache .ruff_cache .hypothesis
