# Everything runs in a virtual environment of this checkout, made at the first call.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test torture mutants lint prose pictures reports lock gpu-benchmarks clean

# SGD and LCAM side by side on handwritten digits; a minute or so on two cores.
demo: $(VENV)/.ok
	$(BIN)/python -m train compare --arms sgd lcam --seeds 0 1 2

# Two processes: half of the time goes into compiling, on one core each.
test: $(VENV)/.ok
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

# Many more faults and inputs than the tests try, each time others, and the tests that
# take long; half an hour.
torture: $(VENV)/.ok
	$(BIN)/python -m pytest --torture --numprocesses 2 --dist loadscope -rP \
	  tests/train tests/benchmarks tests/docs

# Small changes to the library, one at a time: do its tests notice? Half an hour.
mutants: $(VENV)/.ok
	$(BIN)/python -m pip install --quiet 'cosmic-ray>=8.4,<9'
	$(BIN)/python -m tests.mutants

lint: $(VENV)/.ok prose
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo --no-cache

# Long sentences, links, paths and commands that lead nowhere, misspelt words.
prose: $(VENV)/.ok
	$(BIN)/python -m docs.prose

# The pictures of the documents, from committed files; switching.png from a short run.
pictures: $(VENV)/.ok
	for name in docs/pictures/*.py; do \
	  $(BIN)/python -m docs.pictures.$$(basename $$name .py) || exit 1; done

# The committed reports, from their own rows.
reports: $(VENV)/.ok
	for name in results/*/report.md; do \
	  $(BIN)/python -m train report $$(dirname $$name) || exit 1; done

# Everything that wants an accelerator, in nine minutes. In whatever environment is
# active: JAX for a GPU, and PyTorch for the sides in it, are yours to install.
gpu-benchmarks:
	python -m benchmarks.gpu

# The versions that were tested, for constraints.txt. Run it in a new environment.
lock: $(VENV)/.ok
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV)

$(VENV)/.ok: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it as in: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,test,lint]'
	touch $@
