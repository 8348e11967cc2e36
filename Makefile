# Each target is safe to run again and does only what is missing.
RAG := .venv/bin/rag
Q ?= Why did the CAI stall?

DATA ?= ../shared/data
SPLIT ?= test
LIMIT ?= 40
EVERY ?= 1
GOLD ?= seeds/gold.jsonl
N ?= 10000 100000

.PHONY: install ask test check bench bench-chat bench-quality bench-retrieval bench-peers \
	bench-crash bench-scale clean

install:  ## a .venv with everything, and the models
	@scripts/install.sh
	@$(RAG) models pull --quiet >/dev/null

ask: install  ## index the seeds and answer a question: make ask Q="..."
	@$(RAG) index
	@echo
	@$(RAG) ask "$(Q)"

test: install  ## the whole test suite, the real models included
	@.venv/bin/python -m pytest

check: install  ## lint and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

bench: install  ## answer a gold set over the seeds with the real models and score it: GOLD=bench/sets/reworded.jsonl
	@$(RAG) index seeds --index bench/results/index
	@$(RAG) eval $(GOLD) --index bench/results/index --report bench/results/$(basename $(GOLD)) --failures

bench-chat: install  ## follow-ups of the seeds' conversations, beside their hand-written standalone forms: EVERY=2 for half
	@$(RAG) index seeds --index bench/results/index
	@.venv/bin/python -m bench.chat --index bench/results/index --every $(EVERY)

bench-quality: install  ## answer questions of public sets and score them: DATA=, SPLIT=dev|test, LIMIT=, SETS=
	@.venv/bin/python -m bench.quality --data "$(DATA)" --split $(SPLIT) --limit $(LIMIT) $(if $(SETS),--sets $(SETS))

bench-retrieval: install  ## retrieval on public sets beside published baselines: DATA=
	@.venv/bin/python -m bench.retrieval --data "$(DATA)"

bench-peers: install  ## the product, a naive pipeline and LlamaIndex over the seeds' questions: EVERY=3 for a third
	@bench/peers/run.sh seeds/gold.jsonl seeds bench/results/peers/seeds --every $(EVERY)

bench-crash: install  ## kill, starve and damage an index, and count what is lost
	@.venv/bin/python -m bench.crash

bench-scale: install  ## time, bytes, memory and recall at each size: N="10000 100000"
	@.venv/bin/python -m bench.scale $(N)

clean:  ## what was built here; models and compiled wheels in the user's cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist bench/results
	find index -mindepth 1 ! -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
