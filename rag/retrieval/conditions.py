"""Conditions on what is known of a document: ``date>=2024``, ``author~Smith``, ``language=en``.

A document of which the index does not know the field meets no condition on it but ``!=``, which
leaves out what equals, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from rag.documents.formats import format_of
from rag.errors import UsageError
from rag.records import DocumentInfo
from rag.terminal import printable

FIELDS = ("title", "author", "date", "language", "format", "path")
_CONDITION = re.compile(r"\s*([^\W\d]\w{0,30})\s{0,9}(>=|<=|!=|==|=|>|<|~)(.*)", re.DOTALL)
_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?(?![0-9])")
_SHOWN = 5  # values that a hint names
_EXAMPLES = "conditions look like 'date>=2024-06', 'author~Smith' or 'language=en'"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; ``str`` of it is the way to write it that all others come down to."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{self.value}"

    def met_by(self, document: DocumentInfo) -> bool:
        """Whether a document meets it; under one of its paths is enough."""
        if self.operator == "!=":
            return not Condition(self.field, "=", self.value).met_by(document)
        return any(self._holds(value) for value in known(document, self.field))

    def _holds(self, value: str) -> bool:
        if self.field == "date":
            return _compares(value, self.operator, self.value)
        have, wanted = _folded(value), _folded(self.value)
        if self.operator == "~":
            return wanted in have
        if self.field == "language":  # "en" is "en-GB" too
            have, wanted = have.replace("_", "-"), wanted.replace("_", "-")
            return f"{have}-".startswith(f"{wanted}-")
        return have == wanted


def condition_of(text: str) -> Condition:
    """Read a condition.

    Raises:
        UsageError: It is none; the hint names the fields.
    """
    match = _CONDITION.fullmatch(text)
    fields = f"the fields are {', '.join(FIELDS)}"
    if match is None or not match[3].strip():
        raise UsageError(
            f"{printable(text)!r} is no condition on documents", hint=f"{_EXAMPLES}; {fields}"
        )
    field, operator, value = match[1].lower(), match[2].replace("==", "="), match[3].strip()
    if field not in FIELDS:
        raise UsageError(f"documents have no field {printable(field)!r}", hint=fields)
    if field == "date" and operator == "~":
        raise UsageError(
            f"{printable(text)!r}: ~ looks for a part of a text, and a date is none",
            hint="'date=2024' is any day of 2024; compare with = != < <= > >=",
        )
    if field == "date" and not _is_date(value):
        raise UsageError(
            f"{printable(text)!r} compares with no date",
            hint="dates look like 2024, 2024-06 or 2024-06-30; compare with = != < <= > >=",
        )
    if field != "date" and operator[0] in "<>":
        raise UsageError(
            f"{printable(text)!r}: only dates come before and after each other",
            hint=f"compare a {field} with = or !=, or ~ for a part of it; {fields}",
        )
    if field == "format" and operator != "~":  # as files are called: md is markdown
        value = format_of(f"_.{value}") or value
    return Condition(field, operator, value)


def is_condition(text: str) -> bool:
    """Whether a text begins as a condition does: with a field and what compares it."""
    match = _CONDITION.fullmatch(text)
    return match is not None and match[1].lower() in FIELDS


def known(document: DocumentInfo, field: str) -> list[str]:
    """The values that a document has of a field; of dates those alone that can be compared."""
    if field == "path":
        return list(document.paths)
    value = str(getattr(document, field))
    if field == "date":
        begins = _DATE.match(value)
        return [begins.group()] if begins else []
    return [value] if value else []


def there_is(field: str, documents: Sequence[DocumentInfo]) -> str:
    """What the documents have of a field, for who asked for what none of them has."""
    values = sorted({value for document in documents for value in known(document, field)})
    if not values:
        return f"the index knows the {field} of none of its documents"
    if field == "date":
        return f"the dates of the documents go from {values[0]} to {values[-1]}"
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    named = ", ".join(printable(value) for value in values[:_SHOWN])
    return f"the {field}s that there are: {named}{more}"


def _compares(have: str, operator: str, wanted: str) -> bool:
    """Compare two dates as far as the wanted one goes: any day of 2024 is 2024.

    A date that is known less exactly ("2024" beside "2024-06") is before or after where its year
    says so; within that nothing is known of it.
    """
    shared = min(len(have), len(wanted))
    one, other = have[:shared], wanted[:shared]
    if one == other:
        return len(have) >= len(wanted) and "=" in operator
    return one < other if "<" in operator else ">" in operator and one > other


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(f"{text}-01-01"[:10] if len(text) < 10 else text)
    except ValueError:
        return False
    return True


def _folded(text: str) -> str:
    """A text for comparison: case, widths and white space do not matter."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
