# Everything runs in a virtual environment of this checkout. Each command installs the
# packages that it needs itself, at its first call: a dependency group of pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where uv is, it makes the environment: pip takes several times as long.
UV := $(shell uv --version 2>/dev/null)
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# A module is compiled when it is first imported: most never are.
INSTALL := $(if $(UV),VIRTUAL_ENV=$(VENV) uv pip install --quiet --constraint constraints.txt,$(PIP) --no-compile)

.PHONY: demo test same torture mutants lint prose docs pictures reports test-versions \
  dist lock gpu-benchmarks clean
.NOTPARALLEL: # two installers in one environment would break it

# SGD and LCAM side by side on handwritten digits; a minute or so on two cores.
demo: $(VENV)/.train
	$(BIN)/python -m train compare --arms sgd lcam --seeds 0 1 2

# Two processes: half of the time goes into compiling, on one core each.
test: $(VENV)/.train $(VENV)/.test $(VENV)/.train-test $(VENV)/.prose
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

# Does the working tree make the numbers of the last commit, or of BASE=COMMIT, bit for
# bit? For changes of the program's form. Some minutes on two idle cores.
same: $(VENV)/.train
	$(BIN)/python -m tests.same $(BASE)

# Many more faults and inputs than the tests try, each time others, and the tests that
# take long; half an hour.
torture: $(VENV)/.train $(VENV)/.test $(VENV)/.train-test $(VENV)/.prose $(VENV)/.cluster
	$(BIN)/python -m pytest --torture --numprocesses 2 --dist loadscope -rP \
	  tests/train tests/benchmarks tests/docs tests/models

# Small changes to the library, one at a time: do its tests notice? Half an hour.
mutants: $(VENV)/.test
	$(INSTALL) 'cosmic-ray>=8.4,<9'
	$(BIN)/python -m tests.mutants

lint: $(VENV)/.lint prose
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*
	$(BIN)/check-jsonschema --builtin-schema vendor.readthedocs .readthedocs.yaml
	$(BIN)/zizmor --offline --quiet .github
	@for room in lcam_optax models train train/[!_]*/ examples benchmarks tests; do \
	  printf '%7d lines  %s\n' $$(find $$room -name '*.py' -exec cat {} + | wc -l) $$room; \
	done

# Long sentences, links, paths and commands that lead nowhere, misspelt words.
prose: $(VENV)/.prose
	$(BIN)/python -m docs.prose

# The site, build/site/index.html, in a minute or two; a warning is an error.
docs: $(VENV)/.train $(VENV)/.docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --conf-dir docs --doctree-dir build/doctrees . build/site

# The pictures of the documents, from committed files; switching.png from a short run.
pictures: $(VENV)/.train
	for name in docs/pictures/*.py; do \
	  $(BIN)/python -m docs.pictures.$$(basename $$name .py) || exit 1; done

# The committed reports, from their own rows.
reports: $(VENV)/.train
	for name in results/*/report.md; do \
	  $(BIN)/python -m train report $$(dirname $$name) || exit 1; done

# Everything that wants an accelerator, in nine minutes. In whatever environment is
# active: JAX for a GPU, and PyTorch for the sides in it, are yours to install.
gpu-benchmarks:
	python -m benchmarks.gpu

# The library's tests with other versions of Python, JAX and Optax, for each Python that
# is here; a quarter of an hour, and half of that once the environments are there.
test-versions: $(VENV)/.made
	$(BIN)/python -m tests.versions

# What would be published: the wheel and the sdist, and whether they do what they should.
dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m tests.dist

# The versions that were tested, for constraints.txt. Run it in a new environment.
lock: $(addprefix $(VENV)/.,train test train-test cluster lint docs dist)
	$(BIN)/python -m pip freeze --all --exclude setuptools --exclude wheel \
	  --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV)

$(VENV)/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it as in: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" >&2; exit 1; }
ifdef UV
	uv venv --quiet --allow-existing --seed --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
else
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
endif
	$(INSTALL) --editable .
	touch $@

# The groups of packages: .train, .test, .prose, .lint, .docs, .cluster and .dist.
$(VENV)/.%: $(VENV)/.made
	$(INSTALL) --group $*
	touch $@
