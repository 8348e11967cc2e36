"""How an index grows: time, bytes, memory, speed and recall at each size.

    python -m bench.scale 10000 100000     (make bench-scale N="10000 100000")
    python -m bench.scale --folder DIR     keep the indexes there, and search those that are there

The texts are synthetic: words drawn by Zipf's law. The vectors are synthetic too: points around
random centres, a centre for each hundred passages. Questions are a passage's vector with noise, and
words of that passage. Recall is measured against exact search over the same passages. A document is
added by a run of its own, as ``rag index`` does it with the default embedder, less what that took.
Seconds are of processor time, beside them the wall clock: on a shared machine only the first can
be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.support import INSTALLED
from rag.commands.opening import embedder_name, load_embedder
from rag.config import load
from rag.documents.describe import Description
from rag.documents.sandbox import DEFAULT_LIMITS
from rag.documents.split import Split
from rag.indexing import build_index, recipe_of
from rag.records import Document, Embedder, FloatMatrix, Passage, Sentence
from rag.retrieval.retrieve import Query, fuse, retrieve
from rag.storage import dense, lexical
from rag.storage.store import IndexedFile, Store, open_index
from rag.storage.sums import text_sum
from rag.storage.writing import Writer, writing

DIMENSION = 384
PER_DOCUMENT = 100
WORDS = 30  # a sentence's; two sentences make a passage
_VOCABULARY = 200_000
_POOL = 100
SETTINGS = load()
EMBEDDER = embedder_name(SETTINGS)
RECIPE = recipe_of(EMBEDDER, DEFAULT_LIMITS)
T = TypeVar("T")
Found = list[tuple[int, float]]


def cumulated() -> np.ndarray[Any, Any]:
    """The distribution of words: Zipf's law without its first ten, which are no content."""
    weights = 1 / np.arange(10, _VOCABULARY + 10)
    cumulative: np.ndarray[Any, Any] = np.cumsum(weights / weights.sum())
    return cumulative


def document(number: int, zipf: np.ndarray[Any, Any]) -> tuple[Document, Split, FloatMatrix]:
    """A synthetic document, its passages, and a vector for each."""
    draw = np.random.default_rng(number)
    words = np.searchsorted(zipf, draw.random((PER_DOCUMENT, 2, WORDS)))
    text, passages = "", []
    for rows in words:
        start, sentences = len(text), []
        for row in rows:
            clean = " ".join(f"w{word}x" for word in row) + "."
            sentences.append(Sentence(len(text), len(text) + len(clean), clean))
            text += clean + " "
        passages.append(Passage(start, len(text) - 1, "", tuple(sentences)))
    centre = np.random.default_rng(10**9 + number).standard_normal(DIMENSION)
    points = centre + 0.7 * draw.standard_normal((PER_DOCUMENT, DIMENSION))
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    path = f"{number:07}.txt"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    parts = Split(Description(title=f"Document {number}"), tuple(passages), ())
    return Document(path, text, sha256, "utf-8"), parts, vectors


@contextlib.contextmanager
def timed(into: dict[str, Any], name: str) -> Iterator[None]:
    """Seconds of processor time, and of the clock."""
    cpu, wall = time.process_time(), time.monotonic()
    yield
    into[f"{name} cpu s"] = round(time.process_time() - cpu, 2)
    into[f"{name} wall s"] = round(time.monotonic() - wall, 2)


def add(store: Writer, numbers: range) -> dict[str, IndexedFile]:
    """Stage synthetic documents."""
    zipf, files = cumulated(), {}
    for number in numbers:
        read, parts, vectors = document(number, zipf)
        store.stage(read, parts, recipe=RECIPE, passage_vectors=vectors,
                    sentence_vectors=np.repeat(vectors, 2, axis=0))  # fmt: skip
        files[read.path] = IndexedFile("scale", read.sha256, text_sum(read.text), "", RECIPE)
    return files


def build(folder: Path, passages: int) -> dict[str, Any]:
    """Build an index, then add one document to it."""
    found: dict[str, Any] = {}
    documents = passages // PER_DOCUMENT
    with writing(folder) as store:
        with timed(found, "stage"):
            files = add(store, range(documents))
        with timed(found, "publish"):
            store.publish(files, (), {"embedder": EMBEDDER, "recipe": RECIPE})
        with timed(found, "dense"):
            dense.refresh(store)
    found["build peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


class Timed:
    """The embedder of the settings, which knows what it took: to open, to count and to embed."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def open(self) -> Embedder:
        """Load the model."""
        self._inner = self._timed(lambda: load_embedder(SETTINGS, INSTALLED))
        self.name, self.dimension = self._inner.name, self._inner.dimension
        self.max_tokens = self._inner.max_tokens
        return self

    def count(self, text: str) -> int:
        """As the embedder does."""
        return self._timed(lambda: self._inner.count(text))

    def embed(self, texts: list[str]) -> FloatMatrix:
        """As the embedder does."""
        return self._timed(lambda: self._inner.embed(texts))

    def _timed(self, work: Callable[[], T]) -> T:
        cpu, wall = time.process_time(), time.monotonic()
        try:
            return work()
        finally:
            self.cpu += time.process_time() - cpu
            self.wall += time.monotonic() - wall


def add_one(folder: Path) -> dict[str, Any]:
    """Add one document, in a process of its own."""
    found: dict[str, Any] = {}
    embedder = Timed()
    with tempfile.TemporaryDirectory() as docs:
        with contextlib.closing(open_index(folder)) as store:
            there = store.document_count()
        read, _, _ = document(there, cumulated())
        (Path(docs) / read.path).write_text(read.text, encoding="utf-8")
        with timed(found, "add one"):
            report = build_index(
                [Path(docs)], folder=folder, open_embedder=embedder.open,
                embedder_name=EMBEDDER, max_bytes=10**6,
            )  # fmt: skip
    if len(report.added) != 1 or report.mended:
        raise SystemExit(f"not added: {report}")
    found["add one cpu s"] = round(found["add one cpu s"] - embedder.cpu, 2)
    found["add one wall s"] = round(found["add one wall s"] - embedder.wall, 2)
    found["add one peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def queries(passages: int, count: int) -> list[Query]:
    """Questions like passages that are there."""
    zipf, draw, found = cumulated(), np.random.default_rng(7), []
    for number in draw.integers(0, passages // PER_DOCUMENT, count):
        read, parts, vectors = document(int(number), zipf)
        at = int(draw.integers(PER_DOCUMENT))
        point = vectors[at] + 0.5 * draw.standard_normal(DIMENSION) / np.sqrt(DIMENSION)
        said = parts.passages[at].clean.replace(".", "").split()
        terms = tuple(dict.fromkeys(str(word) for word in draw.choice(said, 5)))
        vector = (point / np.linalg.norm(point)).astype(np.float32)
        found.append(Query(read.path, vector, terms))
    return found


def exact_dense(store: Store, asked: list[Query]) -> list[Found]:
    """The best by inner product, all vectors looked at."""
    matrix = np.stack([query.vector for query in asked])
    best: list[list[tuple[float, int]]] = [[] for _ in asked]
    for first in range(0, store.last_passage() + 1, 20_000):
        ids, vectors = store.passage_vectors(first, first + 19_999)
        scores = matrix @ vectors.T
        for row, kept in zip(scores, best, strict=True):
            top = np.argsort(-row)[:_POOL]
            kept += [(float(row[at]), int(ids[at])) for at in top]
            kept.sort(key=lambda pair: (-pair[0], pair[1]))
            del kept[_POOL:]
    return [[(id_, score) for score, id_ in kept] for kept in best]


def measure(folder: Path, passages: int, *, asked: int, against: int) -> dict[str, Any]:
    """Open, search, and compare with exact search."""
    found: dict[str, Any] = {}
    with timed(found, "open"):
        store = open_index(folder)
        opened = dense.open_dense(store)
    questions = queries(passages, asked)

    def each(name: str, work: Callable[[Query], Any]) -> None:
        took, waited = [], []
        for query in questions:
            began, cpu = time.monotonic(), time.process_time()
            work(query)
            took.append((time.process_time() - cpu) * 1000)
            waited.append((time.monotonic() - began) * 1000)
        for kind, times in (("cpu", took), ("wall", waited)):
            for share in (50, 95):
                found[f"{name} p{share} {kind} ms"] = round(float(np.percentile(times, share)), 1)

    each("fused", lambda q: retrieve(q, store=store, dense=opened, limit=10))
    each("dense", lambda q: opened.search(q.vector, _POOL))
    each("lexical", lambda q: store.lexical_search(q.terms, _POOL))
    sample = questions[:against]
    near = exact_dense(store, sample)
    recall: dict[str, list[float]] = {"dense": [], "lexical": [], "fused": []}
    for query, best in zip(sample, near, strict=True):
        match = " OR ".join(f'"{term}"' for term in query.terms)
        words = lexical.scored(store.rows, match, _POOL)
        mine = opened.search(query.vector, _POOL), store.lexical_search(query.terms, _POOL)
        for name, one, other in (
            ("dense", [i for i, _ in mine[0]], [i for i, _ in best]),
            ("lexical", [i for i, _ in mine[1]], [i for i, _ in words]),
            ("fused", [i for i, _ in fuse(*mine)], [i for i, _ in fuse(best, words)]),
        ):
            wanted = set(other[:10])
            recall[name].append(len(wanted & set(one[:10])) / max(len(wanted), 1))
    for name, shares in recall.items():
        found[f"{name} recall@10"] = round(float(np.mean(shares)), 4)
    found["search peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["bytes a passage"] = sum(f.stat().st_size for f in folder.iterdir()) // passages
    store.close()
    return found


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure in a child process, so that peak memory is its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(writer, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as data:
        said = data.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit("failed")
    found: dict[str, Any] = json.loads(said)
    return found


def measured(root: Path, size: int, *, asked: int, against: int) -> dict[str, Any]:
    """Everything of one size; an index that is there is not built again."""
    folder, built = root / "index", root / "built.json"
    if not built.exists():
        root.mkdir(parents=True)
        if shutil.disk_usage(root).free < size * 12_000:
            raise SystemExit(f"{size:,} passages need about {size * 12_000 / 1e9:.0f} GB")
        built.write_text(json.dumps(apart(lambda: build(folder, size))))
    row: dict[str, Any] = json.loads(built.read_text())
    print(size, row, file=sys.stderr, flush=True)
    row |= apart(lambda: measure(folder, size, asked=asked, against=against))
    return row | apart(lambda: add_one(folder))


def main() -> None:
    """Measure each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="Keep the indexes here, and use what is there.")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--against", type=int, default=50, help="Questions searched exactly too.")
    chosen = parser.parse_args()
    columns: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as made:
        for size in chosen.sizes:
            root = (chosen.folder or Path(made)) / str(size)
            columns[size] = measured(root, size, asked=chosen.queries, against=chosen.against)
            if not chosen.folder:
                shutil.rmtree(root)
            print(size, columns[size], file=sys.stderr, flush=True)
    names = list(columns[chosen.sizes[0]])
    print("| passages | " + " | ".join(f"{size:,}" for size in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in names:
        print(f"| {name} | " + " | ".join(str(row[name]) for row in columns.values()) + " |")


if __name__ == "__main__":
    main()
