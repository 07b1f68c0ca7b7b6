# `make demo` and `make test` need only Python 3.11 or newer. Everything is installed into .venv.
#
#   make demo          fill a grid with the bundled model and write demo.png
#   make lab           open the lessons in JupyterLab
#   make test          what CI runs: ruff, the type checker, pytest, and every lesson executed and compared
#   make test-lessons  the lessons only
#   make test-browser  the builder and the lessons in JupyterLab and Notebook 7; needs Chromium (CHROMIUM=path names
#                      one), or with BROWSER=firefox Firefox (FIREFOX=path)
#   make site          build the course as web pages in .make/site, and check every link
#   make pins          check that every pinned version installs on Python 3.11 to 3.14
#   make test-widgets-7  the widgets' tests on ipywidgets 7.7.1, which Colab keeps
#   make test-graders  nbgrader and Otter-Grader on right, wrong and untouched submissions; takes hours
#   make hooks         for contributors: checks before each commit, and notebooks compared cell by cell in git diff
#   make notebooks     rebuild and execute the lessons from notebooks/source/
#   make clean         remove .venv and what the targets above made
#
# PYTHON=python3.12    which Python makes .venv
# TORCH_INDEX=URL      a wheel index to take torch from, such as PyTorch's CPU index (see pytorch.org/get-started);
#                      without it, pip's usual source, which on Linux brings a CUDA build
# UV=uv                installs with uv, if you have it, in place of pip: the same versions, sooner

PYTHON ?= python3
TORCH_INDEX ?=
UV ?=
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo lab test test-lessons test-browser test-widgets-7 test-graders notebooks hooks site constraints pins clean

RUN := .venv/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check --quiet
INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(RUN),$(PIP))
TORCH := $(shell grep '^torch==' constraints.txt)

# The lessons' printed numbers are compared: no downloads, and the same number of threads everywhere.
LESSON_ENV := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=2 PYTHONHASHSEED=0 VISUALCLOZE_NB_STATIC=1

demo: .venv/installed
	@$(RUN) -m visualcloze_nb demo

lab: .venv/installed-lab
	$(RUN) -m jupyterlab notebooks

test: .venv/installed-test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m basedpyright
	HF_HUB_OFFLINE=1 $(RUN) -m pytest tests
	$(MAKE) test-lessons

test-lessons: .venv/installed-test
	$(LESSON_ENV) $(RUN) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=300 \
	    --nbval-sanitize-with=tests/nbval_sanitize.cfg notebooks

test-browser: .venv/installed-browser
	@PYTHONPATH=tests/browser $(RUN) -c 'import servers, sys; sys.exit(servers.missing() or 0)'
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -p no:cacheprovider tests/browser

test-widgets-7: .venv/installed-test
	test -d .make/ipywidgets7/ipywidgets || $(INSTALL) --target .make/ipywidgets7 --no-deps ipywidgets==7.7.1 \
	    widgetsnbextension==3.6.10 jupyterlab_widgets==1.1.11 ipython_genutils==0.2.0
	PYTHONPATH=.make/ipywidgets7 HF_HUB_OFFLINE=1 $(RUN) -m pytest -q tests/test_widgets*.py

# Both bring a whole JupyterLab, so they get an environment of their own.
test-graders:
	test -x .make/graders/bin/python || $(PYTHON) -m venv .make/graders
	.make/graders/bin/python -m pip install --quiet -c constraints.txt $(TORCH) -e '.[graders]' pytest
	$(LESSON_ENV) .make/graders/bin/python -m pytest -p no:cacheprovider tests/graders

notebooks: .venv/installed-test
	$(LESSON_ENV) $(RUN) -m tools.build_notebooks

hooks: .venv/installed-dev
	$(RUN) -m pre_commit install
	git config diff.jupyternotebook.command '$(RUN) -m tools.diff_notebooks'

# Nothing is executed: the pages show the committed outputs. A warning is an error.
site: .venv/installed-site
	rm -rf .make/site .make/site-read
	HF_HUB_OFFLINE=1 $(RUN) -m sphinx -W --keep-going -q -c docs -d .make/site-read . .make/site
	$(RUN) -m tools.check_site .make/site

# The stamps lie inside .venv and are touched last: a failed install leaves none, and a new .venv has none.
.venv/made:
	@command -v $(PYTHON) >/dev/null \
	    || { echo "No $(PYTHON) here. Name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	              "Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo "$(PYTHON) cannot make environments: its venv module is missing." \
	              "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/installed: pyproject.toml constraints.txt | .venv/made
	@echo "Installing the package (some minutes the first time)"
ifneq ($(TORCH_INDEX),)
	$(INSTALL) --index-url $(TORCH_INDEX) $(TORCH)
endif
	$(INSTALL) -c constraints.txt -e .
	@touch $@

.venv/installed-test: .venv/installed
	@echo "Installing what the tests and the training code need"
	$(INSTALL) -c constraints.txt -e '.[test,train]'
	@touch $@

.venv/installed-lab: .venv/installed
	@echo "Installing JupyterLab"
	$(INSTALL) -c constraints.txt -e '.[lab]'
	@touch $@

.venv/installed-browser: .venv/installed
	@echo "Installing JupyterLab, Notebook and what drives the browser"
	$(INSTALL) -c constraints.txt -e '.[test,browser]'
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "Installing what contributors need"
	$(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $@

.venv/installed-site: .venv/installed
	@echo "Installing Sphinx"
	$(INSTALL) -c constraints.txt -e '.[site]'
	@touch $@

# Look for newer releases: install afresh without constraints and write down what came, in the oldest Python that the
# package promises (PYTHON=/path/to/python3.11). Then run make pins and make test.
constraints:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Resolve with Python 3.11"; exit 1; }
	rm -rf .make/fresh && $(PYTHON) -m venv .make/fresh
	.make/fresh/bin/python -m pip install --quiet $(TORCH) -e '.[dev,lab,browser,site]'
	{ head -1 constraints.txt; .make/fresh/bin/python -m pip freeze --exclude-editable \
	    | sed 's/+cpu$$//' | grep -v -i -E '^(nvidia-|cuda-|triton)'; } > .make/constraints.txt
	mv .make/constraints.txt constraints.txt

# Every pin can be installed on every promised Python, as wheels, the first patch release included.
pins: .venv/installed
	for version in 3.11.0 3.12.0 3.13.0 3.14.0; do echo "Python $$version" && $(PIP) --dry-run --no-deps \
	    --ignore-installed --target .make/none --only-binary=:all: --python-version $$version -r constraints.txt || exit 1; done

clean:
	rm -rf .venv .make .pytest_cache .ruff_cache demo.png
