"""The naive pipeline with our own retrieval and model: a mode of the bench, not of the product.

    python -m bench.peers.naive GOLD --corpus DIR --out FILE

The five best passages under labels, an instruction to cite them and to say where they do not
answer, and whatever the model then writes, unchecked. It shows what selection, composing and
verifying add: retrieval, model and decoding are the product's own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench.peers.common import Offered, Row, append, record, rows, unanswered
from bench.support import FETCHED
from rag.answering import Engine
from rag.commands.opening import embedder_name, load_embedder, open_engine
from rag.config import load
from rag.indexing import build_index
from rag.records import Evidence, Generator, Hit, Prompt

PASSAGES = 5
NEW_TOKENS = 256
_SENTENCES = 50  # never reached: the length of an answer is bounded in tokens
SYSTEM = (
    "You answer questions from the sources given. Cite the sources you use by their numbers, like"
    " [1]. If the sources do not answer the question, say that the documents do not answer this."
)
_FIELD = "\ue000"


def prompt(question: str, hits: list[Hit], generator: Generator) -> Prompt:
    """System, labelled passages, question; document text never becomes a control token."""
    chat = generator.chat(
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": _FIELD}]
    )
    before, after = chat.split(_FIELD)
    passages = "\n\n".join(f"[{n}] {hit.passage.clean}" for n, hit in enumerate(hits, 1))
    body = f"Sources:\n\n{passages}\n\nQuestion: {question}".replace(_FIELD, "")
    evidence = tuple(
        Evidence(
            document=hit.document,
            start=hit.passage.start,
            end=hit.passage.end,
            clean=f"{hit.passage.clean} [{n}]",
            lead=None,
            passage_id=hit.passage_id,
            score=hit.score,
            cosine=hit.stage_scores.get("dense", 0.0),
        )
        for n, hit in enumerate(hits, 1)
    )
    pieces = (
        tuple(generator.tokenize(before, special=True)),
        tuple(generator.tokenize(body, special=False)),
        tuple(generator.tokenize(after, special=True)),
    )
    return Prompt(pieces=pieces, question=question, evidence=evidence)


def answer(question: Row, engine: Engine) -> Row:
    """Answer one question of a gold set."""
    started = time.perf_counter()
    query, hits = engine.search(question["question"], PASSAGES)
    composed = prompt(query.text, hits, engine.generator)
    reused = engine.generator.read(composed)
    text = " ".join(engine.generator.sentences("", max_tokens=NEW_TOKENS, limit=_SENTENCES))
    ended = time.perf_counter()
    first = engine.generator.first_token_at or ended
    texts = {hit.document.id: engine.store.text(hit.document.id) for hit in hits}
    sources = [
        Offered(
            label=number,
            document=hit.document.path,
            start=hit.passage.start,
            end=hit.passage.end,
            quote=texts[hit.document.id][hit.passage.start : hit.passage.end],
        )
        for number, hit in enumerate(hits, 1)
    ]
    stats = {
        "first_token_ms": round((first - started) * 1000),
        "total_ms": round((ended - started) * 1000),
        "prompt_tokens": len(composed.tokens),
        "reused_tokens": reused,
        "answer_tokens": engine.generator.written,
    }
    return record(question, text, sources, stats=stats, llm=engine.generator.name)


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, index, answer what is not answered yet."""
    parser = argparse.ArgumentParser(description="the naive pipeline over a gold set")
    parser.add_argument("gold", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="only each Nth question")
    parser.add_argument("--offset", type=int, default=0, help="first question")
    parser.add_argument("--limit", type=int, default=None)
    chosen = parser.parse_args(arguments)
    gold = rows(chosen.gold)[chosen.offset :: chosen.every][: chosen.limit]
    todo = list(unanswered(gold, chosen.out))
    if not todo:
        return
    settings = load()
    with tempfile.TemporaryDirectory() as folder:
        build_index(
            [chosen.corpus],
            folder=Path(folder),
            open_embedder=lambda: load_embedder(settings, FETCHED),
            embedder_name=embedder_name(settings),
            max_bytes=int(settings.max_file_mb * 1e6),
        )
        engine = open_engine(load(flags={"index": folder}), FETCHED)
        for number, question in enumerate(todo):
            print(f"\rnaive: {number} of {len(todo)} ", end="", file=sys.stderr, flush=True)
            append(chosen.out, answer(question, engine))
        engine.store.close()
    print("\r", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
