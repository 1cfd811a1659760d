PYTHON ?= python3
PYTEST_ARGS ?=
# Some tests wait for other processes, so one more than two cores; each needs about 2 GB of memory.
TEST_PROCESSES ?= 3
# Memory that glibc gives back to the system after each tensor costs an eighth of the processor time.
KEEP_MEMORY := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864
# Bytecode is written even where the environment says not to: pytest prepares each test file anew without it.
TEST = PYTHONDONTWRITEBYTECODE= $(KEEP_MEMORY) $(VENV_PYTHON) -m pytest -n $(TEST_PROCESSES) --dist loadfile
DEMO := visionllama_tiny_upernet_digitscenes
VENV_PYTHON := .venv/bin/python

.PHONY: help setup repair test test-quick docs check-docs check-wheel format demo doctor clean distclean

help: ## list what make can do (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## build .venv, or bring it up to date; PYTHON=python3.11 chooses the interpreter
	@PYTHON="$(PYTHON)" tools/make_env.sh

repair: ## run every set-up step again over the existing .venv
	@PYTHON="$(PYTHON)" tools/make_env.sh --again

test: setup ## lint, format check and tests; PYTEST_ARGS="tests/cli/test_train.py -x" for some of them
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(TEST) $(PYTEST_ARGS)

test-quick: setup ## lint, and the tests that mirror the files changed since main, without slow ones (90 s)
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@tests=$$($(VENV_PYTHON) -m tests.scheduling) && echo "$$tests" && $(TEST) -m "not slow" $$tests

docs: setup ## build the site of the documents into site/, strictly and without network (half a minute)
	@NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict
	@echo "Site: site/index.html; with its search: $(VENV_PYTHON) -m http.server -d site"

check-docs: docs ## build the site, run every tutorial and every notebook (4 minutes of processor time)
	@$(VENV_PYTHON) -m pytest -n 2 tests/check_documents.py

check-wheel: setup ## build the wheel and try it in an empty environment (minutes, needs the package registry)
	@$(VENV_PYTHON) -m pytest tests/check_wheel.py

format: setup ## apply the lint fixes and the format
	@$(VENV_PYTHON) -m ruff check --fix .
	@$(VENV_PYTHON) -m ruff format .

demo: setup ## prepare DigitScenes, train the tiny segmentation model, draw what it sees (6 min on 2 quiet cores)
# Again: it trains anew, and keeps what was there in overwritten_<time>.
	@$(VENV_PYTHON) tools/prepare_digitscenes.py
	@PATH="$(CURDIR)/.venv/bin:$$PATH" PYTHON="$(CURDIR)/$(VENV_PYTHON)" tools/train.sh configs/toy/$(DEMO).py --overwrite
	@echo "Metrics:  work_dirs/$(DEMO)/summary.json"
	@echo "Pictures:" && find work_dirs/$(DEMO) -name '*.png' -not -path '*/overwritten_*' | sort | sed 's/^/  /'

doctor: setup ## say what works on this machine, and how to fix what does not
	@$(VENV_PYTHON) -m mmvisionllama.doctor

clean: ## remove caches and build left-overs; keeps .venv, data and work_dirs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv too
	rm -rf .venv
