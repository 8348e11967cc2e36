"""Search by words: BM25 over SQLite's FTS5, in a bounded time however common the words are.

FTS5 scores every passage that has any of the words, about two microseconds each. Where that would
be too many, candidates are found by the rarest words and scored again with all of them.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

OF_DOCUMENTS = "document_id IN (SELECT value FROM json_each(?))"  # one parameter
Rows = Callable[..., list[tuple[Any, ...]]]
MOST = 20_000  # passages that one question may have FTS5 score
_AGAIN = 4  # times as many are scored again as are wanted
_K1, _B = 1.2, 0.75  # FTS5's own
_TOKEN = re.compile(r"[^\W_]+")


def frequency(rows: Rows, term: str) -> int:
    """In how many passages a term stands."""
    # Through MATCH, so that the term is folded as the text was: "café" stands as "cafe".
    return int(rows("SELECT count(*) FROM lexical WHERE lexical MATCH ?", f'"{term}"')[0][0])


def search(
    rows: Rows,
    frequencies: Mapping[str, int],
    limit: int,
    documents: Iterable[int] | None = None,
) -> list[tuple[int, float]]:
    """Passage ids and BM25 scores (larger is better) for any of some terms.

    Args:
        rows: Runs a query.
        frequencies: Each term and in how many passages it stands.
        limit: At most so many.
        documents: Only passages of these, however many have a term; None means of all.
    """
    if documents is not None or sum(frequencies.values()) <= MOST:
        return scored(rows, _any(frequencies), limit, documents)
    found = [id_ for id_, _ in scored(rows, _candidates(rows, frequencies), limit * _AGAIN)]
    total, mean = _sizes(rows)
    again = []
    for at in range(0, len(found), 500):
        some = found[at : at + 500]
        marks = ",".join("?" * len(some))
        for id_, text in rows(f"SELECT rowid, terms FROM lexical WHERE rowid IN ({marks})", *some):
            again.append((id_, _bm25(text, frequencies, total, mean)))
    return sorted(again, key=lambda row: (-row[1], row[0]))[:limit]


def scored(
    rows: Rows, match: str, limit: int, documents: Iterable[int] | None = None
) -> list[tuple[int, float]]:
    """What an FTS5 query matches, best first, all of it scored by FTS5."""
    if not match:
        return []
    # The plus keeps SQLite from running the match anew for each passage.
    within = f"AND +rowid IN (SELECT id FROM passages WHERE {OF_DOCUMENTS})"
    found = rows(
        "SELECT rowid, -bm25(lexical) FROM lexical WHERE lexical MATCH ?"
        f" {'' if documents is None else within} ORDER BY bm25(lexical), rowid LIMIT ?",
        match,
        *([] if documents is None else [json.dumps(sorted(documents))]),
        limit,
    )
    return [(int(id_), float(score)) for id_, score in found]


def _any(wanted: Mapping[str, int]) -> str:
    return " OR ".join(f'"{term}"' for term in wanted)


def _candidates(rows: Rows, frequencies: Mapping[str, int]) -> str:
    """A query with few enough matches: the rarest terms, or common ones side by side."""
    rare = sorted((n, term) for term, n in frequencies.items() if n)
    chosen: dict[str, int] = {}
    for n, term in rare:
        if sum(chosen.values()) + n > MOST:
            break
        chosen[term] = n
    if chosen:
        return _any(chosen)
    match = ""
    for _, term in rare:
        narrower = f'{match} AND "{term}"' if match else f'"{term}"'
        (count,) = rows("SELECT count(*) FROM lexical WHERE lexical MATCH ?", narrower)[0]
        if not count:
            break
        match = narrower
        if count <= MOST:
            break
    return match


def _sizes(rows: Rows) -> tuple[int, float]:
    """Passages in the lexical index, and how many terms one has on average.

    FTS5 keeps both in row 1 of its data, as SQLite variable-length integers.
    """
    block = rows("SELECT block FROM lexical_data WHERE id = 1")[0][0]
    numbers, value = [], 0
    for byte in block:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    total, terms = [*numbers, 1, 1][:2]
    return total, terms / max(total, 1)


def _bm25(text: str, frequencies: Mapping[str, int], total: int, mean: float) -> float:
    words = _TOKEN.findall(_folded(text))
    counts = Counter(words)
    longer = _K1 * (1 - _B + _B * len(words) / mean)
    score = 0.0
    for term, passages in frequencies.items():
        parts = _TOKEN.findall(_folded(term))
        # FTS5 searches "2.5" as the phrase of its two tokens.
        count = counts[parts[0]] if len(parts) == 1 else _phrases(words, parts)
        if count:
            rarity = math.log((total - passages + 0.5) / (passages + 0.5))
            score += max(rarity, 1e-6) * count * (_K1 + 1) / (count + longer)
    return score


def _phrases(words: list[str], phrase: list[str]) -> int:
    """How often some words stand one after the other among others."""
    if not phrase or any(part not in words for part in phrase):
        return 0
    return sum(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))


def _folded(text: str) -> str:
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
