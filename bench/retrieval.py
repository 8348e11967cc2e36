"""Retrieval alone, beside published baselines: lexical, dense and fused, as the product runs them.

    OMP_NUM_THREADS=1 python -m bench.retrieval --sets scifact musique xquad

Documents are split, embedded, stored and searched by the product's own code; a document's rank is
that of its best passage. Sentences are stored without vectors, which retrieval does not use, so an
index made here is of no use for answering. It is kept in ``--cache`` and made once.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.sets import musique, scifact, xquad
from bench.sets.convert import DATA
from bench.sets.records import BenchSet, choose
from bench.support import FETCHED
from rag.commands.opening import embedder_name, load_embedder
from rag.config import Settings, load
from rag.documents import split
from rag.records import Acronym, Document, Embedder
from rag.retrieval.retrieve import make_query, retrieve
from rag.storage import dense
from rag.storage.store import IndexedFile, Store, open_index
from rag.storage.sums import text_sum
from rag.storage.writing import Writer, writing

LOADERS: dict[str, Callable[[Path], BenchSet]] = {
    "scifact": scifact.load,
    "scifact-train": lambda data: scifact.load(data, "train"),
    "musique": musique.load,
    "xquad": xquad.load,
}
METRICS = ("ndcg@10", "recall@5", "recall@10", "recall@100")
# Measured once with other code over the same data: BM25 (k1 1.2, b 0.75, Porter stems, stop words
# removed), all-MiniLM-L6-v2 at 256 word pieces, and RRF (k = 60) over both top-100 lists, all over
# whole documents.
BASELINES: dict[str, dict[str, tuple[float | None, ...]]] = {
    "scifact": {
        "lexical": (0.679, None, 0.808, 0.913),
        "dense": (0.645, None, 0.783, 0.925),
        "fused": (0.715, None, 0.844, 0.948),
    },
    "musique": {
        "lexical": (0.539, 0.493, 0.559, None),
        "dense": (0.659, 0.622, 0.703, None),
        "fused": (0.639, 0.581, 0.695, None),
    },
    "xquad": {
        "lexical": (0.963, 0.986, None, None),
        "dense": (0.943, 0.982, None, None),
        "fused": (0.970, 0.992, None, None),
    },
}
_DEEP = 400  # passages taken from one stage, so that 100 documents come of them
_BATCH = 256


def ndcg(ranked: Sequence[str], relevant: Iterable[str], k: int = 10) -> float:
    """``sum of 1 / log2(rank + 1)`` over relevant documents to rank k, over the best possible."""
    wanted = set(relevant)
    gain = sum(1 / math.log2(n + 2) for n, path in enumerate(ranked[:k]) if path in wanted)
    return gain / sum(1 / math.log2(n + 2) for n in range(min(k, len(wanted))))


def recall(ranked: Sequence[str], relevant: Iterable[str], k: int) -> float:
    """Share of the relevant documents that stand among the first k."""
    wanted = set(relevant)
    return len(wanted & set(ranked[:k])) / len(wanted)


def scores(ranked: Sequence[str], relevant: Iterable[str]) -> tuple[float, ...]:
    """The values of ``METRICS`` for one question."""
    wanted = set(relevant)
    return (ndcg(ranked, wanted), *(recall(ranked, wanted, k) for k in (5, 10, 100)))


def best_ranks(passages: Iterable[int], document_of: dict[int, str]) -> list[str]:
    """Documents in the order of their best passage."""
    return list(dict.fromkeys(document_of[passage] for passage in passages))


def weighted(lists: Sequence[tuple[float, Sequence[int]]]) -> list[int]:
    """Passages by ``sum of weight / (60 + rank)``: reciprocal rank fusion, a weight a stage."""
    fused: dict[int, float] = {}
    for weight, ranked in lists:
        for rank, passage in enumerate(ranked, 1):
            fused[passage] = fused.get(passage, 0.0) + weight / (60 + rank)
    return sorted(fused, key=lambda passage: (-fused[passage], passage))


def index(documents: dict[str, str], folder: Path, embedder: Embedder) -> None:
    """Make the index hold the documents, unless it does; a run that was killed goes on."""
    recipe = f"{embedder.name}/split-{split.VERSION}/no-sentence-vectors"
    with writing(folder) as store:
        if store.generation and store.meta("recipe") == recipe:
            if sorted(store.files()) == sorted(documents):
                return
            raise SystemExit(f"{folder} holds other documents: delete it")
        contents = {path: text_sum(text) for path, text in documents.items()}
        staged = store.contents(live=False)
        wanted = [path for path in sorted(documents) if contents[path] not in staged]
        for number, path in enumerate(wanted):
            if number % 50 == 0:
                print(f"\r{folder.name}: {number:,} of {len(wanted):,} ", end="", file=sys.stderr)
            _stage(store, path, documents[path], embedder, recipe)
        print("\r", end="", file=sys.stderr)
        store.publish(
            {p: IndexedFile("bench", c, c, "", recipe) for p, c in contents.items()},
            gone=(),
            facts={"embedder": embedder.name, "recipe": recipe},
        )
        dense.refresh(store)


def _stage(store: Writer, path: str, text: str, embedder: Embedder, recipe: str) -> None:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    document = Document(path=path, text=text, sha256=sha256, encoding="utf-8")
    parts = split.split(document, count=embedder.count, max_tokens=embedder.max_tokens)
    texts = [split.embedding_text(p, parts.description.title) for p in parts.passages]
    vectors = [np.zeros((0, embedder.dimension), dtype=np.float32)]
    vectors += [embedder.embed(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
    store.stage(
        document,
        parts,
        recipe=recipe,
        passage_vectors=np.concatenate(vectors),
        sentence_vectors=np.zeros(
            (sum(len(p.sentences) for p in parts.passages), embedder.dimension), dtype=np.float32
        ),
    )


def measure(
    asked: BenchSet, folder: Path, embedder: Embedder, *, weights: Sequence[float] = ()
) -> dict[str, tuple[float, ...]]:
    """Mean ``METRICS`` of each stage over the questions of a set.

    Args:
        asked: Questions with their relevant documents.
        folder: Of the index over the set's documents.
        embedder: That made it.
        weights: Also fuse by reciprocal ranks, dense counted so many times as much as lexical.
    """
    store = open_index(folder)
    try:
        found = dense.open_dense(store)
        document_of = _documents_of(store)
        acronyms = _Acronyms(store.acronyms())
        rows: dict[str, list[tuple[float, ...]]] = {}
        for question in asked.questions:
            query = make_query(
                question.question, embedder=embedder, acronyms=acronyms.near(question.question)
            )
            by_words = [id_ for id_, _ in store.lexical_search(query.terms, _DEEP)]
            by_meaning = [id_ for id_, _ in found.search(query.vector, _DEEP)]
            hits = retrieve(query, store=store, dense=found, limit=200)
            ranked = {
                "lexical": best_ranks(by_words, document_of),
                "dense": best_ranks(by_meaning, document_of),
                "fused": list(dict.fromkeys(hit.document.path for hit in hits)),
            }
            for weight in weights:
                mixed = weighted([(weight, by_meaning[:100]), (1.0, by_words[:100])])
                ranked[f"ranks x{weight:g}"] = best_ranks(mixed, document_of)
            for stage, paths in ranked.items():
                rows.setdefault(stage, []).append(scores(paths, question.relevant))
        return {
            stage: tuple(float(v) for v in np.mean(values, axis=0))
            for stage, values in rows.items()
        }
    finally:
        store.close()


def _documents_of(store: Store) -> dict[int, str]:
    ids, _ = store.passage_vectors()
    return {int(id_): store.hit(int(id_), 0.0, {}, {}).document.path for id_ in ids}


class _Acronyms:
    """Gives those acronyms that can match a question at all.

    Thousands are defined in 5,000 abstracts, and ``expand`` compiles two patterns for each.
    """

    def __init__(self, known: list[Acronym]) -> None:
        self._known = [(a, a.short.casefold(), a.long.casefold()) for a in known]

    def near(self, question: str) -> list[Acronym]:
        folded = " ".join(question.split()).casefold()
        return [a for a, short, long in self._known if short in folded or long in folded]


def table(
    results: dict[str, dict[str, tuple[float, ...]]],
    baselines: dict[str, dict[str, tuple[float | None, ...]]],
) -> str:
    """Ours; in brackets the baseline and the difference, where there is one."""
    lines = [f"{'set':14} {'stage':12} " + " ".join(f"{name:>22}" for name in METRICS)]
    for name, stages in results.items():
        for stage, values in stages.items():
            known = baselines.get(name, {}).get(stage, (None,) * len(METRICS))
            cells = [_cell(value, base) for value, base in zip(values, known, strict=True)]
            lines.append(f"{name:14} {stage:12} " + " ".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float, base: float | None) -> str:
    return f"{value:.3f}" if base is None else f"{value:.3f} ({base:.3f}, {value - base:+.3f})"


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, index what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", nargs="+", default=["scifact", "musique", "xquad"],
                        choices=tuple(LOADERS))  # fmt: skip
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, default=Path("bench/results/retrieval"))
    parser.add_argument("--split", choices=("dev", "test"), default=None)
    parser.add_argument("--weights", type=float, nargs="*", default=[],
                        help="also fuse by ranks, dense weighted so")  # fmt: skip
    chosen = parser.parse_args(arguments)
    settings = load()
    embedder = load_embedder(settings, FETCHED)
    results = {}
    for name in chosen.sets:
        whole = LOADERS[name](chosen.data)
        folder = chosen.cache / f"{name.removesuffix('-train')}-{embedder_name(settings)}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        index(whole.documents, folder, embedder)
        asked = choose(whole, split=chosen.split)
        results[name] = measure(asked, folder, embedder, weights=chosen.weights)
        print(f"{name}: {len(asked.questions):,} questions", file=sys.stderr)
    # The baselines are MiniLM's, over all questions.
    comparable = settings.embedder == Settings().embedder and chosen.split is None
    print(table(results, BASELINES if comparable else {}))


if __name__ == "__main__":
    main()
