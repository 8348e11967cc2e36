"""Which documents a question is asked of: globs over their paths, resolved to their ids.

The patterns are those of ``.ragignore``: ``*.md`` in any folder, ``reports/`` and all below it,
``reports/*.txt`` in that folder alone. A path itself is a pattern too, whatever signs stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import UsageError
from rag.records import DocumentInfo
from rag.terminal import printable

_NAMED = 3  # documents that an error names


@dataclass(frozen=True, slots=True)
class Scope:
    """Some of the documents.

    Attributes:
        globs: As they were given, each once, sorted.
        documents: Ids of what they match; None means all that there are.
    """

    globs: tuple[str, ...] = ()
    documents: frozenset[int] | None = None


EVERYTHING = Scope()


def scope_of(globs: Sequence[str], documents: Sequence[DocumentInfo]) -> Scope:
    """The documents that any of the patterns matches; without patterns, all.

    Raises:
        UsageError: A pattern matches no document; names it.
    """
    if not globs:
        return EVERYTHING
    import pathspec

    found: set[int] = set()
    for glob in globs:
        try:
            spec = pathspec.GitIgnoreSpec.from_lines([glob])
        except ValueError:
            spec = pathspec.GitIgnoreSpec([])
        matched = {
            document.id
            for document in documents
            for path in (document.path, *document.also_in)
            if path == glob or spec.match_file(path)
        }
        if not matched:
            some = ", ".join(printable(document.path) for document in documents[:_NAMED])
            more = ", …" if len(documents) > _NAMED else ""
            raise UsageError(
                f"no document matches {printable(glob)!r}",
                hint=f"the documents are {some}{more}; a pattern looks like '*.txt' or 'reports/'",
            )
        found |= matched
    return Scope(tuple(sorted(set(globs))), frozenset(found))
