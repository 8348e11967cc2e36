"""Texts that can be cited, and which of them stand next to each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rag.records import NEXT, DocumentInfo, Evidence
from rag.words import months


@dataclass(frozen=True, slots=True)
class Span:
    """A text that can be cited.

    Attributes:
        document: Where it comes from.
        start: Offset of its first code point.
        end: Offset behind its last.
        clean: The text as a reader sees it.
        context: What stands around it.
        section: Its author, title and headings, where they were shown with it.
        throughout: Stems of the names that its document keeps coming back to.
    """

    document: DocumentInfo
    start: int
    end: int
    clean: str
    context: str = ""
    section: str = ""
    throughout: frozenset[str] = frozenset()

    @property
    def whole(self) -> str:
        """The text with all that stands around and over it."""
        return f"{self.clean} {self.context} {self.section}"

    @property
    def dated(self) -> str:
        """What tells of what and when its document is: "Minutes of May 2019", "x-2019-05-02.md"."""
        over = f"{self.document.title} {self.document.path} {self.document.date} {self.section}"
        return " ".join((over, *months(over)))


def spans_of(evidence: tuple[Evidence, ...]) -> list[Span]:
    """Every text the model was shown, each once, in order of selection."""
    found: dict[tuple[int, int], Span] = {}
    for item in evidence:
        found.setdefault(
            (item.document.id, item.start),
            Span(item.document, item.start, item.end, item.clean, item.context, item.section),
        )
    for item in evidence:
        if item.lead:
            lead = item.lead
            found.setdefault(
                (item.document.id, lead.start),
                Span(item.document, lead.start, lead.end, lead.clean, item.context, item.section),
            )
    return list(found.values())


def adjoin(one: Span, other: Span) -> bool:
    """Whether two texts are the same or stand one after the other."""
    apart = max(one.start, other.start) - min(one.end, other.end)
    return one.document.id == other.document.id and apart <= NEXT


def around(span: Span, cited: list[Span]) -> str:
    """A cited text, with those of the others that stand next to it."""
    return " ".join(other.clean for other in cited if adjoin(other, span))


def in_runs(spans: Iterable[Span]) -> list[str]:
    """Texts that stand one after the other joined, in the order of their documents."""
    runs: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.document.id, span.start)):
        if runs and adjoin(runs[-1][-1], span):
            runs[-1].append(span)
        else:
            runs.append([span])
    return [" ".join(span.clean for span in run) for run in runs]
