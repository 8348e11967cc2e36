"""What ``/commands`` of a conversation do: each takes its words and gives the text to show."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rag.commands import render
from rag.commands.session import Session
from rag.errors import IndexUnusable, UsageError
from rag.records import Answer, Citation
from rag.retrieval.conditions import is_condition
from rag.retrieval.scope import scope_of
from rag.terminal import printable

_AROUND = 900  # code points of a paragraph shown on each side of a quote


def run(line: str, session: Session, *, width: int, styled: bool) -> str:
    """Do what a line that begins with a slash says.

    Args:
        line: The command and its words.
        session: What it speaks of.
        width: Columns of the text.
        styled: Whether quotes can be highlighted.

    Raises:
        RagError: It cannot be done: an unknown command, a source that is not there.
    """
    try:
        name, *words = shlex.split(line)
    except ValueError:  # a quotation mark that is not closed is part of a name
        name, *words = line.split()
    command = COMMANDS.get(name.lower())
    if command is None:
        raise UsageError(f"unknown command {printable(name)}", hint="/help shows all")
    return command[0](session, words, width, styled)


def _help(_session: Session, _words: list[str], _width: int, _styled: bool) -> str:
    return "\n".join(f"{name:9} {what}" for name, (_, what) in COMMANDS.items())


def _sources(session: Session, _words: list[str], width: int, _styled: bool) -> str:
    answer = _last(session)
    if answer.citations:
        return render.sources_text(answer.citations, width=width)
    if answer.nearest:
        return "nearest passages:\n" + render.sources_text(answer.nearest, width=width)
    return "the last answer has no sources"


def _open(session: Session, words: list[str], width: int, styled: bool) -> str:
    answer = _last(session)
    known = {str(citation.label): citation for citation in answer.citations or answer.nearest}
    wanted = words[0].strip("[]") if len(words) == 1 else ""
    if wanted not in known:
        there = f"1 to {len(known)}" if known else "none"
        raise UsageError(
            f"no source {printable(' '.join(words)) or '(none named)'}",
            hint=f"the sources of the last answer are {there}: /open 1",
        )
    return _paragraph(session, known[wanted], width=width, styled=styled)


def _paragraph(session: Session, citation: Citation, *, width: int, styled: bool) -> str:
    """A quote within its paragraph, from the stored text."""
    store = session.engine.store
    ids = {path: d.id for d in store.documents() for path in d.paths}
    text = store.text(ids[citation.document]) if citation.document in ids else ""
    if text[citation.start : citation.end] != citation.quote:
        raise IndexUnusable(
            f"{printable(citation.document)} has changed since it was cited",
            hint="ask again: the answer will cite it as it is now",
        )
    before = text[max(0, citation.start - _AROUND) : citation.start]
    after = text[citation.end : citation.end + _AROUND]
    return render.quote_text(citation, before, after, width=width, styled=styled)


def _why(session: Session, _words: list[str], width: int, _styled: bool) -> str:
    answer = _last(session)
    # Retrieval gives the same again as long as the index is the same.
    scope = scope_of(answer.scope, session.engine.store.documents(), where=answer.where)
    engine = replace(session.engine, scope=scope)
    found = engine.prepare(answer.standalone_question).first
    changed = answer.index_generation != engine.store.generation
    return render.why_text(
        answer, found.evidence, found.hits, width=width, changed=changed,
        threshold=engine.limits.answer_threshold,
    )  # fmt: skip


def _scope(session: Session, words: list[str], _width: int, _styled: bool) -> str:
    if words:
        conditions = [word for word in words if is_condition(word)]
        globs = [word for word in words if word not in conditions]
        session.restrict([] if globs == ["*"] else globs, conditions)
    scope = session.engine.scope
    chosen = scope.documents
    documents = [d for d in session.engine.store.documents() if chosen is None or d.id in chosen]
    what = " ".join(map(printable, [*scope.globs, *scope.where])) or "all documents"
    return "\n".join([f"scope: {what}", *(f"  {printable(d.path)}" for d in documents)])


def _save(session: Session, words: list[str], _width: int, _styled: bool) -> str:
    if len(words) != 1:
        raise UsageError("name one file", hint="/save talk.md, or /save talk.jsonl to go on later")
    try:
        session.save(Path(words[0]).expanduser())
    except (RuntimeError, OSError, ValueError) as error:  # no such user, too long, no name at all
        raise UsageError(
            f"{printable(words[0])} cannot be written: {error}", hint="choose another name"
        ) from error
    count = len(session.turns)
    return f"saved {count} turn{'s' * (count > 1)}: {printable(words[0])}"


def _reset(session: Session, _words: list[str], _width: int, _styled: bool) -> str:
    session.reset()
    kept = " (the scope stays: /scope *)" if session.engine.scope.documents else ""
    return f"what was said is forgotten{kept}"


def _last(session: Session) -> Answer:
    if not session.turns:
        raise UsageError("nothing was answered yet", hint="ask something first")
    return session.turns[-1]


Command = Callable[[Session, list[str], int, bool], str]
COMMANDS: dict[str, tuple[Command, str]] = {
    "/sources": (_sources, "the sources of the last answer"),
    "/open": (_open, "/open N: a source within its paragraph"),
    "/why": (_why, "how the last answer came about: ranks, evidence, checks, what was withheld"),
    "/scope": (
        _scope,
        "/scope GLOB|CONDITION...: only these documents; /scope * all; alone: which",
    ),
    "/save": (_save, "/save FILE.md to read, /save FILE.jsonl to resume"),
    "/reset": (_reset, "forget what was said"),
    "/help": (_help, "this list; Ctrl-C stops an answer, Ctrl-D leaves"),
}
