# make book   set up .venv, run what is stale at the quick profile, leave the site in _build/html
# make test   lint, types, import rules, tests: every chapter at smoke scale, faults, the site in a browser
# make lab    open the chapters in JupyterLab (LAB_FLAGS="--port 9999 --no-browser" are passed on)
PYTHON ?= python3
BIN := .venv/bin
# PIP_FLAGS: whatever pip shall be told besides, such as the index of PyTorch's builds for processors alone
INSTALL = @echo "installing into .venv: three to five minutes, of which torch takes most"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint ci/constraints.txt $(PIP_FLAGS)
WORKERS ?= 2
# One thread a process: several processes that each take every core slow each other manyfold.
export OMP_NUM_THREADS ?= 1

.PHONY: book test test-site check setup lab clean
.DELETE_ON_ERROR:

book: .venv/.installed
	$(BIN)/kexue build

setup: .venv/.developer

.venv/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; ok = (3, 11) <= v <= (3, 13); ok or sys.exit("kexue needs Python 3.11 to 3.13, but $(PYTHON) is %d.%d: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml ci/constraints.txt
	$(INSTALL) --editable .
	@touch $@

# In one go: pip takes its time to look at what is there already.
.venv/.developer: .venv/.made pyproject.toml ci/constraints.txt
	$(INSTALL) --editable '.[dev,lab]'
	@touch .venv/.installed $@

check: .venv/.developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python ci/contracts.py
	$(BIN)/python ci/check_records.py

# In the order of the folders: the long files come first, and neither worker waits for the other at the end.
test: check
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The browser tests once more, over the book that `make book` has built.
test-site: .venv/.developer
	KEXUE_SITE=_build/html $(BIN)/python -m pytest tests/site

lab: .venv/.developer
	JUPYTER_CONFIG_PATH="$(CURDIR)/ci/jupyter" $(BIN)/jupyter lab --notebook-dir="$(CURDIR)" $(LAB_FLAGS)

clean:
	rm -rf _build .venv .kexue
