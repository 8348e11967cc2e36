"""What a text says of itself: title, date, author, and the acronyms it defines."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import date

from rag.documents.front import stated
from rag.records import Acronym
from rag.words import MONTHS

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_DAY_MONTH = re.compile(
    rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})\.?,? (?P<year>\d{{4}})\b",
    re.I,
)
_MONTH_DAY = re.compile(
    rf"\b(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})\b", re.I
)
_ISO = re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)")
_NAME = re.compile(
    r"(?:by\s+)?(?P<name>(?:[A-ZÀ-Þ][\w'’.-]*)(?:\s+(?:de|van|von|der|den|la|le|al|bin|[A-ZÀ-Þ][\w'’.-]*)){1,3})",
)
_BYLINE = re.compile(r"(?i:(?:written )?by)\s+(?P<name>[A-ZÀ-Þ].{2,80}(?<![.!?]))")


@dataclass(frozen=True, slots=True)
class Description:
    """Title, ISO date, author and language; "" where the text does not show one."""

    title: str = ""
    date: str = ""
    author: str = ""
    language: str = ""


def find_date(text: str) -> str:
    """The first complete date in a text, as ISO, or ""."""
    found = [m for pattern in (_DAY_MONTH, _MONTH_DAY, _ISO) for m in pattern.finditer(text)]
    for match in sorted(found, key=lambda m: m.start()):
        month = MONTHS.get(match["month"].lower()) or match["month"]
        with contextlib.suppress(ValueError):  # the 99th month is a part number
            return date(int(match["year"]), int(month), int(match["day"])).isoformat()
    return ""


def describe(
    text: str, *, head: list[tuple[str, bool]], repeated: set[str], fields: bool = False
) -> Description:
    """Read title, date and author off the top of a document.

    Args:
        text: The whole stored text (for its front matter).
        head: The first blocks as a reader sees them, each with whether it is marked as a heading.
        repeated: Short lines that come again further down: page headers, mostly the title.
        fields: Whether it may begin with a field list of reStructuredText.
    """
    found = stated(text, fields=fields)
    lines = [line for line, _ in head]
    title_at = _title(head, repeated)
    title = lines[title_at] if title_at is not None else ""
    author = ""
    for line in lines[: (title_at or 0) + 4]:
        if match := _BYLINE.fullmatch(line):
            author = match["name"]
            break
    if not author and title_at is not None and title_at + 1 < len(lines):
        after = lines[title_at + 1]
        if (match := _NAME.fullmatch(after)) and not find_date(after):
            author = match["name"]
    day = next((find_date(line) for line in lines if len(line) < 60 and find_date(line)), "")
    if not day:
        day = next((found_ for line in lines[:3] if (found_ := find_date(line))), "")
    return Description(
        title=found["title"] or title.rstrip(".") or _opening(lines),
        date=find_date(found["date"]) or found["date"] or day,
        author=found["author"] or author,
        language=found["lang"],
    )


def _title(head: list[tuple[str, bool]], repeated: set[str]) -> int | None:
    """Where the title stands among the first blocks: marked heading, page header, headline."""
    best: tuple[int, int] | None = None
    for at, (line, heading) in enumerate(head[:8]):
        count = len(line.split())
        if count > 25 or find_date(line) == line:
            if count > 25 and not heading:
                break  # the text has begun
            continue
        rank = 3 if heading else 2 if line in repeated else 1
        if rank == 1 and (line.endswith((".", ":", ";", ",", "?")) or count > 20):
            continue
        worth = rank * 100 + min(count, 20)
        if best is None or worth > best[0]:
            best = (worth, at)
    return best[1] if best else None


def _opening(lines: list[str], length: int = 80) -> str:
    """The first words of a text that has no title."""
    first = lines[0] if lines else ""
    return first if len(first) <= length else first[:length].rsplit(" ", 1)[0] + " …"


_SHORT = re.compile(r"\(\s*([^\W\d_][\w&/-]{1,9})\s*\)")


def acronyms(text: str) -> list[Acronym]:
    """``Long Form (LF)`` pairs of a cleaned text.

    Schwartz and Hearst, "A simple algorithm for identifying abbreviation definitions in
    biomedical text", PSB 2003: the characters of the short form are matched from its end against
    at most ``min(len + 5, 2 * len)`` words before the bracket; the first must begin a word.
    """
    found: dict[str, Acronym] = {}
    for match in _SHORT.finditer(text):
        short = match.group(1)
        if sum(c.isupper() for c in short) < 2:
            continue
        before = text[max(0, match.start() - 200) : match.start()].split()
        window = " ".join(before[-min(len(short) + 5, len(short) * 2) :])
        long = _long_form(short, window)
        if long and len(long) > len(short) and short.lower() not in long.lower().split():
            found.setdefault(short, Acronym(short, long))
    return list(found.values())


def _long_form(short: str, window: str) -> str:
    at = len(window) - 1
    for index in range(len(short) - 1, -1, -1):
        wanted = short[index].lower()
        if not wanted.isalnum():
            continue
        while at >= 0 and (
            window[at].lower() != wanted or (index == 0 and at > 0 and window[at - 1].isalnum())
        ):
            at -= 1
        if at < 0:
            return ""
        at -= 1
    return window[window.rfind(" ", 0, at + 1) + 1 :].strip("\"'“”‘’(), ")
