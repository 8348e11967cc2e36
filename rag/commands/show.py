"""The stored text of a document around a place: what offsets, lines and pages refer to."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.clean import line_starts
from rag.commands import console, flags
from rag.errors import IndexUnusable, UsageError
from rag.terminal import json_text, printable

if TYPE_CHECKING:
    from rag.records import Document, DocumentInfo, Place

_MAX_NAMED = 5  # documents named in an error


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of whole lines: offsets into the stored text, lines counted from 1."""

    document: Document
    start: int
    end: int
    line_start: int
    line_end: int
    place: Place | None


def show(
    document: Annotated[str, typer.Argument(help="Its path in the index, or the end of it.")],
    around: Annotated[
        int | None, typer.Option("--around", min=0, help="Around an offset (start of a citation).")
    ] = None,
    line: Annotated[int | None, typer.Option("--line", min=1, help="Around a line.")] = None,
    page: Annotated[int | None, typer.Option("--page", min=1, help="One page or slide.")] = None,
    context: Annotated[
        int, typer.Option("-C", "--context", min=0, help="Lines before and after.")
    ] = 10,
    index_dir: flags.IndexFlag = None,
    config: flags.ConfigFlag = None,
    as_json: flags.JsonFlag = False,
) -> None:
    """Print the stored text of a document, or what stands around a place in it."""
    if sum(given is not None for given in (around, line, page)) > 1:
        raise UsageError(
            "--around, --line and --page name one place each", hint="leave out all but one"
        )
    settings = flags.settings(config, index=index_dir)
    from rag.storage.store import open_index

    store = open_index(Path(settings.index))
    try:
        found = store.document(_find(document, store.documents()).id)
    finally:
        store.close()
    excerpt = cut(found, around=around, line=line, page=page, context=context)
    console.out(excerpt_json(excerpt) if as_json else excerpt_text(excerpt))


def _find(name: str, documents: list[DocumentInfo]) -> DocumentInfo:
    end = f"/{name.removeprefix('./')}"
    exact = [d for d in documents if name in d.paths]
    ending = [d for d in documents if any(path.endswith(end) for path in d.paths)]
    found = exact or ending
    if len(found) == 1:
        return found[0]
    wanted = name.rsplit("/", 1)[-1].lower()
    near = found or [d for d in documents if wanted in d.path.lower()]
    names = ", ".join(d.path for d in near[:_MAX_NAMED]) + (" …" if len(near) > _MAX_NAMED else "")
    if found:
        raise UsageError(f"{len(found)} documents end in {name}", hint=f"name one: {names}")
    raise IndexUnusable(
        f"no document {name} in the index",
        hint=f"there is {names}" if near else "index it: rag index FOLDER",
    )


def cut(
    document: Document, *, around: int | None, line: int | None, page: int | None, context: int
) -> Excerpt:
    """The lines about a place; all of them where none is named.

    Raises:
        UsageError: The place is not in the document.
    """
    text = document.text
    starts = line_starts(text)
    if len(starts) > 1 and starts[-1] == len(text):
        starts.pop()
    first, last = 0, len(starts) - 1  # lines, counted from 0
    if page is not None:
        pages = [place for place in document.places if place.page is not None]
        at = next((n for n, place in enumerate(pages) if place.page == page), None)
        if at is None:
            have = f"it has text on pages {pages[0].page} to {pages[-1].page}" if pages else (
                "it has no pages; use --line or --around")  # fmt: skip
            raise UsageError(f"no text on page {page} of {document.path}", hint=have)
        end = pages[at + 1].start if at + 1 < len(pages) else len(text)
        while end > pages[at].start + 1 and text[end - 1] in "\r\n":
            end -= 1
        first, last = bisect_right(starts, pages[at].start) - 1, bisect_right(starts, end - 1) - 1
    elif around is not None or line is not None:
        if around is not None and around >= len(text):
            raise UsageError(
                f"offset {around} is behind the end of {document.path}",
                hint=f"its text has {len(text)} characters",
            )
        middle = bisect_right(starts, around) - 1 if around is not None else (line or 1) - 1
        if middle > last:
            raise UsageError(
                f"line {line} is behind the end of {document.path}",
                hint=f"its text has {last + 1} lines",
            )
        first, last = max(0, middle - context), min(last, middle + context)
    end = starts[last + 1] if last + 1 < len(starts) else len(text)
    place = next((p for p in reversed(document.places) if p.start <= starts[first]), None)
    return Excerpt(document, starts[first], end, first + 1, last + 1, place)


def excerpt_text(excerpt: Excerpt) -> str:
    """Numbered lines, with a mark where a page, a slide or a section begins."""
    document = excerpt.document
    about = [document.path, document.title, document.author, document.date]
    lines = [" · ".join(printable(part) for part in about if part)]
    places = [p for p in document.places if excerpt.start <= p.start < excerpt.end]
    if excerpt.place is not None and excerpt.place not in places:
        places.insert(0, excerpt.place)
    width = len(str(excerpt.line_end))
    number, start = excerpt.line_start, excerpt.start
    for line in re.findall(r"[^\r\n]*(?:\r\n|\r|\n|\Z)", document.text[start : excerpt.end]):
        if not line:
            break
        while places and places[0].start < start + len(line):
            lines.append(f"{'':{width}} ── {printable(places.pop(0).label)}")
        lines.append(f"{number:{width}}  {printable(line.rstrip())}")
        number, start = number + 1, start + len(line)
    return "\n".join(lines)


def excerpt_json(excerpt: Excerpt) -> str:
    """Schema ``rag.show/1``; ``text`` is the stored text from ``start`` to ``end``."""
    document, place = excerpt.document, excerpt.place
    return json_text(
        {
            "schema": "rag.show/1",
            "document": document.path,
            "title": document.title,
            "date": document.date,
            "author": document.author,
            "language": document.language,
            "format": document.format,
            "encoding": document.encoding,
            "page": place.page if place else None,
            "place": place.label if place else "",
            "ocr": place.ocr if place else False,
            "start": excerpt.start,
            "end": excerpt.end,
            "line_start": excerpt.line_start,
            "line_end": excerpt.line_end,
            "text": document.text[excerpt.start : excerpt.end],
        }
    )
