"""The FAISS files: derived from the store, checked before they are loaded, rebuilt when in doubt.

FAISS files carry no checksum (a flipped bit can silently return wrong neighbours), and
``faiss.write_index`` neither syncs nor notices a full disk. So the bytes are ours to write:

    line 1   JSON: identity and generation of the store it was built from, which file it is, what it
             holds, SHA-256 of the rest
    rest     ``faiss.serialize_index``

A file covers a range of passage ids and stays as it is while little of that range changes: what
was removed since is left out of its answers, what was added since is searched beside it. So adding
a document costs the same however large the index is, and a rebuild needs memory for one file only.
A small index is one file, searched exactly. A large one holds a byte for each dimension, and the
best of what it finds are scored again with the stored vectors. A very large one keeps its passages
in cells of similar ones, and a quarter of the cells is searched. A file is of the kind that its
index was large enough for when it was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rag.files import remove_left_over, replace_file
from rag.records import FloatMatrix
from rag.storage.store import Ids, Store

T = TypeVar("T")

FILE = "dense.faiss"
SPAN = 50_000  # passage ids that a file covers, and the largest index that is searched exactly
SCANNED = 300_000  # the largest index of which new files are searched from end to end
_CELL = 200  # passages in a cell
_PROBED = 4  # one cell in so many is searched
_ALWAYS = 10_000  # a file of fewer passages is rewritten at every change
_CHANGED = 0.05  # a larger one when so much of it is new or gone
_AT_ONCE = 4  # files read side by side, each in memory twice for a moment
_AGAIN = 2  # times as many are scored again as are wanted


@dataclass(frozen=True, slots=True)
class Part:
    """What is searched at once: a file, or what was added since it was written.

    Attributes:
        index: A FAISS index that knows passage ids.
        removed: int64 (n,), passages in it that left the index since.
    """

    index: Any
    removed: Ids

    @property
    def exact(self) -> bool:
        """Whether it holds the vectors themselves."""
        import faiss

        return isinstance(faiss.downcast_index(self.index.index), faiss.IndexFlat)

    def search(self, vector: FloatMatrix, limit: int, among: Ids | None) -> tuple[Ids, FloatMatrix]:
        """Ids and inner products, best first."""
        import faiss

        wanted: Any = None if among is None else faiss.IDSelectorBatch(among)
        if len(self.removed):
            gone = faiss.IDSelectorBatch(self.removed)  # must outlive what refers to it
            left = faiss.IDSelectorNot(gone)
            wanted = left if wanted is None else faiss.IDSelectorAnd(wanted, left)
        inner: Any = faiss.downcast_index(self.index.index)
        kind: Any = faiss.SearchParameters
        chosen = None if wanted is None else kind(sel=wanted)
        if isinstance(inner, faiss.IndexIVF):
            probed = inner.nlist // _PROBED if among is None else inner.nlist
            kind = faiss.SearchParametersIVF
            chosen = kind(sel=wanted, nprobe=probed)
        # One question is no work for several threads: they would only wait for each other.
        faiss.omp_set_num_threads(1)
        most = min(limit, int(self.index.ntotal))
        scores, ids = self.index.search(vector[None, :], most, params=chosen)
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]


class DenseIndex:
    """Inner-product search over the passages of one generation."""

    def __init__(
        self, parts: list[Part], vectors_of: Callable[[Ids], tuple[Ids, FloatMatrix]]
    ) -> None:
        self._parts = [part for part in parts if part.index.ntotal]
        self._vectors_of = vectors_of

    def __len__(self) -> int:
        return sum(int(part.index.ntotal) - len(part.removed) for part in self._parts)

    def search(
        self, vector: FloatMatrix, limit: int, *, among: Ids | None = None
    ) -> list[tuple[int, float]]:
        """Passage ids and cosines, best first.

        Args:
            vector: float32 (dimension,), of unit length.
            limit: At most so many.
            among: int64 (n,), the only passages that are looked at; None means all.
        """
        if among is not None and not len(among):
            return []
        exact = all(part.exact for part in self._parts)
        most = limit if exact else limit * _AGAIN
        found = [part.search(vector, most, among) for part in self._parts]
        if not found:
            return []
        ids = np.concatenate([ids for ids, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        if len(found) > 1 or not exact:
            order = np.argsort(-scores, kind="stable")[:most]
            ids, scores = ids[order], scores[order]
        if not exact:
            ids, vectors = self._vectors_of(ids)
            scores = vectors @ vector
            order = np.lexsort((ids, -scores))[:limit]
            ids, scores = ids[order], scores[order]
        return [(int(i), float(s)) for i, s in zip(ids, scores, strict=True)]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A range of passage ids, and what of it the store has."""

    number: int
    identity: str
    file: Path

    @property
    def first(self) -> int:
        return self.number * SPAN

    @property
    def last(self) -> int:
        return self.first + SPAN - 1


def open_dense(store: Store) -> DenseIndex:
    """Load the files that match the store; what they lack is taken from the stored vectors."""
    found = _each(_segments(store), lambda segment: _parts(store, segment))
    return DenseIndex([part for parts in found for part in parts], store.vectors_of)


def problem(store: Store) -> str:
    """Why a file does not match the store, or "" where all do."""
    stale = [segment.file.name for segment in _outdated(store, _segments(store))]
    if not stale:
        return ""
    return f"{', '.join(stale)}: missing, damaged or out of date; rebuilt by: rag index"


def complete(store: Store) -> bool:
    """Whether what is searched is each live passage, once."""
    import faiss

    found: list[int] = []
    for segment in _segments(store):
        for part in _parts(store, segment):
            ids = faiss.vector_to_array(part.index.id_map)
            found += np.setdiff1d(ids, part.removed).tolist()
    return sorted(found) == store.live_passages()


def refresh(store: Store) -> int:
    """Rewrite the files that lack too much, without embedding; returns how many."""
    segments = _segments(store)
    stale = _outdated(store, segments)
    for segment in stale:
        _write(store, segment)
    known = {segment.file for segment in segments}
    for file in store.folder.glob("dense*.faiss"):
        if file not in known:
            file.unlink(missing_ok=True)
    for file in known:
        remove_left_over(file)
    return len(stale)


def _write(store: Store, segment: _Segment) -> None:
    """Write the file of a range of passages from the stored vectors."""
    import faiss

    built = Part(_built(store, segment), np.zeros(0, dtype=np.int64))
    payload = faiss.serialize_index(built.index).tobytes()
    header = {
        "identity": segment.identity,
        "generation": store.generation,
        "segment": segment.number,
        "passages": int(built.index.ntotal),
        "exact": built.exact,
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    replace_file(segment.file, [json.dumps(header).encode() + b"\n", payload])


def _built(store: Store, segment: _Segment) -> Any:
    import faiss

    dimension = int(store.meta("dimension", "0"))
    ids, vectors = store.passage_vectors(segment.first, segment.last)
    inner: Any = faiss.IndexFlatIP(dimension)
    if len(ids) and _large(store):
        inner = _bytes(dimension, len(ids), cells=int(store.meta("passages")) > SCANNED)
        inner.train(vectors)
    index = faiss.IndexIDMap(inner)
    index.add_with_ids(vectors, ids)
    return index


def _bytes(dimension: int, passages: int, *, cells: bool) -> Any:
    """An index of a byte for each dimension; in cells, where there are enough passages for that."""
    import faiss

    kind = faiss.ScalarQuantizer.QT_8bit
    if not cells or passages < _ALWAYS:
        return faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT)
    centres = faiss.IndexFlatIP(dimension)
    number = passages // _CELL
    index: Any = faiss.IndexIVFScalarQuantizer(
        centres, dimension, number, kind, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.niter, index.cp.max_points_per_centroid = 6, _CELL // 2
    return index


def _large(store: Store) -> bool:
    return int(store.meta("passages", "0")) > SPAN


def _segments(store: Store) -> list[_Segment]:
    identity = store.meta("identity")
    numbers = range(store.last_passage() // SPAN + 1)
    names = [FILE if not n else f"dense-{n:04}.faiss" for n in numbers]
    return [
        _Segment(n, identity, store.folder / name) for n, name in zip(numbers, names, strict=True)
    ]


def _each(segments: list[_Segment], work: Callable[[_Segment], T]) -> list[T]:
    """What comes of each file, several at once: reading and hashing both let others run."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, segments))


def _outdated(store: Store, segments: list[_Segment]) -> list[_Segment]:
    """Those of which the file is stale."""
    stale = _each(segments, lambda segment: _stale(store, segment))
    return [segment for segment, is_stale in zip(segments, stale, strict=True) if is_stale]


def _stale(store: Store, segment: _Segment) -> bool:
    """Whether a file is not what it should be, or lacks so much that it is better rewritten."""
    read = _read(store, segment)
    if read is None:
        return True
    header, _ = read
    passages, generation = header.get("passages"), header["generation"]
    if not isinstance(passages, int):  # as an earlier version wrote it
        return True
    if header.get("exact") and passages and _large(store):
        return True
    added = store.passages_since(generation, segment.first, segment.last)
    removed = len(store.removed_since(generation, segment.first, segment.last))
    total = passages + added
    return bool(added + removed > (0 if total < _ALWAYS else _CHANGED * total))


def _parts(store: Store, segment: _Segment) -> list[Part]:
    """What a range of passages is searched as."""
    import faiss

    none = np.zeros(0, dtype=np.int64)
    loaded, generation = _load(store, segment)
    if loaded is None:
        return [Part(_built(store, segment), none)]
    ids, vectors = store.passage_vectors(segment.first, segment.last, published_after=generation)
    if not len(ids):
        return [loaded]
    recent = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    recent.add_with_ids(vectors, ids)
    return [loaded, Part(recent, none)]


def _read(store: Store, segment: _Segment) -> tuple[dict[str, Any], memoryview] | None:
    """The header and the rest of a file, or None where it is not what was written."""
    try:
        data = memoryview(segment.file.read_bytes())
        end = bytes(data[:1000]).index(b"\n")
        header = json.loads(bytes(data[:end]))
        if (header["identity"], header["segment"]) != (segment.identity, segment.number):
            return None
        if not 0 < header["generation"] <= store.generation:
            return None
        payload = data[end + 1 :]
        if hashlib.sha256(payload).hexdigest() != header["sha256"]:
            return None
        return header, payload
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _load(store: Store, segment: _Segment) -> tuple[Part | None, int]:
    """The file as it was written, and the generation it was written at."""
    import faiss

    read = _read(store, segment)
    if read is None:
        return None, 0
    header, payload = read
    # Only bytes that this program wrote, by their hash, reach the native reader.
    index = faiss.deserialize_index(np.frombuffer(payload, dtype=np.uint8))
    generation = header["generation"]
    return Part(index, store.removed_since(generation, segment.first, segment.last)), generation
