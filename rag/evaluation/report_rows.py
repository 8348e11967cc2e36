"""The questions of a report as its page shows them: sorted by outcome, cut to a bearable length.

Takes rows of the schema ``rag.report/1`` and returns what the template prints; nothing is escaped
here, because the template escapes everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

_LABEL = re.compile(r"\[(\d{1,4})\]")
_MANY = 1000  # rows, from which on each is cut shorter
_NAME = 160  # code points of a file name, a title, a type or an id
_ALTERNATIVES = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question.

    Attributes:
        key: Its class in the page.
        label: In a few words.
        symbol: Beside the words, so that colour is never the only sign.
        group: The heading over all such questions.
        look: Its series in plots.
    """

    key: str
    label: str
    symbol: str
    group: str
    look: int


# In the order in which the page shows them: what went wrong comes first.
OUTCOMES = (
    Outcome("error", "error", "⚠", "Failed with an error", 5),
    Outcome("wrong", "wrong", "✗", "Answered wrongly", 1),
    Outcome("unfounded", "answered though unanswerable", "✗",
            "Answered, though the documents do not answer", 3),
    Outcome("refused", "refused", "○", "Refused, though the documents answer", 2),
    Outcome("missed", "not found", "✗", "Nothing relevant retrieved", 1),
    Outcome("unscored", "not scored", "·", "Not scored", 6),
    Outcome("declined", "refused rightly", "✓", "Refused rightly", 4),
    Outcome("right", "right", "✓", "Answered rightly", 0),
    Outcome("found", "found", "✓", "Something relevant retrieved", 0),
)  # fmt: skip
_BY_KEY = {outcome.key: outcome for outcome in OUTCOMES}


@dataclass(frozen=True, slots=True)
class Room:
    """How many code points of a text, and how many passages, one question may take."""

    text: int = 1500
    quote: int = 1200
    context: int = 360
    passage: int = 320
    passages: int = 20


def room_for(rows: int) -> Room:
    """Shorter texts where there are many rows, so that a browser still opens the page."""
    return Room() if rows <= _MANY else Room(300, 300, 140, 110, 3)


def outcome_of(row: Row) -> Outcome:
    """What became of a question.

    Without an answer (retrieval only) it is whether any retrieved passage is relevant.
    """
    status, answerable = row.get("status"), row.get("gold_answer") is not None
    if status == "error":
        key = "error"
    elif status == "answered":
        if not answerable:
            key = "unfounded"
        elif row.get("correct") is None:
            key = "unscored"
        else:
            key = "right" if row["correct"] else "wrong"
    elif status == "unanswerable":
        key = "refused" if answerable else "declined"
    elif row.get("gold_spans"):
        key = "found" if any(p.get("relevant") for p in row.get("retrieved") or ()) else "missed"
    else:
        key = "unscored"
    return _BY_KEY[key]


def type_of(row: Row) -> str:
    """The kind of question that the gold set says it is."""
    return str(row.get("type") or "other")


def row_view(row: Row, *, number: int, kind: int, room: Room) -> dict[str, Any]:
    """One question as the template prints it.

    Args:
        row: Of the report.
        number: Its place in the report, from 1; its anchor is made of it, never of its id.
        kind: The number of its type among the filters.
        room: How long its texts may be.
    """
    outcome = outcome_of(row)
    citations = [_citation(c, room) for c in row.get("citations") or ()]
    labels = {citation["label"] for citation in citations}
    return {
        "anchor": f"q{number}",
        "key": str(row.get("id", number)),
        "id": _name(str(row.get("id", number))),
        "outcome": outcome,
        "type": _name(type_of(row)),
        "kind": kind,
        "question": cut(row.get("question", ""), room.text),
        "why": cut(row.get("why") or "", room.text),
        "answer": answer_parts(cut(row.get("answer") or "", room.text), labels),
        "gold_answer": cut(row["gold_answer"], room.text) if row.get("gold_answer") else "",
        "facts": [_alternatives(group) for group in row.get("facts") or ()],
        "answered": row.get("status") is not None,
        "judged": _judged(row.get("judge"), room),
        "error": row.get("error"),
        "claims": row.get("claims") or [],
        "citations": citations,
        "gold_left": _gold_left(row, room),
        "dropped": [
            {
                "text": cut(claim.get("text", ""), room.text),
                "reason": cut(claim.get("reason") or "", room.text),
                "score": claim.get("score"),
            }
            for claim in row.get("dropped") or ()
        ],
        "scores": _scores(row),
        "times": _times(row.get("stats") or {}),
        **_retrieved(row, room),
    }


def _judged(verdict: Row | None, room: Room) -> str:
    """What a judge said of the answer; "" where none was asked."""
    if not verdict:
        return ""
    if verdict.get("failed"):
        return f"no judgement: {cut(verdict['failed'], room.text)}"
    word = "correct" if verdict.get("correct") else "not correct"
    score = verdict.get("score")
    return word if score is None else f"{word} (probability of yes {score:.2f})"


def answer_parts(answer: str, labels: set[int]) -> list[tuple[str, int]]:
    """An answer cut at its labels: (text, 0) or (text of the label, its number)."""
    parts, at = [], 0
    for found in _LABEL.finditer(answer):
        if int(found[1]) in labels:
            parts += [(answer[at : found.start()], 0), (found[0], int(found[1]))]
            at = found.end()
    return [part for part in [*parts, (answer[at:], 0)] if part[0]]


def cut(text: str, most: int) -> str:
    """At most so many code points, ending at a word."""
    if len(text) <= most:
        return text
    return (text[:most].rsplit(None, 1) or [""])[0] + " …"


def _name(text: str) -> str:
    """A name as it is, or its beginning: a name has no words to cut at."""
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"


def _alternatives(group: list[str]) -> list[str]:
    shown = [_name(one) for one in group[:_ALTERNATIVES]]
    return shown + ["…"] * (len(group) > _ALTERNATIVES)


def _cut_front(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return "… " + (text[-most:].split(None, 1) or [""])[-1]


def _place(span: Row) -> str:
    """Page (or what the format has instead) and lines, where they are known."""
    first, last = span.get("line_start"), span.get("line_end")
    parts = [f"page {span['page']}"] if span.get("page") is not None else []
    parts = [_name(span["place"])] if span.get("place") else parts
    if first is not None:
        parts.append(f"line {first}" if first == last else f"lines {first} to {last}")
    return ", ".join(parts)


def _citation(citation: Row, room: Room) -> dict[str, Any]:
    return {
        "label": int(citation["label"]),
        "document": _name(citation["document"]),
        "title": _name(citation.get("title") or ""),
        "place": _place(citation),
        "before": _cut_front(citation.get("before") or "", room.context),
        "quote": cut(citation["quote"], room.quote),
        "after": cut(citation.get("after") or "", room.context),
        "gold": citation.get("gold"),
        "verbatim": citation.get("verbatim", True),
    }


def _gold_left(row: Row, room: Room) -> list[dict[str, Any]]:
    """The gold quotes that no citation meets, at none of their places, and where they got lost."""
    places: dict[tuple[str, str], list[Row]] = {}
    for span in row.get("gold_spans") or ():
        places.setdefault((span["document"], span["quote"]), []).append(span)
    left = []
    for (document, quote), spans in places.items():
        cited = row.get("citations") or ()
        if any(_meet(citation, span) for citation in cited for span in spans):
            continue
        ranks = [
            rank
            for rank, passage in enumerate(row.get("retrieved") or (), 1)
            if any(_meet(passage, span) for span in spans)
        ]
        where = f"retrieved at rank {ranks[0]}" if ranks else "not retrieved"
        left.append({"document": _name(document), "quote": cut(quote, room.quote), "where": where})
    return left


def _meet(one: Row, other: Row) -> bool:
    return bool(
        one["document"] == other["document"]
        and one["start"] < other["end"]
        and other["start"] < one["end"]
    )


def _retrieved(row: Row, room: Room) -> dict[str, Any]:
    """The best passages, and each relevant one further down."""
    passages = [
        {
            "rank": rank,
            "document": _name(passage["document"]),
            "start": passage["start"],
            "end": passage["end"],
            "score": f"{passage.get('score', 0.0):#.4g}",
            "relevant": bool(passage.get("relevant")),
            "text": cut(passage.get("text") or "", room.passage),
        }
        for rank, passage in enumerate(row.get("retrieved") or (), 1)
    ]
    relevant = [str(p["rank"]) for p in passages if p["relevant"]]
    summary = f"{len(passages)} passage" + "s" * (len(passages) != 1) + " retrieved"
    if row.get("gold_spans"):
        ranks = ", ".join(relevant)
        summary += f", relevant at rank {ranks}" if relevant else ", none of them relevant"
    shown = [p for p in passages if p["rank"] <= room.passages or p["relevant"]]
    return {"retrieved": shown, "retrieved_summary": summary if passages else ""}


def _scores(row: Row) -> list[str]:
    """What was measured on this question alone."""
    own = {
        "probability that the documents answer": row.get("answerability"),
        "F1 against the expected answer": row.get("f1"),
    }
    return [
        *(f"{name} {value:.2f}" for name, value in own.items() if value is not None),
        *(
            f"{kind}: " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
            for kind in ("citation", "retrieval")
            if (scores := row.get(kind))
        ),
    ]


def _times(stats: Row) -> str:
    parts = [
        f"{name} {seconds(stats[field])}"
        for name, field in (("first token", "first_token_ms"), ("whole answer", "total_ms"))
        if stats.get(field)
    ]
    if stats.get("prompt_tokens"):
        parts.append(f"prompt {stats['prompt_tokens']:,} tokens")
    return " · ".join(parts)


def seconds(milliseconds: float) -> str:
    """A time as it is read."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.{1 if milliseconds < 99_950 else 0}f} s"
