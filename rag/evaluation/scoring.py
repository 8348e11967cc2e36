"""One gold question and its answer to one row of a report, with one sentence saying why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rag.evaluation import metrics
from rag.evaluation.gold import GoldQuestion, GoldSpan, Texts

_AROUND = 600  # code points of the paragraph shown on each side of a quote
_SHOWN = 400  # code points of a retrieved passage

Row = dict[str, Any]


def score(question: GoldQuestion, answer: Row, *, spans: Sequence[GoldSpan], texts: Texts) -> Row:
    """One row of the report; a copy of a document counts as that document."""
    status = answer["status"]

    def named(row: Row) -> Row:
        return {**row, "document": texts.first(row["document"])}

    gold_spans = [named(asdict(span)) for span in spans]
    citations = [
        _citation(named(c), gold_spans=gold_spans, texts=texts) for c in answer["citations"]
    ]
    retrieved = [
        {
            **{key: passage[key] for key in ("document", "start", "end", "score")},
            "relevant": any(metrics.overlap(passage, span) for span in gold_spans),
            "text": (texts(passage["document"]) or "")[passage["start"] : passage["end"]][:_SHOWN],
        }
        for passage in map(named, answer["retrieved"])
    ]
    asked = question.answer is not None and status is not None
    f1 = metrics.token_f1(answer["answer"], question.answer or "") if status == "answered" else 0.0
    correct, why = _verdict(question, answer, f1)
    return {
        "id": question.id,
        "type": question.type,
        "question": question.question,
        "gold_answer": question.answer,
        "facts": [list(group) for group in question.facts],
        "gold_spans": gold_spans,
        "status": status,
        "answer": answer["answer"],
        "correct": correct,
        "f1": f1 if asked else None,
        "why": why,
        "answerability": answer.get("answerability"),
        "retrieval": metrics.retrieval_scores(retrieved, gold_spans) if gold_spans else None,
        "citation": _citation_scores(citations, gold_spans) if status == "answered" else None,
        "claims": answer["claims"],
        "citations": citations,
        "retrieved": retrieved,
        "dropped": answer.get("dropped", []),
        "stats": answer["stats"],
        "error": answer["error"],
    }


def _verdict(question: GoldQuestion, answer: Row, f1: float) -> tuple[bool | None, str]:
    """Whether an answerable question was answered rightly, and one sentence saying why."""
    status = answer["status"]
    if status is None:
        return None, "Only retrieval was scored."
    if question.answer is None:
        return None, {
            "answered": "Answered, although the documents do not answer it.",
            "unanswerable": "Refused, as it should be.",
        }.get(status, f"It failed: {(answer['error'] or {}).get('message', 'no reason given')}.")
    if status == "error":
        return False, f"It failed: {(answer['error'] or {}).get('message', 'no reason given')}."
    if status != "answered":
        return False, "Refused, although the documents answer it."
    if not question.facts:
        side = "at least" if f1 >= metrics.F1_RIGHT else "less than"
        return f1 >= metrics.F1_RIGHT, (
            f"The gold has no facts to check; token F1 against the reference is {f1:.2f}, {side}"
            f" {metrics.F1_RIGHT}."
        )
    missing = metrics.missing_facts(answer["answer"], question.facts)
    if not missing:
        return True, "Every fact is there."
    groups = "; ".join(" or ".join(f"“{one.strip()}”" for one in group) for group in missing)
    return False, f"Missing {len(missing)} of {len(question.facts)} facts: {groups}."


def _citation(citation: Row, *, gold_spans: list[Row], texts: Texts) -> Row:
    text = texts(citation["document"]) or ""
    start, end = citation["start"], citation["end"]
    before = re.split(r"\n[^\S\n]*\n", text[max(0, start - _AROUND) : start].replace("\r\n", "\n"))
    after = re.split(r"\n[^\S\n]*\n", text[end : end + _AROUND].replace("\r\n", "\n"), maxsplit=1)
    return {
        **citation,
        "verbatim": bool(citation["quote"]) and text[start:end] == citation["quote"],
        "gold": any(metrics.overlap(citation, span) for span in gold_spans),
        "before": before[-1],
        "after": after[0],
    }


def _citation_scores(citations: list[Row], gold_spans: list[Row]) -> dict[str, float]:
    """Those that are defined: without gold quotes there is no precision and no recall."""
    scores = {}
    if citations:
        scores["valid"] = sum(c["verbatim"] for c in citations) / len(citations)
    if gold_spans:
        scores["precision"] = metrics.citation_precision(citations, gold_spans)
        scores["recall"] = metrics.citation_recall(citations, gold_spans)
    return scores
