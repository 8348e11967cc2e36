"""Search by words: BM25 over SQLite's FTS5, in a bounded time however common the words are.

FTS5 scores every passage that has any of the words, about two microseconds each, and lists them at
a tenth of that. Where scoring would be too much, those with the most of the rarest words are
candidates and scored again with all of them. How often a very common word stands is estimated.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

OF_DOCUMENTS = "document_id IN (SELECT value FROM json_each(?))"  # one parameter
Rows = Callable[..., list[tuple[Any, ...]]]
MOST = 20_000  # passages that one question may have FTS5 score
_READ = 5  # times as many passages may be listed
_AGAIN = 4  # times as many are scored again as are wanted
_WINDOWS = 32  # ranges of passages in which a very common word is counted
_SHARE = 16  # these are one passage in so many
_K1, _B = 1.2, 0.75  # FTS5's own
_TOKEN = re.compile(r"[^\W_]+")


def frequency(rows: Rows, term: str) -> int:
    """In how many passages a term stands; of one that stands in very many an estimate."""
    # Through MATCH, so that the term is folded as the text was: "café" stands as "cafe".
    match = f'"{term}"'
    counted = "SELECT count(*) FROM lexical WHERE lexical MATCH ?"
    few = "SELECT count(*) FROM (SELECT 1 FROM lexical WHERE lexical MATCH ? LIMIT ?)"
    count = int(rows(few, match, MOST + 1)[0][0])
    if count <= MOST:
        return count
    ((first, last),) = rows(
        "SELECT (SELECT min(id) FROM lexical_docsize), (SELECT max(id) FROM lexical_docsize)"
    )
    step = (last - first + 1) // _WINDOWS
    if step * _WINDOWS < 10 * MOST:
        return int(rows(counted, match)[0][0])
    seen = 0
    for window in range(_WINDOWS):
        start = first + window * step
        within = rows(f"{counted} AND rowid BETWEEN ? AND ?", match, start, start + step // _SHARE)
        seen += within[0][0]
    return max(int(seen * step / (step // _SHARE + 1)), count)


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
    total, mean = _sizes(rows)
    found = _candidates(rows, frequencies, total, limit * _AGAIN)
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


def _candidates(rows: Rows, frequencies: Mapping[str, int], total: int, limit: int) -> list[int]:
    """Passages with the most of the rarest terms, or with common ones side by side."""
    rare = sorted((n, term) for term, n in frequencies.items() if n)
    chosen: dict[str, int] = {}
    for n, term in rare:
        if sum(chosen.values()) + n > _READ * MOST:
            break
        chosen[term] = n
    if chosen and sum(chosen.values()) <= MOST:
        return [id_ for id_, _ in scored(rows, _any(chosen), limit)]
    weights = {f'"{term}"': _rarity(total, n) for term, n in chosen.items()}
    weights = weights or {_narrow(rows, [term for _, term in rare]): 1.0}
    listed = [(_ids(rows, match), weight) for match, weight in weights.items() if match]
    if not listed:
        return []
    ids, where = np.unique(np.concatenate([ids for ids, _ in listed]), return_inverse=True)
    said = np.repeat([weight for _, weight in listed], [len(ids) for ids, _ in listed])
    scores = np.bincount(where, weights=said, minlength=len(ids))
    return [int(id_) for id_ in ids[np.lexsort((ids, -scores))[:limit]]]


def _narrow(rows: Rows, wanted: list[str]) -> str:
    """So many of the terms side by side, rarest first, that few passages have all of them."""
    match = ""
    for term in wanted:
        narrower = f'{match} AND "{term}"' if match else f'"{term}"'
        (count,) = rows("SELECT count(*) FROM lexical WHERE lexical MATCH ?", narrower)[0]
        if not count:
            break
        match = narrower
        if count <= MOST:
            break
    return match


def _ids(rows: Rows, match: str) -> npt.NDArray[np.int64]:
    """int64 (n,): the passages of a query, so many at most as may be listed."""
    # As one text: a row each would take four times as long.
    ((listed,),) = rows(
        "SELECT group_concat(rowid) FROM (SELECT rowid FROM lexical WHERE lexical MATCH ? LIMIT ?)",
        match,
        _READ * MOST,
    )
    return np.fromstring(listed or "", dtype=np.int64, sep=",")


def _rarity(total: int, passages: int) -> float:
    without = max(total - passages, 0)  # there are not fewer, but an estimate may be too large
    return max(math.log((without + 0.5) / (passages + 0.5)), 1e-6)


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
            score += _rarity(total, passages) * count * (_K1 + 1) / (count + longer)
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
