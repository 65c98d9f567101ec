# Four words to learn: make demo, make test, make check, make bench. Each sets itself up from Python 3.11+.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo up test test-containers check bench crashes replays faults train network picture proto lock clean help
help:
	@echo "make demo    start everything, send sample photographs, print what was found (ARGS=--exit to leave)"
	@echo "make test    all tests, on a real Kafka and a real PostgreSQL that they start themselves"
	@echo "make check   types, lint, format"
	@echo "make bench   ratios to the limit of each part (ONLY=fold for one)"
	@echo "make train   the scorer of circles:2 again, from DATA=folder of annotated sets (half an hour)"
	@echo "make network the network of circles:2 again (an hour; installs PyTorch, 3 GB)"
	@echo "make picture docs/circles.jpg again, the picture of the README (a minute)"
	@echo "make crashes kill materializers at each step of a commit, and what they need (KILLS=500 SEED=1)"
	@echo "make replays kill all who take part in replays, and what they need (KILLS=200 SEED=1)"
	@echo "make faults  kill every process in turn while 2,000 images pass (RUNS=1 SEED=1)"

demo: .venv/.run
	@$(BIN)/circles demo $(ARGS)

up: .venv/.run
	@$(BIN)/circles up

test: .venv/.dev
	@$(BIN)/python -m pytest -n $(or $(PROCESSES),4) --dist loadfile --no-loadscope-reorder $(ARGS)

test-containers: .venv/.dev
	@$(BIN)/python -m pytest tests/integration tests/containers --on containers $(ARGS)

check: .venv/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: .venv/.dev
	@$(BIN)/python -m bench $(ONLY)

crashes: .venv/.dev
	@$(BIN)/python -m tests.crashes --kills $(or $(KILLS),500) --seed $(or $(SEED),1)

replays: .venv/.dev
	@$(BIN)/python -m tests.crashes.replay --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

faults: .venv/.dev
	@$(BIN)/python -m tests.faults --runs $(or $(RUNS),1) --seed $(or $(SEED),1)

train: .venv/.dev
	@$(BIN)/python -m detector.training --data $(or $(DATA),../shared/data)

network: .venv/.dev
	@$(BIN)/pip install -q --require-hashes --only-binary :all: -r detector/training/requirements.lock
	@$(BIN)/python -m detector.training.network

picture: .venv/.dev
	@$(BIN)/python -m docs.picture

proto: .venv/.dev
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. detector/serving/grpc_predict_v2.proto
	@for f in detector/serving/grpc_predict_v2_pb2.py detector/serving/grpc_predict_v2_pb2.pyi; do \
		printf '# ruff: noqa\n# fmt: off\n# mypy: ignore-errors\n' | cat - $$f > $$f.new && mv $$f.new $$f; done

# Which is newest and fits is decided here; everything else installs these very files, by hash.
lock: .venv/.dev
	@$(BIN)/pip install -q uv
	@set -e; compile="$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes --group build"; \
	$$compile --extra local --group dev pyproject.toml -o requirements-dev.lock; \
	$$compile --extra local -c requirements-dev.lock pyproject.toml -o requirements.lock; \
	$$compile -c requirements-dev.lock pyproject.toml -o deploy/requirements.lock; \
	for own in tests/conformance tests/client bench/peers; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
			$$own/requirements.in -o $$own/requirements.lock; done; \
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --generate-hashes --no-header \
		-c requirements-dev.lock detector/training/requirements.in -o detector/training/requirements.lock

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11")'
	@echo "setting up .venv (about a minute, once)"
	@$(PYTHON) -m venv .venv

.venv/.run: requirements.lock pyproject.toml | .venv/bin/pip
	@$(BIN)/pip install -q --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@echo "compiling the detector (half a minute, once)"
	@$(BIN)/python -m detector --compile
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.run
	@$(BIN)/pip install -q --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

clean:
	rm -rf .venv .circles bench/out .mypy_cache .ruff_cache .pytest_cache
