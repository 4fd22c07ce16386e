# Every target sets up .venv from requirements.lock first, when it is missing, or that file or pyproject.toml has changed.
PYTHON := $(or $(shell command -v python3),python3)
READY := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
PIP := .venv/bin/python -m pip --quiet --log .venv/pip.log install --disable-pip-version-check --no-compile \
  --progress-bar $(if $(MAKE_TERMOUT),on,off)
# Snakemake with the terminal output of workflow/snakemake_logger_plugin_stages
RUN := PYTHONPATH="$(CURDIR)/workflow$${PYTHONPATH:+:$$PYTHONPATH}" snakemake report --logger stages
# pip leaves the compiling to the first import of each module, which must then be able to keep what it compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup report test coverage faults lint docs bench paper reference ui

setup: $(READY) ## .venv alone, in which `superres upscale photo.png` works at once

report: $(READY) ## the pipeline, to results/report/index.html
	@python -m pipeline_src preset check
	@$(RUN)

test: $(READY) ## slow files first, as tests/conftest.py puts them, not those of the most tests
	pytest -n auto --dist loadfile --no-loadscope-reorder

coverage: $(READY) ## the tests, and which lines of the package none of them runs
	PYTEST_ADDOPTS="--cov --cov-report=term:skip-covered" $(MAKE) test

CASES := 200
KILLS := 1
LAUNCHERS := 4
SEED := 1
faults: $(READY) ## damaged files, kills and small limits, and how each case ended: docs/reliability.md
	SR_FAULTS=$(CASES) pytest -q -n auto tests/faults
	python tests/faults/campaign.py --cases $(CASES) --kills $(KILLS) --launchers $(LAUNCHERS) --seed $(SEED)

.PHONY: scaling scaling-test slurm-test
SCALING := .venv/.scaling
scaling: $(SCALING) ## .venv for Slurm, DVC remotes and a tracking server: docs/scaling.md

scaling-test: $(SCALING) ## servers on loopback, and the pipeline on them: docs/scaling.md
	.ci/servers
	SR_SCALING=yes pytest -ra -o faulthandler_timeout=1800 tests/scaling

slurm-test: $(SCALING) ## the part of it that starts a Slurm
	.ci/servers
	SR_SCALING=yes pytest -ra -o faulthandler_timeout=1800 tests/scaling/test_slurm.py

lint: $(READY)
	ruff check . && ruff format --check . && mypy && lint-imports && deptry . && snakemake --lint
	python workflow/code_deps.py --check && python -m pipeline_src.config.reference --check

.PHONY: lock-check
lock-check: $(READY) ## whether dvc.lock is of a run of this code; not so between a change and its results
	python workflow/lock_check.py

docs: $(READY) ## the pages of docs/ and the API, to site/index.html
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

bench: $(READY) ## side-by-side speed measurements
	for script in benchmarks/*.py; do \
	  PYTHONPATH=workflow:tests:tests/pipeline:tests/reporting:tests/scaling python "$$script" || exit 1; done

paper: $(READY) ## the published lengths, on sets that it downloads: days on a GPU
	python -m pipeline_src preset add paper
	@python -m pipeline_src preset check
	@$(RUN)

reference: $(READY) ## the trainings of pipeline_src/pretrained/; SR_DATA_MIRROR must name a folder that holds General100/HR
	python -m pipeline_src preset add reference
	@python -m pipeline_src preset check
	@$(RUN)

ui: $(READY) ## what MLflow remembers, in the browser
	mlflow ui --workers 1 --host 127.0.0.1 --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}"

# The stamp is written last. Without it a set-up was cut short, and what it left is not to be trusted.
$(READY): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; v = sys.version.split()[0]; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else \
	  f"error: python3 is {v}, and the pipeline needs Python 3.11, 3.12 or 3.13; add PYTHON=python3.13, or the like, to make")'
	@echo "setting up .venv from requirements.lock; what pip does is in .venv/pip.log"
	@test -e $@ || "$(PYTHON)" -m venv --clear .venv
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(SCALING): $(READY) workflow/envs/scaling.lock
	@$(PIP) -r workflow/envs/scaling.lock -c requirements.lock
	@touch $@
