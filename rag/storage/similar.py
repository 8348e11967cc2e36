"""Documents that are almost the same: a bottom-k sketch of each one's sentences.

The k smallest hashes of a document's distinct sentences are a fair sample of them, and of two
documents together; the share of common ones among the k smallest of both estimates how alike the
documents are (Broder, "On the resemblance and containment of documents", 1997). Moved paragraphs
and another order do not matter; boilerplate that many documents share says nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

from rag.storage.store import Store

SIZE = 32  # hashes kept of a document
ALIKE = 0.7  # least estimated share of common sentences
_COMMON = 20  # a sentence of more documents is boilerplate
_MOST = 200  # documents that one is compared with


def sketch(sentences: Iterable[str]) -> list[int]:
    """The smallest hashes, 63 bits each, of some sentences."""
    distinct = {" ".join(sentence.casefold().split()) for sentence in sentences}
    return heapq.nsmallest(SIZE, map(_hash, distinct))


def near(store: Store, documents: Iterable[int] | None = None) -> list[tuple[int, int, float]]:
    """Pairs of live documents that are almost the same, and how alike they are, most first.

    Args:
        store: An open index.
        documents: Only pairs with one of these ids; None means all.
    """
    if documents is None:
        pairs = store.rows(
            "SELECT a.document_id, b.document_id FROM sketches AS a JOIN sketches AS b"
            " ON a.hash = b.hash AND a.document_id < b.document_id WHERE a.hash IN"
            " (SELECT hash FROM sketches GROUP BY hash HAVING count(*) BETWEEN 2 AND ?)"
            " GROUP BY 1, 2",
            _COMMON,
        )
    else:
        pairs = [
            (min(one, other), max(one, other))
            for one in documents
            for (other,) in store.rows(
                "SELECT DISTINCT b.document_id FROM sketches AS a JOIN sketches AS b"
                " ON a.hash = b.hash WHERE a.document_id = ? AND b.document_id != a.document_id"
                " LIMIT ?",
                one, _MOST,
            )
        ]  # fmt: skip
    found = [
        (int(one), int(other), round(_resemblance(_stored(store, one), _stored(store, other)), 2))
        for one, other in sorted(set(pairs))
    ]
    alike = [pair for pair in found if pair[2] >= ALIKE]
    return sorted(alike, key=lambda pair: (-pair[2], pair[:2]))


def _resemblance(one: set[int], other: set[int]) -> float:
    smallest = heapq.nsmallest(SIZE, one | other)
    return sum(1 for value in smallest if value in one and value in other) / max(len(smallest), 1)


def _stored(store: Store, document_id: int) -> set[int]:
    rows = store.rows("SELECT hash FROM sketches WHERE document_id = ?", document_id)
    return {row[0] for row in rows}


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
