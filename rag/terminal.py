"""Text that is safe to show: on a terminal, as JSON too, and (escaped as well) in a page."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_LINE_ENDS = "\t\n\r\f\v\x85\u2028\u2029"
_LINE_END = re.compile("\r\n|[\n\r\f\v\x85\u2028\u2029]")


def printable(text: str) -> str:
    """Without control, bidirectional, zero-width and private characters; line ends to spaces."""
    if text.isprintable():  # none of those: the common case, and hundreds of times faster
        return text
    return "".join(
        c if unicodedata.category(c) not in _INVISIBLE else (" " if c in _LINE_ENDS else "")
        for c in text
    )


def printable_lines(text: str) -> str:
    """The same for a text of several lines: every kind of line end becomes a line feed."""
    return "\n".join(printable(line) for line in _LINE_END.split(text))


def json_text(value: Any) -> str:
    """JSON in one line, in which characters that ``printable`` takes away are escaped.

    It may go to a terminal too; who parses it gets the value as it is.
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    # Not surrogates: escaped, a lone one would reach readers that know none.
    hidden = {c for c in set(text) if unicodedata.category(c) in _INVISIBLE - {"Cs"}}
    return text.translate({ord(c): json.dumps(c)[1:-1] for c in hidden})
