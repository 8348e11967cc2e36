"""The FAISS file: derived from the store, checked before it is loaded, rebuilt when in doubt.

FAISS files carry no checksum (a flipped bit can silently return wrong neighbours), and
``faiss.write_index`` neither syncs nor notices a full disk. So the bytes are ours to write:

    line 1   JSON: identity and generation of the store it was built from, SHA-256 of the rest
    rest     ``faiss.serialize_index``
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.files import replace_file
from rag.records import FloatMatrix
from rag.store import Store

FILE = "dense.faiss"
Ids = npt.NDArray[np.int64]


class DenseIndex:
    """Exact inner-product search over the passages of one generation."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(
        self, vector: FloatMatrix, limit: int, *, among: Ids | None = None
    ) -> list[tuple[int, float]]:
        """Passage ids and cosines, best first.

        Args:
            vector: float32 (dimension,), of unit length.
            limit: At most so many.
            among: int64 (n,), the only passages that are looked at; None means all.
        """
        most = min(limit, len(self) if among is None else len(among))
        if not most:
            return []
        chosen = None
        if among is not None:
            import faiss

            selector: Any = faiss.IDSelectorBatch(among)
            # The stubs do not know the keyword.
            chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, ids = self._index.search(vector[None, :], most, params=chosen)
        return [(int(i), float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0]


def open_dense(store: Store) -> DenseIndex:
    """Load the file if it matches the store, else rebuild it from the stored vectors."""
    loaded = _load(store.folder / FILE, store.meta("identity"), store.generation)
    return build(store, write=False) if loaded is None else loaded


def problem(store: Store) -> str:
    """Why the file does not match the store, or "" where it does."""
    if _load(store.folder / FILE, store.meta("identity"), store.generation) is not None:
        return ""
    return f"{FILE} is missing, damaged or out of date; it is rebuilt by: rag index"


def build(store: Store, *, write: bool = True) -> DenseIndex:
    """Build the index from the store's vectors, without embedding, and optionally store it."""
    import faiss

    ids, vectors = store.passage_vectors()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(int(store.meta("dimension", "0"))))
    index.add_with_ids(vectors, ids)
    if write:
        payload = faiss.serialize_index(index).tobytes()
        header = {
            "identity": store.meta("identity"),
            "generation": store.generation,
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
        replace_file(store.folder / FILE, json.dumps(header).encode() + b"\n" + payload)
    return DenseIndex(index)


def _load(file: Path, identity: str, generation: int) -> DenseIndex | None:
    try:
        data = file.read_bytes()
        line, _, payload = data.partition(b"\n")
        header = json.loads(line)
        if (header["identity"], header["generation"]) != (identity, generation):
            return None
        if hashlib.sha256(payload).hexdigest() != header["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    import faiss

    # Only bytes that this program wrote, by their hash, reach the native reader.
    return DenseIndex(faiss.deserialize_index(np.frombuffer(payload, dtype=np.uint8)))
