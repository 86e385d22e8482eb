# The single entry to everything. `make` lists the targets; each makes what it needs, the first time from the
# package index, later without a network.
#
#   make PYTHON=python3.13 VENV=.venv-3.13 test     another Python
#   make unit ARGS="-k timers -x"                   more arguments for pytest

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV ?= .venv
PURE ?= $(VENV)-pure
ARGS ?=
ARM64 ?= 1
PYTHONS ?= python3.11 python3.12 python3.13
SEEDS ?= 50
SOAK_SEEDS ?= 20000
RUNS ?= 30
CHAOS_SECONDS ?= 600
CHAOS_SEED ?=
FUZZ_SECONDS ?= 600
WORK := .build

ROOT := $(CURDIR)
BIN := $(abspath $(VENV))/bin
PURE_BIN := $(abspath $(PURE))/bin
WHEELS := $(WORK)/$(notdir $(VENV))
PACKAGED := $(shell find swarm sims -type f -not -name '*.pyc') setup.py README.md LICENSE
LINTED := swarm sims tools tests examples setup.py
PIP := -m pip --quiet --disable-pip-version-check

# Tests run on what is installed, never on the sources: from a copy that has no swarm beside it, where
# executors and other child processes can import the tests' own functions.
RUN = $(WORK)/run/$@
PYTEST_ARGUMENTS = -c $(ROOT)/pyproject.toml --rootdir $(abspath $(RUN)) -p no:cacheprovider
define run_tests
@rm -rf $(RUN) && mkdir -p $(RUN) && cp -R tests examples $(RUN)
cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) SWARM_REPOSITORY=$(ROOT) SWARM_EXPECT_COMPILED=$(1) \
	$(2)/python -P -m pytest $(PYTEST_ARGUMENTS) $(3) $(ARGS)
endef

.PHONY: help venv build demo test check fmt lint types contracts tidy unit cores sockets netns netns-1 netns-2 e2e pure parity sim \
	calibrate bench failover membership soak endure planted model fuzz chaos versions mixed clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Environments -------------------------------------------------------------------------------------------

venv: $(VENV)/.dev  ## make the environment with every tool, without swarm itself

build: $(VENV)/.swarm  ## build the wheel (compiled where a C compiler is) and install it

$(VENV)/.made $(PURE)/.made: %/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "swarm needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $*
	@touch $@

$(VENV)/.runtime $(PURE)/.runtime: %/.runtime: %/.made pyproject.toml tools/constraints.txt tools/requirements.py
	@echo "installing what swarm needs into $*"
	@$*/bin/python tools/requirements.py runtime fast sensors qr build > $*/requirements.txt
	@$*/bin/python $(PIP) install --no-compile -c tools/constraints.txt -r $*/requirements.txt
	@touch $@

$(VENV)/.dev $(PURE)/.dev: %/.dev: %/.runtime
	@echo "installing the tools of developers into $*"
	@$*/bin/python tools/requirements.py dev > $*/requirements.txt
	@$*/bin/python $(PIP) install --no-compile -c tools/constraints.txt -r $*/requirements.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(BIN)/python tools/requirements.py bench > $(VENV)/requirements.txt
	@$(BIN)/python $(PIP) install --no-compile -r $(VENV)/requirements.txt
	@touch $@

# build/temp stays, so that only changed C files are compiled; build/lib goes, so that a wheel holds no module
# that was removed.
define build_and_install
@echo "building swarm for $(1)"
@rm -rf build/lib* build/bdist* $(WHEELS)/$(2) *.egg-info
@$(1)/bin/python $(PIP) wheel --no-build-isolation --no-deps --wheel-dir $(WHEELS)/$(2) .
@$(1)/bin/python $(PIP) install --no-index --no-deps --force-reinstall $(WHEELS)/$(2)/swarm_mesh-*.whl
@touch $@
endef

$(VENV)/.swarm: $(VENV)/.runtime $(PACKAGED)
	$(call build_and_install,$(VENV),default)

$(PURE)/.swarm: export SWARM_MYPYC := 0
$(PURE)/.swarm: $(PURE)/.runtime $(PACKAGED)
	$(call build_and_install,$(PURE),pure)

# What people run ----------------------------------------------------------------------------------------

demo: $(VENV)/.swarm  ## a mesh of three nodes counts the words of real files, then everything is gone
	@env -u PYTHONPATH $(BIN)/python -P tools/demo.py

test: $(VENV)/.dev $(VENV)/.swarm $(PURE)/.dev $(PURE)/.swarm  ## the whole suite, on the compiled and on the pure build
	@$(BIN)/python tools/side_by_side.py netns-1 "$(MAKE) netns-1" netns-2 "$(MAKE) netns-2" \
		pure "$(MAKE) e2e pure" cores "nice $(MAKE) cores parity sockets"

check: lint types contracts tidy test sim  ## what a change must pass: every check there is

# Checks of the text -------------------------------------------------------------------------------------

fmt: $(VENV)/.dev  ## format the code and apply safe fixes
	$(BIN)/ruff check --fix --exit-zero $(LINTED)
	$(BIN)/ruff format $(LINTED)
	$(BIN)/python tools/wire_tables.py
	$(BIN)/python tools/scenario_tables.py

lint: $(VENV)/.dev  ## format check and ruff
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/ruff check $(LINTED)

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

contracts: $(VENV)/.dev  ## who may import whom
	PYTHONPATH=$(ROOT) $(BIN)/lint-imports --config pyproject.toml --no-cache

tidy: $(VENV)/.dev $(VENV)/.swarm  ## sizes, names, docstrings, documents
	$(call run_tests,,$(BIN),tests/test_tidy.py tests/test_repository.py)

# Tests --------------------------------------------------------------------------------------------------

unit: $(VENV)/.dev $(VENV)/.swarm  ## unit and property tests on the compiled build
	$(call run_tests,1,$(BIN),tests -m "not (bench or soak or netns or integration or e2e or simulation)")

cores: $(VENV)/.dev $(VENV)/.swarm  ## what needs no real network, on the compiled build
	$(call run_tests,1,$(BIN),tests -m "not (bench or soak or netns or integration or e2e)")

sockets: $(VENV)/.dev $(VENV)/.swarm  ## real sockets, files and child processes, on the compiled build
	$(call run_tests,1,$(BIN),tests -m "integration and not (netns or e2e or bench or soak)")

netns: $(VENV)/.dev $(VENV)/.swarm  ## whole nodes on real networks of namespaces (as root), on the compiled build
	$(call run_tests,1,$(BIN),tests -m "netns and not (bench or soak)")

netns-1: $(VENV)/.dev $(VENV)/.swarm  ## one half of the files of `netns`
	$(call run_tests,1,$(BIN),tests --part 1/2 -m "netns and not (bench or soak)")

netns-2: $(VENV)/.dev $(VENV)/.swarm  ## the other half
	$(call run_tests,1,$(BIN),tests --part 2/2 -m "netns and not (bench or soak)")

e2e: $(VENV)/.dev $(VENV)/.swarm  ## whole nodes on the loopback, crashes and restarts, on the compiled build
	$(call run_tests,1,$(BIN),tests -m "e2e and not (netns or bench or soak)")

pure: $(PURE)/.dev $(PURE)/.swarm  ## unit, property and simulation tests and a short end-to-end one on the pure build
	$(call run_tests,0,$(PURE_BIN),tests -m "smoke or not (bench or soak or netns or integration or e2e)")

parity: $(VENV)/.swarm $(PURE)/.swarm  ## equal traces of the simulator from both builds, under two hash seeds
	@$(BIN)/python tools/parity.py $(BIN)/python $(PURE_BIN)/python

sim: $(VENV)/.swarm  ## SEEDS random faulty runs of whole meshes in the simulator
	env -u PYTHONPATH $(BIN)/python -P -m sims.soak --seeds $(SEEDS)

planted: $(VENV)/.swarm  ## plant known bugs in copies of the sources and see which checker finds each
	env -u PYTHONPATH $(BIN)/python -P -m sims.planted

model: $(VENV)/.swarm  ## search all states of the model of elections and keeping, hold the simulator against it
	env -u PYTHONPATH $(BIN)/python -P -m sims.model

endure: $(VENV)/.dev $(VENV)/.swarm  ## tests that take minutes each (as root)
	$(call run_tests,1,$(BIN),tests -m soak)

chaos: $(VENV)/.dev $(VENV)/.swarm  ## CHAOS_SECONDS of faults on seven real nodes, told by CHAOS_SEED (as root)
	@rm -rf $(RUN) && mkdir -p $(RUN) && cp -R tests examples $(RUN)
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(BIN)/python -P -m tests.chaos \
		--seconds $(CHAOS_SECONDS) --seed "$(CHAOS_SEED)" --out $(abspath $(WORK))/chaos $(ARGS)

calibrate: $(VENV)/.dev $(VENV)/.swarm  ## RUNS of one scenario in namespaces beside simulated ones (as root)
	@rm -rf $(RUN) && mkdir -p $(RUN) $(WORK)/calibration && cp -R tests examples $(RUN)
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(BIN)/python -P -m tests.netns.calibration \
		--repetitions $(RUNS) --out $(abspath $(WORK))/calibration

# Environments are made when missing, from the package indices of Python and Debian; ARM64=0 leaves out the userland.
versions: $(VENV)/.dev $(VENV)/.swarm $(PURE)/.swarm  ## one mesh of PYTHONS and an emulated arm64 userland (as root)
	@$(BIN)/python tools/versions.py --work $(WORK)/versions --wheels $(WHEELS)/pure \
		$(if $(filter 0,$(ARM64)),--no-arm64) $(PYTHONS) -- $(MAKE) mixed

mixed: $(VENV)/.dev $(VENV)/.swarm  ## the tests of `make versions` alone, in its environments
	$(call run_tests,,$(BIN),tests/netns/test_versions.py)

bench: $(VENV)/.bench $(VENV)/.swarm  ## tasks per second beside the process pool and dask
	$(call run_tests,1,$(BIN),tests -m bench -s)

$(VENV)/.failover: $(VENV)/.dev
	@$(BIN)/python tools/requirements.py failover > $(VENV)/requirements.txt
	@$(BIN)/python $(PIP) install --no-compile -r $(VENV)/requirements.txt \
		|| echo "what cannot be installed here is said to be missing in the table"
	@touch $@

failover: $(VENV)/.failover $(VENV)/.swarm  ## kill leaders RUNS times, and what dask and Ray do then (as root)
	@rm -rf $(RUN) && mkdir -p $(RUN) $(WORK) && cp -R tests examples $(RUN)
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(BIN)/python -P -m tests.bench.failover \
		--rounds $(RUNS) --out $(abspath $(WORK))/failover.json $(ARGS)

# Goes on where it was interrupted, as long as the sources are the same. ARGS goes to the part with real nodes.
MEASURED := $(ROOT)/$(WORK)/membership
membership: $(VENV)/.dev $(VENV)/.swarm  ## membership beside Serf in namespaces (as root, an hour) and in the simulator
	@rm -rf $(RUN) && mkdir -p $(RUN) $(MEASURED) && cp -R tests examples $(RUN)
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(BIN)/python -P -m tests.bench.membership \
		--out $(MEASURED)/real.json $(ARGS)
	env -u PYTHONPATH $(BIN)/python -P -m sims.lab.membership --out $(MEASURED)/simulated.json
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(BIN)/python -P -m tests.bench.membership.report \
		--real $(MEASURED)/real.json --simulated $(MEASURED)/simulated.json --plots $(MEASURED)/plots

soak: $(VENV)/.swarm  ## SOAK_SEEDS random trials; goes on where it stopped, keeps shrunk cases that fail
	@mkdir -p $(WORK)/soak
	env -u PYTHONPATH $(BIN)/python -P -m sims.soak --seeds $(SOAK_SEEDS) \
		--state $(WORK)/soak/state.json --keep $(WORK)/soak/failed

fuzz: $(PURE)/.dev $(PURE)/.swarm  ## every decoder, FUZZ_SECONDS in all; keeps inputs that are finds
	@rm -rf $(RUN) && mkdir -p $(RUN) $(WORK)/fuzz && cp -R tests $(RUN)
	cd $(RUN) && env PYTHONPATH=$(abspath $(RUN)) $(PURE_BIN)/python -P -W error -m tests.fuzz \
		--seconds $(FUZZ_SECONDS) --keep $(abspath $(WORK))/fuzz/finds $(ARGS)

clean:  ## remove everything that make made
	rm -rf $(VENV) $(PURE) $(WORK) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find swarm sims tools tests -name __pycache__ -type d -prune -exec rm -rf {} +
