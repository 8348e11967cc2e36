"""A conversation: what was asked and answered, of which documents, and the file that keeps it.

A session's file is JSONL: each line is an answer as ``rag ask --json`` prints it, with its ``turn``
(1 begins a conversation, also after a reset). A turn is written and synced as it ends, so that a
process that is killed leaves at most one torn line, the last; only that is ever cut off.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.answering import Before, Engine
from rag.answers.followup import Exchange, quotes, standalone
from rag.commands.render import answer_json
from rag.commands.speaking import OnClaim
from rag.errors import IndexBusy, OutOfResources, RagError, UsageError
from rag.files import append, begins, hold, replace_file, sync
from rag.lists.sheets import markdown_parts
from rag.records import Answer, Citation, Claim, Failure, Retrieved, Stats
from rag.retrieval.scope import scope_of
from rag.typed import check, check_answer
from rag.words import has_word

_HEAD = b'{"schema": "rag.answer/1", "id": null, "question": '
_PLAIN = ("question", "standalone_question", "status", "answer", "answerability",
          "index_generation")  # fmt: skip


class Session:
    """Questions and answers in order, over one engine; with a file, each is kept as it ends."""

    def __init__(self, engine: Engine, *, turns: Sequence[Answer] = (), file: int = -1) -> None:
        self.engine = engine
        self.turns = list(turns)
        self.saved: set[Path] = set()  # what this session wrote it may write again
        self._file = file

    def understood(self, question: str) -> str:
        """The question as it is understood without what was said before.

        Itself where that would be longer than the embedder reads, and where nothing is asked.
        """
        if not has_word(question):
            return question
        history = [
            Exchange(turn.standalone_question, " ".join(f"{c.text}." for c in turn.claims))
            for turn in self.turns
        ]
        understood = standalone(question, history, generator=self.engine.generator)
        embedder = self.engine.embedder
        return understood if embedder.count(understood) <= embedder.max_tokens else question

    def ask(self, question: str, understood: str, on_claim: OnClaim | None = None) -> Answer:
        """Answer a question, in the words in which it was understood, and keep both.

        Raises:
            UsageError: The question is empty or too long; nothing is kept.
            OutOfResources: It was answered, and could not be written to the file.
        """
        answer = self.answer(question, understood, on_claim)
        self.keep(answer)
        return answer

    def answer(self, question: str, understood: str, on_claim: OnClaim | None = None) -> Answer:
        """The same without keeping them.

        Raises:
            UsageError: The question is empty or too long.
        """
        before = self._before(understood) if understood != question else None
        return self.engine.answer(question, standalone=understood, before=before, on_claim=on_claim)

    def _before(self, understood: str) -> Before | None:
        """What a question goes on from that could only be understood by quoting the one before."""
        quoted = quotes(understood)
        claims = self.turns[-1].claims if self.turns else ()
        if not quoted or not claims:
            return None
        return Before(quoted[0], tuple(claim.text for claim in claims), quoted[1])

    def failed(self, question: str, error: RagError) -> Answer:
        """The JSON form of a question that could not be asked; it is no part of what was said."""
        return Answer(
            question=question,
            standalone_question=question,
            status="error",
            answer="",
            error=Failure(error.kind, error.message, error.hint),
            embedder=self.engine.embedder.name,
            llm=self.engine.generator.name,
            index_generation=self.engine.store.generation,
            scope=self.engine.scope.globs,
            where=self.engine.scope.where,
        )

    def keep(self, answer: Answer) -> None:
        """Make an answer the last turn."""
        self.turns.append(answer)
        if self._file >= 0:
            _append(self._file, _line(answer, len(self.turns)))

    def restrict(self, globs: Sequence[str], where: Sequence[str] = ()) -> None:
        """Answer from the documents that match and meet the conditions only; without, from all.

        Raises:
            UsageError: One matches nothing; the scope stays as it was.
        """
        scope = scope_of(globs, self.engine.store.documents(), where=where)
        self.engine = replace(self.engine, scope=scope)

    def reset(self) -> None:
        """Forget what was said."""
        self.turns.clear()

    def save(self, file: Path) -> None:
        """Write the conversation, for people (``.md``) or to go on with (``.jsonl``).

        Raises:
            UsageError: Another kind of file, one that is there already, or nothing to write.
        """
        kind = file.suffix.lower()
        if kind not in (".md", ".jsonl"):
            raise UsageError(f"{file} is neither .md nor .jsonl", hint="/save talk.md")
        if not self.turns:
            raise UsageError("nothing was said yet", hint="ask something first")
        if file.exists() and file.resolve() not in self.saved:
            raise UsageError(f"{file} is there already", hint="choose another name")
        rows = [_line(answer, number) for number, answer in enumerate(self.turns, 1)]
        markdown = markdown_parts(json.loads(row) for row in rows)
        replace_file(file, b"".join(rows if kind == ".jsonl" else markdown))
        self.saved.add(file.resolve())


def _line(answer: Answer, turn: int) -> bytes:
    return f"{answer_json(answer, extra={'turn': turn})}\n".encode("utf-8", "replace")


def _append(file: int, line: bytes) -> None:
    try:
        append(file, line, synced=True)
    except OSError as error:
        raise OutOfResources(
            f"the conversation cannot be written: {error.strerror}",
            hint="free some space; the answer is kept in memory: /save FILE.jsonl elsewhere",
        ) from error


@contextlib.contextmanager
def kept_in(path: Path, *, resume: bool) -> Iterator[tuple[int, list[Answer]]]:
    """Open a session's file to add turns, alone; yields it and the last conversation in it.

    Args:
        path: The file.
        resume: Whether it must be there; a new one must not.

    Raises:
        UsageError: It is there and should not be, or the reverse, or it is no session.
        IndexBusy: Another conversation is writing it.
    """
    try:
        if not resume and path.is_file() and path.stat().st_size:
            raise UsageError(
                f"{path} is there already", hint=f"go on with it: rag chat --resume {path}"
            )
        create = 0 if resume else os.O_CREAT
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | create, 0o600)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="name a file you may write to"
        ) from error
    try:
        if not hold(file):
            raise IndexBusy(
                f"another conversation is writing {path}", hint="end it, or choose another file"
            )
        turns, size = _read(path)
        if os.fstat(file).st_size > size:
            os.ftruncate(file, size)
        sync(path.resolve().parent)
        yield file, turns
    finally:
        os.close(file)


def _read(path: Path) -> tuple[list[Answer], int]:
    """The last conversation in a file, and the bytes up to a torn last line."""
    turns: list[Answer] = []
    size = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n") and begins(line, _HEAD):
                break
            try:
                row = json.loads(line)
                answer = _answer(row)
                turn = row["turn"]
                check(turn, int)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise UsageError(
                    f"{path} line {number} is no turn of a conversation",
                    hint="name a file that rag chat --save or /save FILE.jsonl wrote;"
                    " a line that was changed by hand can be deleted",
                ) from error
            turns = [*(turns if turn > 1 else []), answer]
            size += len(line)
    return turns, size


def _answer(row: dict[str, Any]) -> Answer:
    """An answer from its JSON form."""
    if row["schema"] != "rag.answer/1":
        raise ValueError("another schema")
    check_answer(row)
    return Answer(
        **{name: row[name] for name in _PLAIN},
        claims=tuple(_claim(claim) for claim in row["claims"]),
        citations=tuple(_citation(citation) for citation in row["citations"]),
        retrieved=tuple(Retrieved(**passage) for passage in row["retrieved"]),
        dropped=tuple(_claim(claim) for claim in row["dropped"]),
        nearest=tuple(_citation(citation) for citation in row["nearest"]),
        unanswered=tuple(row["unanswered"]),
        absent=tuple(row.get("absent", ())),
        error=Failure(**row["error"]) if row["error"] else None,
        stats=Stats(**row["stats"]),
        embedder=row["models"]["embedder"],
        llm=row["models"]["llm"],
        scope=tuple(row["scope"]),
        where=tuple(row.get("where", ())),
    )


def _claim(row: dict[str, Any]) -> Claim:
    return Claim(**{**row, "labels": tuple(row["labels"])})


def _citation(row: dict[str, Any]) -> Citation:
    return Citation(**{**row, "also_in": tuple(row.get("also_in", ()))})
