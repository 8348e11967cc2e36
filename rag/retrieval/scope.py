"""Which documents a question is asked of: globs over their paths, and conditions on the rest.

The patterns are those of ``.ragignore``: ``*.md`` in any folder, ``reports/`` and all below it,
``reports/*.txt`` in that folder alone. A path itself is a pattern too, whatever signs stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.errors import UsageError
from rag.records import DocumentInfo
from rag.retrieval.conditions import Condition, condition_of, there_is
from rag.terminal import printable

_NAMED = 3  # documents that an error names


@dataclass(frozen=True, slots=True)
class Scope:
    """Some of the documents.

    Attributes:
        globs: As they were given, each once, sorted.
        where: The conditions, each once, sorted.
        documents: Ids of what any glob matches and meets all conditions; None means all that
            there are.
    """

    globs: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    documents: frozenset[int] | None = None


EVERYTHING = Scope()


def scope_of(
    globs: Sequence[str], documents: Sequence[DocumentInfo], *, where: Sequence[str] = ()
) -> Scope:
    """The documents that any of the patterns matches and that meet every condition.

    Args:
        globs: Patterns; none means all documents.
        documents: All that there are.
        where: Conditions, as ``conditions.py`` reads them.

    Raises:
        UsageError: A pattern matches no document, a condition is none or is met by no document,
            or no document is left by all of them together; names it.
    """
    conditions = sorted({condition_of(text) for text in where}, key=str)
    if not globs and not conditions:
        return EVERYTHING
    found = _matched(globs, documents) if globs else {document.id for document in documents}
    for condition in conditions:
        found &= _meeting(condition, documents)
    if not found:
        given = " and ".join(printable(one) for one in (*globs, *map(str, conditions)))
        raise UsageError(
            f"no document is left by {given}",
            hint="each of them leaves some, all together none: take one away",
        )
    return Scope(tuple(sorted(set(globs))), tuple(map(str, conditions)), frozenset(found))


def _meeting(condition: Condition, documents: Sequence[DocumentInfo]) -> set[int]:
    met = {document.id for document in documents if condition.met_by(document)}
    if not met:
        hint = there_is(condition.field, documents)
        part = replace(condition, operator="~")
        if condition.operator == "=" and any(map(part.met_by, documents)):
            hint = f"= is all of it, ~ a part: {printable(str(part))!r}; {hint}"
        raise UsageError(f"no document meets {printable(str(condition))!r}", hint=hint)
    return met


def _matched(globs: Sequence[str], documents: Sequence[DocumentInfo]) -> set[int]:
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
            for path in document.paths
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
    return found
