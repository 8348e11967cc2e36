# Each target is safe to run again and does only what is missing.
RAG := .venv/bin/rag
Q ?= Why did the CAI stall?

.PHONY: install ask test check bench clean

install:  ## a .venv with everything, and the models
	@scripts/install.sh
	@$(RAG) models pull --quiet

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

bench: install  ## answer the seeds' gold set with the real models and score it
	@$(RAG) index seeds --index bench/results/index
	@$(RAG) eval seeds/gold.jsonl --index bench/results/index --report bench/results/seeds --failures

clean:  ## what was built here; models and compiled wheels in the user's cache stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist bench/results
	find index -mindepth 1 ! -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
