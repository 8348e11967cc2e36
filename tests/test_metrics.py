"""Each metric on cases that are worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from rag.evaluation import metrics
from rag.evaluation.metrics import missing_facts, ndcg_at, reciprocal_rank, says, token_f1

Row = dict[str, Any]


@pytest.mark.parametrize(
    ("text", "alternative", "said"),
    [
        ("It rose in 1950.", "5", False),
        ("It rose in 1950.", "1950", True),
        ("It rose by 5.3%.", "5", False),
        ("It rose by 3.5%.", "5%", False),
        ("It rose by 5%.", "5%", True),
        ("It rose to 5.", "5", True),
        ("Trade was worth $240bn.", "240bn", True),
        ("Trade was worth $240bn.", "240", True),
        ("Trade was worth $1,240bn.", "240", False),
        ("the border is 2,257 km long", "2257", True),
        ("the border is 2\u202f257 km long", "2,257", True),
        ("the border is 2 257 km long", "2,257", True),
        ("In 2023 240 companies left.", "240", True),
        ("the non-ratification of the treaty", "ratif", True),
        ("It was overrated.", "rated", False),
        ("Tensions rose.", "ten ", False),
        ("Ten of them left.", " ten ", True),
        ("It doesn’t force them.", "n't force", True),
        ("dual\u2011use goods", "dual-use", True),
        ("They spoke on 6–7 May.", "6-7", True),
        ("a “third  \n way”", '"third way"', True),
        ("STRASSE and Straße", "straße", True),
        ("Nothing of the kind.", "kin d", False),
    ],
)
def test_a_fact_is_said_or_not(text: str, alternative: str, said: bool) -> None:
    assert says(text, alternative) is said


def test_every_group_needs_one_alternative_and_labels_are_no_text() -> None:
    facts = [["240 billion", "240bn"], ["2023"]]
    assert missing_facts("It was $240bn [1] in 2023 [2].", facts) == []
    assert missing_facts("It was $240bn [1].", facts) == [["2023"]]
    assert missing_facts("It was large [1][2].", [["1", "2"]]) == [["1", "2"]]
    assert missing_facts("anything", []) == []


@pytest.mark.parametrize(
    ("said", "reference", "f1"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("It was the Euro [1].", "Euro", 2 * (1 / 3) * 1 / (1 / 3 + 1)),  # it, was, euro
        ("red red blue", "red green", 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ("none of it", "Euro", 0.0),
        ("", "Euro", 0.0),
        ("the", "a", 1.0),
    ],
)
def test_token_f1(said: str, reference: str, f1: float) -> None:
    assert token_f1(said, reference) == pytest.approx(f1)


# Text of the document in these cases: "Alpha beta.  Gamma delta." with offsets 0 to 25.
QUOTE = "beta.  Gamma"


def span(start: int, end: int, document: str = "a") -> Row:
    return {"document": document, "start": start, "end": end}


def gold(start: int, quote: str = QUOTE, document: str = "a") -> Row:
    return {**span(start, start + len(quote), document), "quote": quote}


@pytest.mark.parametrize(
    ("retrieved", "rank"),
    [
        ([span(0, 25)], 1),
        ([span(0, 11), span(13, 25)], 2),  # the white space between them belongs to neither
        ([span(13, 25), span(40, 50), span(0, 11)], 3),
        ([span(0, 10), span(13, 25)], None),  # the full stop is missing
        ([span(0, 25, "b")], None),
        ([], None),
    ],
)
def test_a_quote_is_found_where_passages_cover_it(retrieved: list[Row], rank: int | None) -> None:
    assert metrics.found_ranks(retrieved, [gold(6)]) == [rank]


def test_a_quote_that_stands_twice_is_found_at_either_place() -> None:
    places = [gold(6), gold(106)]
    assert metrics.found_ranks([span(100, 130)], places) == [1]
    assert metrics.found_ranks([span(100, 130)], [*places, gold(200, "else")]) == [1, None]
    assert metrics.citation_recall([span(110, 112)], places) == 1.0


def test_retrieval_scores() -> None:
    ranks = [2, None, 7]
    assert [metrics.recall_at(ranks, k) for k in (1, 2, 7)] == [0, 1 / 3, 2 / 3]
    assert reciprocal_rank(ranks) == 1 / 2
    assert reciprocal_rank([None]) == 0
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(ranks, 10) == pytest.approx((1 / math.log2(3) + 1 / math.log2(8)) / ideal)
    assert ndcg_at(ranks, 5) == pytest.approx(1 / math.log2(3) / ideal)
    assert ndcg_at([1, 1], 10) == 1.0, "one passage can hold both quotes"
    retrieved = [span(50, 60), span(0, 25)]
    assert metrics.retrieval_scores(retrieved, [gold(6)]) == {
        "recall@1": 0.0, "recall@3": 1.0, "recall@5": 1.0, "recall@10": 1.0, "mrr": 0.5,
        "ndcg@10": pytest.approx(1 / math.log2(3)),
    }  # fmt: skip


def test_ndcg_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        ranks = [int(r) if r <= 20 else None for r in rng.integers(1, 30, rng.integers(1, 6))]
        missing = ranks.count(None)
        gains = [ranks.count(rank) for rank in range(1, 21)] + [1] * missing + [0]
        theirs = ndcg_score([gains], [list(range(len(gains), 0, -1))], k=10)
        # What was not retrieved ranks below everything, but scikit-learn has no such rank.
        assert ndcg_at(ranks, 10) == pytest.approx(theirs)


def test_citations_against_gold_quotes() -> None:
    spans = [gold(6), gold(200, "else")]
    assert metrics.citation_precision([span(0, 7), span(18, 25)], spans) == 0.5
    assert metrics.citation_recall([span(0, 7), span(18, 25)], spans) == 0.5
    assert metrics.citation_precision([], spans) == metrics.citation_recall([], spans) == 0.0
    assert metrics.citation_precision([span(6, 18, "b")], spans) == 0.0


def row(status: str, *, answerable: bool = True, **more: Any) -> Row:
    """A row of a report with one gold quote, found at rank 2."""
    answered = status == "answered"
    return {
        "status": status, "gold_answer": "yes" if answerable else None,
        "gold_spans": [gold(6)] if answerable else [], "correct": answered if answerable else None,
        "f1": (0.4 if answered else 0.0) if answerable else None,
        "retrieval": {"recall@1": 0.0, "recall@3": 1.0, "recall@5": 1.0, "recall@10": 1.0,
                      "mrr": 0.5, "ndcg@10": 0.6} if answerable else None,
        "citation": {"valid": 1.0, "precision": 0.5, "recall": 1.0} if answered else None,
        "citations": [{"verbatim": True}, {"verbatim": False}] if answered else [],
        "claims": [{"verdict": "supported", "labels": [1]}] if answered else [],
        "stats": {"first_token_ms": 100, "total_ms": 200, "prompt_tokens": 300}, **more,
    }  # fmt: skip


def values(*rows: Row) -> dict[str, Any]:
    return {name: (found.value, found.n) for name, found in metrics.aggregate(rows).items()}


def test_all_metrics_over_rows() -> None:
    found = values(
        row("answered"),
        row("answered", correct=False, claims=[{"verdict": "unsupported", "labels": []}] * 3),
        row("unanswerable"),
        row("unanswerable", answerable=False),
        row("answered", answerable=False),
        row("unanswerable", answerable=False),
    )
    assert found == {
        "retrieval.recall@1": (0.0, 3), "retrieval.recall@3": (1.0, 3),
        "retrieval.recall@5": (1.0, 3), "retrieval.recall@10": (1.0, 3), "retrieval.mrr": (0.5, 3),
        "retrieval.ndcg@10": (pytest.approx(0.6), 3),
        "answer.correct": (pytest.approx(1 / 3), 3), "answer.f1": (pytest.approx(0.8 / 3), 3),
        "citation.valid": (0.5, 6), "citation.precision": (0.5, 2), "citation.recall": (1.0, 2),
        "claim.supported": (0.4, 5), "claim.cited": (0.4, 5),
        "refusal.recall": (pytest.approx(2 / 3), 3), "refusal.false": (pytest.approx(1 / 3), 3),
        "latency.first_token_ms.p50": (100, 6), "latency.first_token_ms.p95": (100, 6),
        "latency.total_ms.p50": (200, 6), "latency.total_ms.p95": (200, 6),
        "prompt_tokens.p50": (300, 6),
    }  # fmt: skip


def test_a_failed_row_is_wrong_and_not_missing() -> None:
    failed = row("error", retrieval=metrics.retrieval_scores([], [gold(6)]))
    found = values(row("answered"), failed, row("error", answerable=False))
    for name in ("retrieval.recall@10", "retrieval.mrr", "retrieval.ndcg@10", "answer.correct",
                 "answer.f1", "citation.precision", "citation.recall"):  # fmt: skip
        alone = values(row("answered"))[name][0]
        assert alone is not None
        assert found[name][0] == pytest.approx(alone / 2), name
        assert found[name][1] == 2, name
    assert found["refusal.false"] == (0.5, 2)
    assert found["refusal.recall"] == (0.0, 1)
    assert found["latency.total_ms.p50"] == (200, 1), "but it took no time that means anything"
    assert [metrics.right(r) for r in (failed, row("error", answerable=False))] == [False, False]


def test_what_nothing_defines_has_no_value() -> None:
    found = metrics.aggregate([row("unanswerable", answerable=False)])
    assert found["answer.correct"].value is None
    assert set(found) == set(metrics.NAMES)
    only = metrics.aggregate([row("answered")], retrieval_only=True)
    assert len(only) == 6
    assert all(name.startswith("retrieval.") for name in only)
