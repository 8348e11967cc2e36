"""Checksums of what the index stores: a flipped bit is noticed before it is quoted.

SQLite checks its own structure, not the bytes of a row. So each text has its SHA-256, and each
row that is shown, searched or cited a CRC-32, which finds every single flipped bit.
"""

from __future__ import annotations

import hashlib
import zlib


def text_sum(text: str) -> str:
    """SHA-256 of a text, hexadecimal; also what tells whether two documents are the same."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_sum(*values: object) -> int:
    """CRC-32 over the values of a row, in order; text and numbers only."""
    return zlib.crc32("\x1f".join(map(str, values)).encode("utf-8", "surrogatepass"))


def bytes_sum(data: object) -> int:
    """CRC-32 of bytes; -1, which no row has, of what a damaged page holds in their place."""
    return zlib.crc32(data) if isinstance(data, bytes) else -1
