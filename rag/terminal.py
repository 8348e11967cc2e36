"""Text that is safe on a terminal."""

from __future__ import annotations

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_LINE_ENDS = "\t\n\r\f\v\x85\u2028\u2029"


def printable(text: str) -> str:
    """Without control, bidirectional, zero-width and private characters; line ends to spaces."""
    return "".join(
        c if unicodedata.category(c) not in _INVISIBLE else (" " if c in _LINE_ENDS else "")
        for c in text
    )
