# vpnha.aws: everything that developers and CI do. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
VENV := $(ROOT)/.venv
EDA := $(ROOT)/.eda-venv
PY := $(VENV)/bin/python
COLLECTIONS := $(ROOT)/.build/collections
SELF := $(COLLECTIONS)/ansible_collections/vpnha/aws
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT := git make openssh-client python3-venv

export PATH := $(VENV)/bin:$(PATH)
export PYTHONPATH := $(COLLECTIONS):$(ROOT):$(ROOT)/roles/monitor/files:$(ROOT)/roles/gateway/files
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
# root's environment is not ours under sudo: hand over what the lab and Ansible need
AS_ROOT := $(SUDO) env PATH="$(PATH)" PYTHONPATH="$(PYTHONPATH)" ANSIBLE_COLLECTIONS_PATH="$(COLLECTIONS)" HOME="$$HOME"

N ?= 2000
SEED ?= 1
REPEAT ?= 20
# PyPy (of Python 3.11 or newer) plays many schedules in half the time
SIM_PYTHON ?= $(PY)
SIMULATE = PYTHONPATH="$(PYTHONPATH):$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(SIM_PYTHON) -m tests.simulation
HOST ?= app-a

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# --- set up -------------------------------------------------------------------------------------------------

$(VENV)/.ready: requirements.txt requirements-dev.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, and python3 is older."; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "installing $(APT)"; $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq $(APT) >/dev/null; }
	@[ -x $(PY) ] || python3 -m venv $(VENV)
	@echo "installing Python packages into .venv (once, a minute or two)"
	@# Python compiles what it imports; pip would all of Ansible's collections, which takes longer than fetching them
	@$(VENV)/bin/pip install --quiet --no-compile --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# the tree under the name that Python and Ansible import it by
$(SELF):
	@mkdir -p $(dir $@)
	@ln -sfn ../../../.. $@

.PHONY: venv
venv: $(VENV)/.ready $(SELF) ## install what the other targets need into .venv

.PHONY: deps
deps: venv ## install the lab's system packages
	@$(AS_ROOT) $(PY) -m lab deps

# --- the lab ------------------------------------------------------------------------------------------------

.PHONY: demo
demo: deps ## deploy in the lab, prove traffic, drill failovers, report the outages
	@$(AS_ROOT) $(PY) -m lab.demo

.PHONY: figures
figures: deps ## measure the promised figures, each scenario REPEAT times (an hour or more; can be stopped and resumed)
	@$(AS_ROOT) $(PY) -m lab.figures --repeat $(REPEAT)

.PHONY: faults
faults: REPEAT = 1
faults: deps ## the fault matrix, each row REPEAT times (an hour or more for once; can be stopped and resumed): make faults ONLY=3,8 AGAIN=1
	@$(AS_ROOT) $(PY) -m lab.matrix --repeat $(REPEAT) $(if $(ONLY),--only $(ONLY)) $(if $(AGAIN),--again)

.PHONY: rolling
rolling: deps ## deploy over a running deployment, with other ciphers, code and settings, and count lost packets (half an hour)
	@$(AS_ROOT) $(PY) -m lab.rolling

.PHONY: rotate
rotate: deps ## change all keys of a running deployment in the lab, and count the packets that this costs
	@$(AS_ROOT) $(PY) -m lab.rotate

.PHONY: adopt
adopt: deps ## take a VPC over whose gateways were made by hand, and count lost packets (a quarter of an hour)
	@$(AS_ROOT) $(PY) -m lab.adopt

.PHONY: lab-up
lab-up: deps ## start EC2 on this machine, with its sites
	@$(AS_ROOT) $(PY) -m lab up

.PHONY: lab-down
lab-down: venv ## stop the lab and remove all that it made
	@$(AS_ROOT) $(PY) -m lab down

.PHONY: lab-shell
lab-shell: venv ## a shell on a host of the lab: make lab-shell HOST=gw-a
	@$(AS_ROOT) $(PY) -m lab shell $(HOST)

.PHONY: vm-smoke
vm-smoke: deps ## a first look: one tunnel through a stock kernel's ESP, in virtual machines under QEMU
	@$(AS_ROOT) $(PY) -m lab.vm deps
	@$(AS_ROOT) $(PY) -m lab.vm smoke

# --- checks -------------------------------------------------------------------------------------------------

.PHONY: lint
lint: venv ## ruff, mypy --strict, yamllint, ansible-lint, changelog, documentation of plugins and roles
	ruff check .
	ruff format --check .
	mypy plugins/module_utils
	mypy -p vpnha_monitor -p vpnha_agent -p lab -p benchmarks
	yamllint --strict .
	ansible-lint --offline --profile production
	antsibull-changelog lint
	@# it copies what git lists of a collection: of amazon.aws in .venv, which git ignores, that would be nothing
	GIT_CEILING_DIRECTORIES=$(realpath $(VENV)) \
	  antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self --skip-rstcheck .

.PHONY: sanity
sanity: venv ## ansible-test sanity
	@tests/tools/sanity

.PHONY: unit
unit: venv ## unit tests
	@pytest -q tests/unit

# not asked for by any other target: Java is large, and only ansible-rulebook needs it
$(EDA)/.ready: extensions/eda/requirements.txt tests/eda/requirements.txt
	@[ -x $(EDA)/bin/python ] || python3 -m venv $(EDA)
	@echo "installing ansible-rulebook into .eda-venv (once, a minute)"
	@$(EDA)/bin/pip install --quiet --disable-pip-version-check -r tests/eda/requirements.txt
	@touch $@

.PHONY: java
java:
	@version=$$(java -XshowSettings:properties -version 2>&1 | sed -n 's/.*java.specification.version = //p' || true); \
	  [ "$${version%%.*}" -ge 17 ] 2>/dev/null || { \
	  echo "ansible-rulebook needs Java 17 or newer, and java is $${version:-not there}: install openjdk-17-jre-headless."; exit 1; }

.PHONY: eda
eda: venv java $(EDA)/.ready ## event-driven Ansible: our rulebook in ansible-rulebook, from an alarm to what it does (needs Java 17)
	@pytest -q tests/eda

.PHONY: sim
sim: venv ## simulated schedules of faults: make sim N=100000 SEED=1 SIM_PYTHON=pypy3 (can be stopped and resumed)
	@$(SIMULATE) --schedules $$(( $(N) / 10 )) --seed $(SEED) --two-monitors
	@$(SIMULATE) --schedules $$(( $(N) / 10 )) --seed $(SEED) --many-zones
	@$(SIMULATE) --schedules $(N) --seed $(SEED)

.PHONY: mutants
mutants: venv ## plant a bug for each promise; the simulation, or a unit test, must find it
	@$(PY) -m tests.simulation.mutants
	@$(PY) -m tests.simulation.several_mutants

bench bench-swapping bench-outage bench-sas: REPEAT = 10
bench-load bench-growth bench-deploying: REPEAT = 3

.PHONY: bench
bench: deps ## every benchmark, and one page of them: swaps and outages beside other ways, what ours costs (hours, needs root; can be resumed)
	@$(AS_ROOT) $(PY) -m benchmarks --runs $(REPEAT)

.PHONY: bench-swapping
bench-swapping: venv ## swapping many routes: ours, amazon.aws, the AWS CLI and Pacemaker's agent, side by side
	@$(AS_ROOT) $(PY) -m benchmarks swapping --runs $(REPEAT)

.PHONY: bench-outage
bench-outage: deps ## an application host's outage: ours, Pacemaker's agent, BGP alone, no HA, REPEAT times each (an hour and a quarter; can be resumed)
	@$(AS_ROOT) $(PY) -m benchmarks outage --runs $(REPEAT)

.PHONY: bench-load
bench-load: deps ## CPU, memory and packets of the real monitor and agent at 2, 20 and 100 gateways (five minutes, needs root; can be resumed)
	@$(AS_ROOT) $(PY) -m benchmarks load --runs $(REPEAT)

.PHONY: bench-sas
bench-sas: deps ## a question to strongSwan: vpn_health_info, the engine, swanctl --list-sas; 1, 10 and 100 tunnels (three minutes, needs root)
	@$(AS_ROOT) $(PY) -m benchmarks sas --runs $(REPEAT)

.PHONY: bench-growth
bench-growth: venv ## time and calls of EC2 by the number of route tables, gateways and sites (twenty minutes, needs root; can be resumed)
	@$(AS_ROOT) $(PY) -m benchmarks growth --runs $(REPEAT)

.PHONY: bench-deploying
bench-deploying: deps ## what the first deploy and a second one cost: seconds, their share of asking AWS, calls of EC2 (eight minutes; can be resumed)
	@$(AS_ROOT) $(PY) -m benchmarks deploying --runs $(REPEAT)

.PHONY: integration
integration: deps ## tests in the lab: a real failover over real IPsec
	@$(AS_ROOT) $(VENV)/bin/pytest tests/integration

.PHONY: integration-vm
integration-vm: deps ## tests in virtual machines: two gateways on a stock kernel, two tunnels each, and what is left when a run is killed (20 minutes)
	@$(AS_ROOT) $(PY) -m lab.vm deps
	@$(AS_ROOT) $(VENV)/bin/pytest tests/vm

.PHONY: test
test: deps ## everything that CI checks
	@$(MAKE) --no-print-directory --jobs 3 checks tests

# beside the tests, which begin with the lab's first deploy and leave it some of the processor
.PHONY: checks
checks:
	@$(MAKE) --no-print-directory --output-sync=line lint sanity

# the lab first, which takes longest and waits most, and beside it the simulation, which takes what the others leave of the
# processor; what is in one file shares fixtures. Tests of daemons wait half of their time: three keep two cores busy
.PHONY: tests
tests:
	@$(AS_ROOT) $(VENV)/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder tests/integration/test_main_job.py tests/simulation tests/unit

.PHONY: docs
docs: venv ## write the pages that are made from the code
	@$(PY) -m tests.tools.diagnoses_page > docs/diagnoses.md
	@$(PY) -m benchmarks.false_positives

.PHONY: docs-site
docs-site: venv ## the reference of modules, filters, roles and playbooks as a site in artifacts/docs
	@$(PY) -m tests.tools.docs_site

.PHONY: build
build: venv ## build the collection's tarball
	@ansible-galaxy collection build --force --output-path artifacts

.PHONY: release
release: venv ## a release: check version and changelog, build the tarball, use it as a stranger would (some minutes, needs PyPI)
	@$(PY) -m tests.tools.release

.PHONY: release-trial
release-trial: venv ## the same of what is checked out, released or not
	@$(PY) -m tests.tools.release --trial

.PHONY: clean
clean: lab-down ## remove what the targets made, the lab's images too
	@$(SUDO) rm -rf .build .lab artifacts .eda-venv .venv
