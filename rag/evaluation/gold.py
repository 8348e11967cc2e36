"""A gold set: questions with what a right answer says, and the quotes that support it.

JSONL, one question a line: ``id``, ``question``, ``answer`` (null where the documents do not
answer) and, where there are any, ``type``, ``facts`` and ``sources``. Whatever is wrong with it is
said before a single question is answered, naming the line.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rag.errors import InputUnreadable


class Texts(Protocol):
    """The stored texts of documents by their paths, None where one is not indexed."""

    def __call__(self, path: str, /) -> str | None:
        """The text of a document."""

    def first(self, path: str, /) -> str:
        """The path under which the same text is found: a copy's is that of the first."""


_COLUMNS = ("id", "question", "answer")
_HINT = (
    'a line looks like {"id": "q1", "type": "fact", "question": "...", "answer": "...",'
    ' "facts": [["240 billion", "240bn"]], "sources": [{"document": "a.txt", "quote": "..."}]}'
)
_FIRST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A quote that supports the reference answer, and the document that holds it."""

    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """One place at which a gold quote stands, in code points of the document's stored text."""

    document: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """One line of a gold set.

    Attributes:
        line: Line in the file, counted from 1.
        id: Unique within the file.
        type: What kind of question it is; results are also shown by type.
        question: What is asked.
        answer: The reference answer; None where the documents do not answer.
        facts: Groups of alternatives: a right answer says one alternative of every group.
        sources: The quotes that support the answer.
    """

    line: int
    id: str
    type: str
    question: str
    answer: str | None
    facts: tuple[tuple[str, ...], ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class GoldSet:
    """A gold set as it was read: where, the SHA-256 of its bytes, and its questions in order."""

    path: str
    sha256: str
    questions: tuple[GoldQuestion, ...]


def read_gold(path: Path) -> GoldSet:
    """Read and check a gold set.

    Raises:
        InputUnreadable: It cannot be read, is empty, or a line is not what it must be; names the
            line, and the id where there is one.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputUnreadable(
            f"the gold set {path} cannot be read: {error.strerror}", hint="name a JSONL file"
        ) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputUnreadable(
            f"{path} line {line} is not UTF-8", hint="save the file as UTF-8"
        ) from error
    questions: list[GoldQuestion] = []
    lines: dict[str, int] = {}
    # Not splitlines(): a separator such as U+2028 may stand inside a JSON string.
    for number, line_text in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if not line_text.strip():
            continue
        question = _question(line_text, number, path)
        if question.id in lines:
            raise InputUnreadable(
                f"{path} line {number}: the id {question.id!r} is already used in line"
                f" {lines[question.id]}",
                hint="give every question an id of its own",
            )
        lines[question.id] = number
        questions.append(question)
    if not questions:
        raise InputUnreadable(f"the gold set {path} holds no question", hint=_HINT)
    return GoldSet(str(path), hashlib.sha256(data).hexdigest(), tuple(questions))


def locate(gold: GoldSet, texts: Texts) -> dict[str, tuple[GoldSpan, ...]]:
    """Where the quotes of each question stand; a quote that stands twice has two spans.

    Args:
        gold: The gold set.
        texts: Path of a document to its stored text, None where it is not indexed.

    Raises:
        InputUnreadable: A document is not indexed, or does not hold its quote; names the line.
    """
    return {
        question.id: tuple(
            span for source in question.sources for span in _spans(source, question, gold, texts)
        )
        for question in gold.questions
    }


def _spans(source: Source, question: GoldQuestion, gold: GoldSet, texts: Texts) -> list[GoldSpan]:
    where = f"{gold.path} line {question.line} (id {question.id})"
    text = texts(source.document)
    if text is None:
        raise InputUnreadable(
            f"{where}: the document {source.document!r} is not in the index",
            hint="index its folder (rag index FOLDER); paths are as rag search shows them",
        )
    spans = []
    at = text.find(source.quote)
    while at >= 0:
        spans.append(GoldSpan(source.document, at, at + len(source.quote), source.quote))
        at = text.find(source.quote, at + 1)
    if not spans:
        words = source.quote.split()
        first = " ".join(words[:_FIRST_WORDS]) + (" …" if len(words) > _FIRST_WORDS else "")
        raise InputUnreadable(
            f"{where}: the quote “{first}” is not in {source.document}",
            hint="copy the quote from the document, character by character",
        )
    return spans


def _question(line_text: str, number: int, path: Path) -> GoldQuestion:
    where = f"{path} line {number}"
    try:
        row = json.loads(line_text)
    except (ValueError, RecursionError) as error:
        raise InputUnreadable(f"{where} is not JSON: {error}", hint=_HINT) from error
    if not isinstance(row, dict):
        raise InputUnreadable(f"{where} is not a JSON object", hint=_HINT)
    missing = [name for name in _COLUMNS if name not in row]
    if missing:
        raise InputUnreadable(
            f"{where} has no {' and no '.join(missing)}; it has: {', '.join(row) or 'nothing'}",
            hint=_HINT,
        )
    id_ = row["id"]
    if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
        raise InputUnreadable(f"{where}: the id must be text or a whole number", hint=_HINT)
    where = f"{where} (id {id_})"
    kind = row.get("type", "question")
    answer = row["answer"]
    _demand(_is_text(row["question"]), where, "the question must be text, and not empty")
    _demand(isinstance(kind, str), where, "the type must be text")
    _demand(
        answer is None or _is_text(answer), where, "the answer must be text, or null where there is"
        " none",
    )  # fmt: skip
    facts = row.get("facts") or []
    _demand(
        isinstance(facts, list)
        and all(isinstance(group, list) and group and all(map(_is_text, group)) for group in facts),
        where,
        "the facts must be lists of alternatives, such as [[\"240 billion\", \"240bn\"]]",
    )  # fmt: skip
    sources = row.get("sources") or []
    _demand(
        isinstance(sources, list)
        and all(
            isinstance(s, dict) and _is_text(s.get("document")) and _is_text(s.get("quote"))
            for s in sources
        ),
        where,
        "the sources must each have a document and a quote",
    )
    _demand(
        answer is not None or not (facts or sources),
        where,
        "the answer is null, so there can be no facts and no sources",
    )
    return GoldQuestion(
        line=number,
        id=str(id_),
        type=kind,
        question=row["question"],
        answer=answer,
        facts=tuple(tuple(group) for group in facts),
        sources=tuple(Source(s["document"], s["quote"]) for s in sources),
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _demand(condition: bool, where: str, message: str) -> None:
    if not condition:
        raise InputUnreadable(f"{where}: {message}", hint=_HINT)
