"""What every peer shares: what counts as a refusal, how ``[n]`` is read, how an answer is written.

The standard library only: this also runs where the product is not installed.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Peers have no status for "the documents do not answer", only prose. An answer that matches one of
# these counts as a refusal, whatever else it says. Kept here alone, and used for every peer. The
# first needs the documents for its subject: "China does not provide weapons" is an answer.
REFUSALS = (
    r"\b(?:sources?|documents?|texts?|passages?|context|articles?|information|excerpts?|it)\b"
    r"(?: \w+){0,3}? (?:(?:do|does|did) not|(?:do|does|did)n't) (?:\w+ )?(?:provide|contain"
    r"|mention|include|specify|state|say|answer|discuss|give|address|indicate|offer|have)\b",
    r"\b(?:is|are|was|were) (?:not|never) (?:\w+ )?(?:provided|mentioned|specified|stated)\b",
    r"\bnot (?:mentioned|specified|stated|provided|answered|given|included|discussed|available)"
    r" (?:in|by) (?:the|any|these|those)\b",
    r"\bno (?:\w+ )?(?:information|mention|answer)\b",
    r"\bnone of the (?:\w+ )?(?:sources|documents|passages)\b",
    r"\b(?:cannot|can't|could not|can not) be (?:determined|answered|found)\b",
    r"\b(?:cannot|can't|could not|unable to|not able to) (?:answer|determine|provide|find)\b",
    r"\bi (?:don't|do not) know\b",
    r"\bnot enough information\b",
    r"\binsufficient information\b",
    r"^empty response$",
)
_REFUSAL = re.compile("|".join(REFUSALS), re.IGNORECASE)
_NUMBERS = r"\d+(?:\s*(?:,|;|and|&)\s*(?:Source )?\d+)*"
_LABELS = re.compile(
    rf"\s*(?:\[(?:Sources? )?({_NUMBERS})\]|\(Sources? ({_NUMBERS})\))", re.IGNORECASE
)
_NAMED = re.compile(r"\bSource (\d+)\b")
_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)]))\s+(?=[\"'“‘(]?[A-Z0-9])|\n+")
_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000(.*?)\ue001")
_AFTER_STOP = re.compile("([.!?][\"'”’)]*)((?:\\s*\ue000[^\ue001]*\ue001)+)")


@dataclass(frozen=True, slots=True)
class Offered:
    """A passage that was shown under a label, and where it stands.

    ``start`` is -1 where its text is not in the document as it was shown.
    """

    label: int
    document: str
    start: int
    end: int
    quote: str


def is_refusal(text: str) -> bool:
    """Whether an answer says that it has none; an empty one does."""
    return not text.strip() or bool(_REFUSAL.search(text.strip().replace("’", "'")))


def claims(text: str) -> list[Row]:
    """Sentences with the labels that stand in them, or directly behind their full stop.

    ``[1]``, ``[1, 2]``, ``[Source 1]`` and ``(Source 1)`` are labels; a bare ``(1)`` is not. A
    sentence that names ``Source 1`` in its prose cites it too: LlamaIndex shows its passages under
    such headings, and a small model copies them.
    """
    marked = _LABELS.sub(lambda m: _MARK.format(",".join(re.findall(r"\d+", m[0]))), text)
    # "Fact. [1] Next" cites the fact: the mark goes before the full stop it stands behind.
    marked = _AFTER_STOP.sub(r"\2\1", marked)
    found: list[Row] = []
    for sentence in _END.split(marked):
        labels = [int(n) for marks in _MARKS.findall(sentence) for n in marks.split(",")]
        labels += [int(n) for n in _NAMED.findall(sentence)]
        bare = " ".join(_MARKS.sub("", sentence).split()).rstrip(" .;")
        if bare:
            found.append({"text": bare, "labels": list(dict.fromkeys(labels)), "verdict": None})
        elif labels and found:  # labels alone on a line belong to what stands above
            found[-1]["labels"] = list(dict.fromkeys([*found[-1]["labels"], *labels]))
    return found


def record(
    question: Row, text: str, offered: Iterable[Offered], *, stats: dict[str, int], llm: str
) -> Row:
    """An answer in the fields of ``rag.answer/1``; what is not known of a peer is left out.

    Labels that name no passage are taken from the claims and kept in ``invented_labels``.
    """
    by_label = {o.label: o for o in offered}
    said = [] if is_refusal(text) else claims(text)
    invented = sorted({n for claim in said for n in claim["labels"]} - set(by_label))
    for claim in said:
        claim["labels"] = [n for n in claim["labels"] if n in by_label]
    used = sorted({n for claim in said for n in claim["labels"]})
    return {
        "schema": "rag.answer/1",
        "id": question["id"],
        "question": question["question"],
        "status": "answered" if said else "unanswerable",
        "answer": text.strip(),
        "claims": said,
        "citations": [asdict(by_label[n]) for n in used],
        "retrieved": [
            {"document": o.document, "start": o.start, "end": o.end, "score": 1 / rank}
            for rank, o in enumerate(by_label.values(), 1)
        ],
        "dropped": [],
        "invented_labels": invented,
        "error": None,
        "stats": {"reused_tokens": 0, **stats},
        "models": {"embedder": "", "llm": llm},
        "index_generation": 0,
    }


def rows(file: Path) -> list[Row]:
    """The rows of a JSONL file; a last line that was cut off is left out."""
    if not file.is_file():
        return []
    found = []
    lines = file.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        if line.strip():
            try:
                found.append(json.loads(line))
            except ValueError:
                if number + 1 < len(lines):
                    raise
    return found


def unanswered(gold: list[Row], out: Path) -> Iterator[Row]:
    """The questions that an answers file does not hold yet; a broken last line is removed."""
    done = rows(out)
    if out.is_file():
        _write(out, done)
    out.parent.mkdir(parents=True, exist_ok=True)
    seen = {row["id"] for row in done}
    return (question for question in gold if question["id"] not in seen)


def in_order(gold: Path, answers: Path, out: Path) -> None:
    """Write answers in the order of a gold set; a longer run puts its new ones last."""
    found = {row["id"]: row for row in rows(answers)}
    _write(out, [found[question["id"]] for question in rows(gold)])


def append(out: Path, row: Row) -> None:
    """Add one answer to a file."""
    with out.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row, ensure_ascii=True) + "\n")


def _write(out: Path, found: list[Row]) -> None:
    out.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in found))


def documents(folder: Path) -> dict[str, str]:
    """Text and Markdown files by path, less those whose name ``.ragignore`` lists."""
    ignore = folder / ".ragignore"
    patterns = ignore.read_text(encoding="utf-8").split("\n") if ignore.is_file() else []
    patterns = [p.strip() for p in patterns if p.strip() and not p.startswith("#")]
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().decode("utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and file.suffix.lower() in (".txt", ".text", ".md", ".markdown")
        and not any(fnmatch.fnmatch(file.name, pattern.strip("/")) for pattern in patterns)
    }


def place(text: str, chunk: str) -> tuple[int, int]:
    """Where a chunk stands in a text, white space apart; (-1, -1) where it does not."""
    chunk = chunk.strip()
    at = text.find(chunk)
    if at >= 0:
        return at, at + len(chunk)
    words = [re.escape(word) for word in chunk.split()]
    match = re.search(r"\s+".join(words), text) if words else None
    return match.span() if match else (-1, -1)
