# geor1: two commands on a fresh machine are `make demo` and `make test`. Needs python3 >= 3.11 and make, nothing else.
.DEFAULT_GOAL := help
.PHONY: help demo test lab reproduce bench lint clean-env

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet -c constraints.txt
PROFILE ?= miniature
SEED ?=
SEEDS ?= 0 1 2
TESTS ?= tests geor1
WORKERS ?= 2

# Two busy processes spin 10 to 30 times slower otherwise (OpenMP of the torch build for CPUs).
export OMP_WAIT_POLICY := passive
export TOKENIZERS_PARALLELISM := false
# Keep freed memory: given back, it comes back zeroed a moment later, at a seventh of a training step (glibc). For
# notebooks the launcher decides.
test: export MALLOC_TRIM_THRESHOLD_ := 4294967296
test: export MALLOC_MMAP_MAX_ := 0
# Two workers with a thread each; what starts processes of its own asks for their threads itself.
test: export OMP_NUM_THREADS := 1

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## all five notebooks on the miniature profile (11 minutes on two cores), then the scores
	$(PY) -m geor1 demo --profile $(PROFILE) $(if $(SEED),--seed $(SEED))

test: $(VENV)/.installed-dev  ## the tests (TESTS=tests/test_runs.py for some of them, WORKERS=0 in one process)
	$(PY) -m pytest -n $(WORKERS) --dist loadfile $(TESTS)

lab: $(VENV)/.installed-lab  ## JupyterLab on the notebooks
	$(PY) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

reproduce: $(VENV)/.installed  ## the demo at three seeds: what README and papers/ quote (half an hour)
	$(PY) -m geor1 reproduce --profile $(PROFILE) --seeds $(SEEDS)

bench: $(VENV)/.installed  ## how fast the miniature Earth is rendered
	$(PY) -m geor1.world.bench

lint: $(VENV)/.installed-dev  ## ruff, and notebooks without outputs
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m nbstripout --keep-id --verify notebooks/*.ipynb

clean-env:  ## remove the environment
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "geor1 needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 1; }
	@echo "creating $(VENV) and installing (once, a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e ".[train,maps,eval]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	@touch $@

$(VENV)/.installed-lab: $(VENV)/.installed
	$(INSTALL) -e ".[lab]"
	@touch $@
