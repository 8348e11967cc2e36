"""LlamaIndex's CitationQueryEngine over the same documents, questions and models.

    ~/.cache/rag/peers-venv/bin/python -m bench.peers.llamaindex GOLD --corpus DIR --out FILE

Runs in an environment of its own, without the product. As its documentation has it:
``CitationQueryEngine.from_args(index, similarity_top_k=3, citation_chunk_size=512)`` over a
``VectorStoreIndex`` with default node parsing, ``LlamaCPP`` with 256 new tokens and the model's own
chat format, ``HuggingFaceEmbedding``. Chosen by us, so that the comparison is of pipelines: the
same GGUF, context and greedy decoding (temperature 0), as many threads as the product takes, and
files passed as they are (its directory reader would rewrite Markdown).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.peers.common import Offered, append, documents, place, record, rows, unanswered

SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CONTEXT_TOKENS = 4096
NEW_TOKENS = 256


class _Prompts:
    """Qwen's chat format, and the prompts that were made with it since the last ``clear``."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def clear(self) -> None:
        self.made.clear()

    def completion(self, completion: str) -> str:
        return self._keep([("system", SYSTEM), ("user", completion)])

    def messages(self, messages: Any) -> str:
        turns = [(str(m.role.value), str(m.content)) for m in messages]
        return self._keep(turns if turns[0][0] == "system" else [("system", SYSTEM), *turns])

    def _keep(self, turns: list[tuple[str, str]]) -> str:
        body = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
        self.made.append(f"{body}<|im_start|>assistant\n")
        return self.made[-1]


def build(texts: dict[str, str], embedder: Path, store: Path) -> Any:
    """The index over the documents, kept in ``store`` so that a later run need not embed again."""
    from llama_index.core import Document, StorageContext, VectorStoreIndex
    from llama_index.core import load_index_from_storage as load
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    model = HuggingFaceEmbedding(model_name=str(embedder), device="cpu")
    digest = hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()[:16]
    folder = store / f"llamaindex-{digest}"
    if (folder / "done").is_file():
        return load(StorageContext.from_defaults(persist_dir=str(folder)), embed_model=model)
    made = [
        Document(
            text=text,
            id_=path,
            metadata={"file_name": path},
            excluded_embed_metadata_keys=["file_name"],  # as its directory reader does
            excluded_llm_metadata_keys=["file_name"],
        )
        for path, text in texts.items()
    ]
    index = VectorStoreIndex.from_documents(made, embed_model=model)
    index.storage_context.persist(persist_dir=str(folder))
    (folder / "done").touch()
    return index


def offered(source_nodes: Any, texts: dict[str, str]) -> list[Offered]:
    """The numbered sources as they stand in the documents."""
    found = []
    for number, scored in enumerate(source_nodes, 1):
        path = scored.node.metadata["file_name"]
        shown = scored.node.get_content(metadata_mode="none")
        chunk = shown.removeprefix(f"Source {number}:\n").strip()
        start, end = place(texts[path], chunk)
        quote = texts[path][start:end] if start >= 0 else chunk
        found.append(Offered(number, path, start, end, quote))
    return found


def main() -> None:
    """Parse arguments, index, answer what is not answered yet."""
    parser = argparse.ArgumentParser(description="LlamaIndex's citation engine over a gold set")
    parser.add_argument("gold", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--llm", type=Path, required=True, help="GGUF file")
    parser.add_argument("--embedder", type=Path, required=True, help="sentence-transformers folder")
    parser.add_argument("--every", type=int, default=1, help="only each Nth question")
    parser.add_argument("--offset", type=int, default=0, help="first question")
    parser.add_argument("--limit", type=int, default=None)
    chosen = parser.parse_args()
    gold = rows(chosen.gold)[chosen.offset :: chosen.every][: chosen.limit]
    texts = documents(chosen.corpus)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    todo = list(unanswered(gold, chosen.out))
    if not todo:
        return

    from llama_index.core.query_engine import CitationQueryEngine
    from llama_index.llms.llama_cpp import LlamaCPP

    prompts = _Prompts()
    llm = LlamaCPP(
        model_path=str(chosen.llm),
        temperature=0.0,
        max_new_tokens=NEW_TOKENS,
        context_window=CONTEXT_TOKENS,
        model_kwargs={"n_threads": len(os.sched_getaffinity(0))},
        messages_to_prompt=prompts.messages,
        completion_to_prompt=prompts.completion,
        verbose=False,
    )
    model: Any = llm._model  # its tokenizer is not reachable otherwise
    index = build(texts, chosen.embedder, chosen.out.parent)
    engine = CitationQueryEngine.from_args(
        index, llm=llm, similarity_top_k=3, citation_chunk_size=512, streaming=True
    )
    for number, question in enumerate(todo):
        print(f"\rllamaindex: {number} of {len(todo)} ", end="", file=sys.stderr, flush=True)
        prompts.clear()
        started = time.perf_counter()
        response: Any = engine.query(question["question"])
        first, pieces = 0.0, []
        # Where it finds no node at all it returns a plain response: there is no stream.
        for piece in getattr(response, "response_gen", None) or [str(response)]:
            first = first or time.perf_counter()
            pieces.append(piece)
        ended = time.perf_counter()
        text = "".join(pieces)
        stats = {
            "first_token_ms": round(((first or ended) - started) * 1000),
            "total_ms": round((ended - started) * 1000),
            # over all calls: with long passages it asks again to refine the first answer
            "prompt_tokens": sum(
                len(model.tokenize(p.encode(), add_bos=False, special=True)) for p in prompts.made
            ),
            "answer_tokens": len(model.tokenize(text.encode(), add_bos=False)),
            "calls": len(prompts.made),
        }
        sources = offered(response.source_nodes, texts)
        append(chosen.out, record(question, text, sources, stats=stats, llm=chosen.llm.stem))
    print("\r", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
