"""Text that is safe to show: on a terminal, and (escaped as well) in a page."""

from __future__ import annotations

import re
import unicodedata

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
