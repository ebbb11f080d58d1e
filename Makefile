# Each target first installs what it needs, on a machine with Python 3.11 or newer and make. Later runs skip that.
#
#   PYTHON=...       the Python to create .venv with; if not given, the first suitable one on PATH
#   NOTEBOOK=...     the notebook for `lab`, `demo` and `notebook`
#   LAB_ARGS=...     for JupyterLab, e.g. LAB_ARGS="--no-browser --port 8890"
#   DEMO_ARGS=...    for scripts/demo.py, e.g. DEMO_ARGS="--timeout 300"
#   PYTEST_ARGS=...  for pytest, e.g. PYTEST_ARGS="-k rpc -x"
#   NAMES=...        for screenshots, e.g. NAMES="chat rpc"
#   TAG=...          for dist, the tag that the version must match, e.g. TAG=v0.1.0
#   BENCH_ARGS=...   for benchmarks/bench.py, e.g. BENCH_ARGS="--rounds 9"

NOTEBOOK ?= notebooks/quickstart.ipynb
export PYTHON TAG

# Makes `!lknb` and `!python` in a cell those of this environment.
in_venv = PATH="$(CURDIR)/.venv/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/.venv"

# Containers often run as root, which JupyterLab refuses without this option.
as_root = $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab demo notebook notebooks docs screenshots check test test-faults test-sdks bench dist lock clean setup-lab setup-dev
.DEFAULT_GOAL := help

help:
	@echo "make lab       open $(NOTEBOOK) in JupyterLab"
	@echo "make demo      run $(NOTEBOOK) without a browser and print its output"
	@echo "make check     check lint, types and layers, and run the fast tests with coverage (PYTEST_ARGS=... for pytest)"
	@echo "make test      the same checks, and all tests (PYTEST_ARGS=... for pytest)"
	@echo "make test-faults  run the long tests of outages, bad links and interrupts, about 20 minutes (PYTEST_ARGS=...)"
	@echo "make test-sdks  run what touches LiveKit's SDK on its oldest and newest supported version (PYTEST_ARGS=...)"
	@echo "make bench     measure lknb against the plain LiveKit SDK (BENCH_ARGS=... for benchmarks/bench.py)"
	@echo "make screenshots  take the screenshots of the widgets in docs/images"
	@echo "make notebook  run $(NOTEBOOK) and save it with its outputs"
	@echo "make notebooks run and save all notebooks"
	@echo "make docs      build the documentation as a site in build/site"
	@echo "make dist      build the wheel and the source distribution in dist, and check them (TAG=v0.1.0 for a release)"
	@echo "make lock      compile requirements/*.txt from pyproject.toml (LOCK_ARGS=--upgrade for the newest)"
	@echo "make clean     remove .venv, caches and build output"

lab: setup-lab
	@$(in_venv) jupyter lab --notebook-dir=$(dir $(NOTEBOOK)) --LabApp.default_url=/lab/tree/$(notdir $(NOTEBOOK)) \
		$(as_root) $(LAB_ARGS)

demo: setup-lab
	@$(in_venv) python scripts/demo.py $(DEMO_ARGS) $(NOTEBOOK)

check: setup-dev
	@scripts/test.sh --fast $(PYTEST_ARGS)

test: setup-dev
	@scripts/test.sh $(PYTEST_ARGS)

test-faults: setup-dev
	@.venv/bin/python -m pytest -m faults --durations 0 tests/faults $(PYTEST_ARGS)

test-sdks: setup-dev
	@scripts/test_sdks.sh $(PYTEST_ARGS)

bench: setup-dev
	@$(in_venv) python benchmarks/bench.py $(BENCH_ARGS)

dist: setup-dev
	@scripts/dist.sh $${TAG:+"$$TAG"}

notebook: setup-dev
	@$(in_venv) python scripts/run_notebook.py $(NOTEBOOK)

notebooks: setup-dev
	@$(in_venv) python scripts/run_notebook.py notebooks/*.ipynb

docs: setup-dev
	@$(in_venv) python scripts/docs_magics.py
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs --quiet build --strict && echo "The documentation is in build/site: open build/site/index.html"

screenshots: setup-dev
	@LKNB_BROWSER="$$(scripts/browser.sh)" $(in_venv) python scripts/screenshots.py $(NAMES)

lock:
	@scripts/lock.sh $(LOCK_ARGS)

clean:
	rm -rf .venv build dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# livekit-server is installed per user, outside this folder, so it is checked every time.
setup-lab setup-dev: setup-%:
	@scripts/setup.sh $*
	@.venv/bin/lknb server install >/dev/null
