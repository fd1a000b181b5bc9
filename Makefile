# make demo   reconstruct the photos that ship with the package     make test    run the tests
# (root on Debian or Ubuntu: also installs Chromium, which the page's tests want; without it they are skipped)
# make check  formatting, lint, types                               make setup   only the environment, in .venv
# make audit  licences, known vulnerabilities, requirements.lock    make lock    writes requirements.lock anew
#
# PYTHON=python3.12 chooses the Python (3.11 or newer). On Linux, PyPI's torch brings CUDA along, several GB; without a GPU
#     make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# takes the small build for CPUs instead.

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
# Warnings about a registry's state help nobody here; errors (-qq keeps them) do.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

.PHONY: demo test check audit lock setup browser clean

demo: setup
	@$(BIN)/macrosplat demo

test: setup browser
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

# Without a network what can be told without one is told; STRICT=--strict (CI) fails then.
audit: setup
	@$(PIP) pip-audit || echo "pip-audit could not be installed; known vulnerabilities are not looked for." >&2
	@$(BIN)/python tools/dependencies.py licences
	@$(BIN)/python tools/dependencies.py check
	@[ ! -x $(BIN)/pip-audit ] && [ -z "$(STRICT)" ] || $(BIN)/python tools/dependencies.py audit $(STRICT)

lock: setup
	@$(PIP) uv
	@$(BIN)/python tools/dependencies.py lock

setup: $(VENV)/ready

# torch goes first and by its exact version, so that no other package's wish for "some torch" picks another build.
$(VENV)/ready: pyproject.toml constraints.txt hatch_build.py $(wildcard web/*.js) web/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "macrosplat needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV): some minutes, once."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(shell grep '^torch==' constraints.txt)
	@$(PIP) -c constraints.txt -e '.[dev]'
	@$(PIP) -c constraints.txt --no-deps spandrel spandrel_extra_arches einops safetensors # without torchvision, which it hardly uses
	@touch $@

# Chromium is no Python package; who is not root, or has no apt, has it already or goes without.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium; } \
		>/dev/null 2>&1 || \
		echo "Chromium could not be installed: the page's tests will be skipped."

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
