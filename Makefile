# Two commands matter: `make quickstart` trains a model, `make test` proves everything.
# On a machine without a GPU elsewhere, save gigabytes with
#   export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

VERL_ON_CPU := VERL_PLATFORM=cpu VERL_ENGINE_DEVICE=cuda VERL_USE_EXTERNAL_MODULES=verl_on_cpu HF_HUB_OFFLINE=1

# tests run side by side: threads that wait should sleep, for spinning ones starve those that work
check test test-bare test-browser test-trackers test-verl test-vllm: export OMP_WAIT_POLICY := PASSIVE

.PHONY: quickstart test test-bare test-browser test-trackers test-verl test-vllm check fix docs golden parity parity-verl reliability size wheel results benchmark coverage system-deps clean
.DEFAULT_GOAL := help

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

quickstart: $(VENV)/.core  ## train OWPO on the embedded task, offline, in about five minutes
	$(BIN)/jumar train quickstart --out runs/quickstart-$$(date +%Y%m%d-%H%M%S)

test: check  ## every check and every test of the core
	@# the base is built once and alone, instead of by two tests at a time
	$(BIN)/python -c 'from jumar.engines.local.tiny import tiny_model; tiny_model()'
	JUMAR_REQUIRE_PEERS=1 OMP_NUM_THREADS=1 $(BIN)/pytest -q -m slow -n 2
	$(MAKE) --no-print-directory wheel

test-browser: $(VENV)/.browser  ## the report in a headless Chromium; ten minutes at most
	OMP_NUM_THREADS=1 timeout --kill-after=30s 10m $(BIN)/pytest -q tests/browser

test-trackers: .venv-trackers/.ready  ## each tracker with its real package; ten minutes at most
	JUMAR_REQUIRE_PEERS=1 OMP_NUM_THREADS=1 timeout --kill-after=30s 10m .venv-trackers/bin/pytest -q tests/trackers

test-bare: .venv-bare/.ready  ## the core with none of the extras installed; fifteen minutes at most
	JUMAR_REQUIRE_PEERS= OMP_NUM_THREADS=1 timeout --kill-after=30s 15m .venv-bare/bin/pytest -q -m "not slow" -n 2 --ignore tests/laws

test-verl: .venv-verl/.ready  ## verl's own trainer and workers, on the processor; 25 minutes at most
	JUMAR_REQUIRE_PEERS=1 OMP_NUM_THREADS=1 timeout --kill-after=30s 25m .venv-verl/bin/pytest -q tests/on_verl

test-vllm: .venv-vllm/.ready  ## the engine vllm with vLLM's CPU build; 15 minutes at most
	JUMAR_REQUIRE_PEERS=1 OMP_NUM_THREADS=1 timeout --kill-after=30s 15m .venv-vllm/bin/pytest -q tests/on_vllm

check: $(VENV)/.dev  ## lint, types, import rules, generated pages, fast tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/sinks.py
	$(BIN)/python scripts/docs.py --check
	$(BIN)/python scripts/results.py --check
	$(BIN)/python scripts/parity.py --check
	$(BIN)/python scripts/engines.py --check
	$(BIN)/python scripts/reliability.py --check
	$(BIN)/python benchmarks/against_trl.py --check
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m "not slow" -n 2

fix: $(VENV)/.dev  ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.dev  ## write the algorithm pages from the cards
	$(BIN)/python scripts/docs.py

golden: $(VENV)/.dev  ## write the golden losses anew; moving one needs a changelog entry under Numerics
	cd tests && ../$(BIN)/python -m golden

parity: $(VENV)/.dev  ## measure every algorithm in every host, and write the page; minutes
	cd tests && TRL_EXPERIMENTAL_SILENCE=1 OMP_NUM_THREADS=1 ../$(BIN)/python -W ignore -m parity local trl
	$(BIN)/python scripts/parity.py

parity-verl: .venv-verl/.ready  ## the same in verl; minutes
	cd tests && $(VERL_ON_CPU) OMP_NUM_THREADS=1 ../.venv-verl/bin/python -W ignore -m parity verl
	.venv-verl/bin/python scripts/parity.py

reliability: $(VENV)/.dev  ## measure every figure of docs/results/reliability.md; fails where one fell; an hour
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -W ignore -m reliability
	$(BIN)/python scripts/reliability.py

size:  ## lines per file, largest first; a report, not a gate
	@git ls-files 'src/*.py' | xargs wc -l | sort -rn | head -30

wheel: $(VENV)/.dev  ## build the wheel and use it in an environment of its own
	scripts/try-wheel.sh $(BIN)/python

results: $(VENV)/.core  ## five seeds of the quickstart and its control; an hour
	$(BIN)/python scripts/results.py

benchmark: $(VENV)/.dev  ## jumar beside TRL, turn by turn, in docs/results/performance.md; half an hour
	$(BIN)/python benchmarks/against_trl.py

coverage: $(VENV)/.core  ## how often the intervals hold the truth, simulated; a few minutes
	$(BIN)/python scripts/coverage.py

system-deps:  ## Debian packages: a browser and its driver for tests, the sandbox for code rewards
	scripts/system-deps.sh chromium chromium-driver bubblewrap

clean:  ## remove the environment and caches
	rm -rf $(VENV) .venv-bare .venv-trackers .venv-verl .venv-vllm .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "jumar needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=python3.11."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install --quiet 'pip>=25.1'
	@touch $@

$(VENV)/.core: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable '.[math,hub,lora]' --group dev --group peers
	$(PIP) --no-deps --ignore-requires-python verl==0.9.1
	@touch $@

# axe itself is a script inside this package; the browser library that it brings is not used
$(VENV)/.browser: $(VENV)/.dev
	$(PIP) --group browser
	$(PIP) --no-deps axe-playwright-python==0.1.8
	@touch $@

# apart from the others: trackers exclude versions that constraints.txt pins
.venv-trackers/.ready: pyproject.toml constraints-trackers.txt
	$(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip --disable-pip-version-check install --quiet 'pip>=25.1'
	.venv-trackers/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints-trackers.txt \
		--editable '.[tensorboard,wandb,trackio,mlflow]' pytest hypothesis
	@touch $@

.venv-bare/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-bare
	.venv-bare/bin/python -m pip --disable-pip-version-check install --quiet 'pip>=25.1'
	.venv-bare/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
		--editable . hypothesis pytest pytest-xdist
	@touch $@

.venv-verl/.ready: pyproject.toml constraints-verl.txt $(wildcard tests/on_verl/cpu/*)
	$(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip --disable-pip-version-check install --quiet 'pip>=25.1'
	.venv-verl/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
		--requirement constraints-verl.txt --editable . tests/on_verl/cpu
	@touch $@

# without their dependencies: vLLM names torchvision, torchaudio and torchcodec, which it does not
# need here and whose builds for CUDA break transformers
.venv-vllm/.ready: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip --disable-pip-version-check install --quiet 'pip>=25.1'
	.venv-vllm/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
		--requirement constraints-vllm.txt --editable .
	@touch $@
