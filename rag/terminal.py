"""Text that is safe on a terminal."""

from __future__ import annotations

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Co", "Cs"}


def printable(text: str) -> str:
    """Without control, bidirectional, zero-width and private characters; line ends to spaces."""
    return "".join(
        c if unicodedata.category(c) not in _INVISIBLE else (" " if c in "\t\n\r\f\v" else "")
        for c in text
    )
