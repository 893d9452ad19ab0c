# Every verb of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo fast test models containers vllm gpu campaign check golden format micro clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM := .venv-vllm
HARNESS := .venv-harness
# Left out of `make fast`: what loads models, compiles, renders manifests, or starts processes by the dozen.
SLOW := $(addprefix tests/,benchmarks campaign cli containers images manifests pipelines running) \
	$(filter-out %/test_echo.py %/test_feed.py,$(wildcard tests/engines/*)) \
	tests/stages/test_evaluate.py tests/stages/test_imitate.py tests/stages/test_too_long.py tests/chat/test_process.py
RUN_FILE ?= examples/micro.toml
STORE ?= store
CAMPAIGN ?= 20
JOBS ?= 2
SEED ?= 0

help: ## list the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[torch,deepspeed,kubeflow,dev]'
	touch $(READY)

demo: $(READY) ## align the micro model, from prompts to report (minutes; seconds the second time)
	$(BIN)/alma run $(RUN_FILE) --store $(STORE)

fast: $(READY) ## the loop of a developer, a minute: directions of import, and the tests that need no model, both recipes among them
	$(BIN)/lint-imports
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m 'not slow' $(SLOW:%=--ignore=%)

test: $(READY) check ## check the code, then run the tests
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m 'not containers'

models: $(READY) ## compare every engine with plain transformers on a hundred architectures (half an hour)
	$(BIN)/pytest -n $(JOBS) --dist loadscope --every-architecture tests/engines/models tests/engines/probe

containers: $(READY) ## build the images and run the micro pipeline in containers (podman; images/testing/prepare.sh)
	$(BIN)/pytest -m containers tests/containers

$(VLLM)/.ready: images/vllm/cpu.lock constraints.txt tests/tools/vllm.sh | $(READY)
	PATH="$(abspath $(BIN)):$$PATH" tests/tools/vllm.sh $(VLLM)
	touch $@

vllm: $(VLLM)/.ready ## test the vllm engine on the CPU, in a virtual environment of its own (3 GB; Debian: libnuma1)
	$(VLLM)/bin/pytest -m vllm tests/engines/vllm tests/benchmarks tests/stages/test_imitate.py

$(HARNESS)/.ready: images/harness/cpu.lock tests/tools/harness.sh | $(READY)
	PATH="$(abspath $(BIN)):$$PATH" tests/tools/harness.sh $(HARNESS) $(VENV)
	touch $@

harness: $(HARNESS)/.ready ## test exams by lm-eval, in a virtual environment before the usual one (125 MB)
	$(HARNESS)/bin/python -m pytest -m harness tests/engines/lm_eval tests/stages/test_examine.py tests/running/test_exams.py

gpu: $(READY) ## test that a GPU computes what the CPU computes, on a machine that has one (torch with CUDA)
	$(BIN)/pytest -m gpu tests/engines

campaign: $(READY) ## kills, store faults and hostile inputs, CAMPAIGN times as many as the tests try, drawn from SEED (hours)
	$(BIN)/pytest --campaign-size $(CAMPAIGN) --campaign-seed $(SEED) --timeout 36000 tests/campaign

check: $(READY) ## lint, format, types, directions of import, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(READY) ## write the golden files anew; git diff shows what changed
	$(BIN)/pytest --quiet --regenerate-golden tests/golden tests/manifests tests/sections tests/engines/test_trl.py \
		tests/engines/models/test_page.py

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

micro: $(READY) ## rebuild the micro world's data and base model
	$(BIN)/python examples/micro/build.py

clean: ## remove what runs left (the store and caches), not the virtual environment
	rm -rf store .pytest_cache .mypy_cache .ruff_cache .hypothesis
