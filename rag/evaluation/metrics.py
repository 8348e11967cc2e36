"""What is counted: pure scoring of one question, and of all of them.

A metric gives each row of a report a numerator and a denominator, or None where it is not defined
on that row. A row that failed is wrong wherever being wrong is possible, never left out.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rag.evaluation.resample import Estimate, Pair, percentile, ratio

Row = dict[str, Any]
Metric = Callable[[Row], Pair | None]

CUTOFFS = (1, 3, 5, 10)
NDCG_CUTOFF = 10
F1_RIGHT = 0.5  # token F1 from which an answer without facts to check counts as right

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})
_DASHES = re.compile(r"[\u2010-\u2015\u2212]")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[ ,']\d{3})+(?!\d)")
_LABELS = re.compile(r"(?:\s*\[\d+\])+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


# -- answers ------------------------------------------------------------------------------------


def unlabelled(answer: str) -> str:
    """An answer without its citation labels."""
    return _LABELS.sub("", answer)


def normalise(text: str) -> str:
    """One spelling for case, quotation marks, dashes, white space and grouped thousands.

    ``“2 257 km”`` and ``"2,257 KM"`` both become ``"2257 km"``.
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_QUOTES)
    text = " ".join(_DASHES.sub("-", text).split())
    return _GROUPED.sub(lambda match: re.sub(r"\D", "", match.group()), text)


def says(text: str, alternative: str) -> bool:
    """Whether a text says one alternative of a fact.

    The alternative must begin where a word or number begins, and a number must end where it ends:
    ``5`` is neither in ``1950`` nor in ``5.3``. A word may go on, so that ``ratif`` finds
    "ratification"; end the alternative with a space to forbid that (``"ten "``). ``240`` and
    ``240b`` are both in ``240bn``.
    """
    wanted = normalise(alternative)
    pattern = re.escape(wanted)
    if wanted[0].isalnum() and not wanted.startswith("n't"):
        pattern = r"(?<!\w)" + pattern
        if wanted[0].isdigit():
            pattern = r"(?<!\d[.,])" + pattern
    if wanted[-1].isdigit():
        pattern += r"(?!\d|[.,]\d)"
    if alternative[-1].isspace():
        pattern += r"(?!\w)"
    return re.search(pattern, normalise(text)) is not None


def missing_facts(answer: str, facts: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The groups of which the answer says no alternative."""
    text = unlabelled(answer)
    return [group for group in facts if not any(says(text, one) for one in group)]


def token_f1(said: str, reference: str) -> float:
    """F1 of the words said against the reference, 0 to 1.

    ``2 P R / (P + R)`` with P the share of the words said that the reference has, and R the share
    of the reference's words that were said, repeats counted; case, punctuation and articles are
    left out. Rajpurkar et al., "SQuAD", EMNLP 2016, and its official evaluation script.
    """
    words = [_squad_words(unlabelled(said)), _squad_words(reference)]
    if not words[0] or not words[1]:
        return float(words[0] == words[1])
    common = sum((Counter(words[0]) & Counter(words[1])).values())
    return 2 * common / (len(words[0]) + len(words[1]))


def _squad_words(text: str) -> list[str]:
    lowered = "".join(
        c
        for c in text.lower()
        if c not in string.punctuation and not unicodedata.category(c).startswith("P")
    )
    return _ARTICLES.sub(" ", lowered).split()


# -- spans --------------------------------------------------------------------------------------


def overlap(one: Row, other: Row) -> bool:
    """Whether two spans of the same document share a character."""
    return bool(
        one["document"] == other["document"]
        and one["start"] < other["end"]
        and other["start"] < one["end"]
    )


def quotes(gold_spans: Iterable[Row]) -> list[list[Row]]:
    """The spans of each gold quote: one quote may stand at several places of its document."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for span in gold_spans:
        groups.setdefault((span["document"], span["quote"]), []).append(span)
    return list(groups.values())


def citation_precision(citations: Sequence[Row], gold_spans: Sequence[Row]) -> float:
    """Share of the citations that overlap a gold quote; 0 where nothing is cited."""
    hits = [any(overlap(citation, span) for span in gold_spans) for citation in citations]
    return sum(hits) / len(hits) if hits else 0.0


def citation_recall(citations: Sequence[Row], gold_spans: Sequence[Row]) -> float:
    """Share of the gold quotes that a citation overlaps, at whichever place they stand."""
    hits = [
        any(overlap(citation, span) for citation in citations for span in places)
        for places in quotes(gold_spans)
    ]
    return sum(hits) / len(hits) if hits else 0.0


# -- retrieval ----------------------------------------------------------------------------------


def found_ranks(retrieved: Sequence[Row], gold_spans: Sequence[Row]) -> list[int | None]:
    """For each gold quote the rank, from 1, at which it is found; None where it is not.

    A quote is found at the first rank at which the passages so far together cover every character
    of it that is not white space. It may straddle two passages, and what stands between them is
    white space.
    """
    ranks: list[int | None] = []
    for places in quotes(gold_spans):
        found = [rank for place in places if (rank := _found_rank(retrieved, place)) is not None]
        ranks.append(min(found, default=None))
    return ranks


def _found_rank(retrieved: Sequence[Row], place: Row) -> int | None:
    left = [at for at, c in enumerate(place["quote"], place["start"]) if not c.isspace()]
    for rank, passage in enumerate(retrieved, 1):
        if overlap(passage, place):
            left = [at for at in left if not passage["start"] <= at < passage["end"]]
            if not left:
                return rank
    return None


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """Share of the gold quotes that are found among the first k passages."""
    return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)


def reciprocal_rank(ranks: Sequence[int | None]) -> float:
    """1 / rank of the first gold quote that is found; 0 where none is. Voorhees, TREC-8, 1999."""
    found = [rank for rank in ranks if rank is not None]
    return 1 / min(found) if found else 0.0


def ndcg_at(ranks: Sequence[int | None], k: int) -> float:
    """Normalised discounted cumulative gain: ``DCG@k / ideal DCG@k``, 0 to 1.

    ``DCG@k = sum over ranks r <= k of gain(r) / log2(r + 1)``, where the gain of a rank is how many
    gold quotes become covered there. The ideal order has the same gains, largest first, and each
    quote that was not found as a passage of its own. Jaervelin and Kekaelaeinen, TOIS 20, 2002.
    """
    gains = Counter(rank for rank in ranks if rank is not None)
    ideal = sorted([*gains.values(), *(1 for rank in ranks if rank is None)], reverse=True)
    dcg = sum(gain / math.log2(rank + 1) for rank, gain in gains.items() if rank <= k)
    best = sum(gain / math.log2(rank + 1) for rank, gain in enumerate(ideal[:k], 1))
    return dcg / best


def retrieval_scores(retrieved: Sequence[Row], gold_spans: Sequence[Row]) -> dict[str, float]:
    """All retrieval scores of one question that has gold quotes."""
    ranks = found_ranks(retrieved, gold_spans)
    return {
        **{f"recall@{k}": recall_at(ranks, k) for k in CUTOFFS},
        "mrr": reciprocal_rank(ranks),
        f"ndcg@{NDCG_CUTOFF}": ndcg_at(ranks, NDCG_CUTOFF),
    }


# -- metrics over rows --------------------------------------------------------------------------


def answerable(row: Row) -> bool:
    """Whether the documents answer the question."""
    return row["gold_answer"] is not None


def right(row: Row) -> bool | None:
    """Whether the outcome is the wanted one: a right answer, or a refusal where there is none.

    None where the question was not put to a language model at all.
    """
    if row["status"] is None:
        return None
    return bool(row["correct"]) if answerable(row) else row["status"] == "unanswerable"


def _retrieval(name: str) -> Metric:
    return lambda row: (row["retrieval"][name], 1.0) if row["retrieval"] else None


def _of_answerable(value: Callable[[Row], float]) -> Metric:
    return lambda row: (float(value(row)), 1.0) if row["status"] and answerable(row) else None


def _refusal_recall(row: Row) -> Pair | None:
    if not row["status"] or answerable(row):
        return None
    return float(row["status"] == "unanswerable"), 1.0


def _against_gold(name: str) -> Metric:
    def metric(row: Row) -> Pair | None:
        if not row["gold_spans"] or row["status"] not in ("answered", "error"):
            return None
        return (row["citation"][name] if row["citation"] else 0.0), 1.0

    return metric


def _share_of(kind: str, test: Callable[[Row], bool]) -> Metric:
    """Share of all the citations or claims, not of the questions."""

    def metric(row: Row) -> Pair | None:
        items = row[kind] if row["status"] == "answered" else []
        return (float(sum(map(test, items))), float(len(items))) if items else None

    return metric


RATIOS: dict[str, Metric] = {
    **{f"retrieval.recall@{k}": _retrieval(f"recall@{k}") for k in CUTOFFS},
    "retrieval.mrr": _retrieval("mrr"),
    f"retrieval.ndcg@{NDCG_CUTOFF}": _retrieval(f"ndcg@{NDCG_CUTOFF}"),
    "answer.correct": _of_answerable(lambda row: bool(row["correct"])),
    "answer.f1": _of_answerable(lambda row: row["f1"]),
    "citation.valid": _share_of("citations", lambda citation: citation["verbatim"]),
    "citation.precision": _against_gold("precision"),
    "citation.recall": _against_gold("recall"),
    "claim.supported": _share_of("claims", lambda claim: claim["verdict"] == "supported"),
    "claim.cited": _share_of("claims", lambda claim: bool(claim["labels"])),
    "refusal.recall": _refusal_recall,
    "refusal.false": _of_answerable(lambda row: row["status"] != "answered"),
}
"""Numerator and denominator of each row.

``answer.correct``: answerable questions answered with every fact group present (token F1 of at
least ``F1_RIGHT`` where the gold has no facts). ``citation.valid``: citations whose quote is
verbatim at its offsets. ``citation.precision`` and ``recall``: over answerable questions that were
answered, or failed. ``refusal.recall``: unanswerable questions refused. ``refusal.false``:
answerable questions not answered. The rest: the function of that name.
"""


def _judge_correct(row: Row) -> Pair | None:
    if not row["status"] or not answerable(row):
        return None
    return float(bool((row.get("judge") or {}).get("correct"))), 1.0


def _judge_agreement(row: Row) -> Pair | None:
    verdict = row.get("judge")
    if not verdict or verdict["failed"]:
        return None
    return float(verdict["correct"] == row["correct"]), 1.0


def _judge_failed(row: Row) -> Pair | None:
    verdict = row.get("judge")
    return (float(bool(verdict["failed"])), 1.0) if verdict else None


JUDGED: dict[str, Metric] = {
    "judge.correct": _judge_correct,
    "judge.agreement": _judge_agreement,
    "judge.failed": _judge_failed,
}
"""The same for what a judge said of the rows; a report has these apart, and only if one was asked.

``judge.correct``: answerable questions whose answer the judge finds correct; one that was not
answered, or whose judgement failed, is not. ``judge.agreement``: judgements that say of an answer
what ``answer.correct`` says of it. ``judge.failed``: judgements that were asked for and did not
come.
"""

PERCENTILES: dict[str, tuple[str, float]] = {
    "latency.first_token_ms.p50": ("first_token_ms", 0.5),
    "latency.first_token_ms.p95": ("first_token_ms", 0.95),
    "latency.total_ms.p50": ("total_ms", 0.5),
    "latency.total_ms.p95": ("total_ms", 0.95),
    "prompt_tokens.p50": ("prompt_tokens", 0.5),
}
"""Which of a row's ``stats``, and which share; a failed row took no time that means anything."""

NAMES = (*RATIOS, *PERCENTILES)
SMALLER_IS_BETTER = frozenset({"refusal.false", "judge.failed", *PERCENTILES})


def stat(row: Row, name: str) -> float | None:
    """A row's figure for a percentile; None where it was not answered or failed."""
    return float(row["stats"][name]) if row["status"] in ("answered", "unanswerable") else None


def aggregate(rows: Sequence[Row], *, retrieval_only: bool = False) -> dict[str, Estimate]:
    """Every metric over all rows, each with its 95% interval."""
    found = {
        name: ratio([pair for row in rows if (pair := metric(row)) is not None])
        for name, metric in RATIOS.items()
        if not retrieval_only or name.startswith("retrieval.")
    }
    for name, (field, share) in PERCENTILES.items() if not retrieval_only else ():
        values = [value for row in rows if (value := stat(row, field)) is not None]
        found[name] = percentile(values, share)
    return found


def judged(rows: Sequence[Row]) -> dict[str, Estimate]:
    """What a judge said of all rows, each figure with its 95% interval."""
    return {
        name: ratio([pair for row in rows if (pair := metric(row)) is not None])
        for name, metric in JUDGED.items()
    }


def kappa(rows: Sequence[Row]) -> float | None:
    """How far judge and ``answer.correct`` agree beyond chance: 1 always, 0 as by chance.

    ``(p - e) / (1 - e)`` with p the share of judgements on which both say the same, and e that
    which two who decide independently, each as often for "correct" as these, would have. Cohen,
    "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20,
    1960. None where it is not defined: no judgements, or both always say the same one thing.
    """
    pairs = [(row["judge"]["correct"], row["correct"]) for row in rows if _judge_agreement(row)]
    n = len(pairs)
    if not n:
        return None
    same = sum(one == other for one, other in pairs) / n
    ones, others = (sum(pair[side] for pair in pairs) / n for side in (0, 1))
    chance = ones * others + (1 - ones) * (1 - others)
    return None if chance == 1 else (same - chance) / (1 - chance)
