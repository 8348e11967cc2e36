"""Checksums of what the index stores: a flipped bit is noticed before it is quoted.

SQLite checks its own structure, not the bytes of a row. So each text has its SHA-256, and each
row that is shown, searched or cited a CRC-32, which finds every single flipped bit.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

from rag.records import Document


def text_sum(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_sum(document: Document) -> str:
    """What tells whether two documents are the same: the sum of the text.

    Of a document that has places, such as pages, the sum of these and of what its format states
    follows: on other pages the same words are cited otherwise.
    """
    text = text_sum(document.text)
    if not document.places:
        return text
    stated = (document.title, document.date, document.author, document.language)
    places = [(place.start, place.label, place.page) for place in document.places]
    return f"{text}-{text_sum(repr((stated, places)))}"


def is_text_of(text: str, content: str) -> bool:
    """Whether a text is the one of the document that has this ``content_sum``."""
    return text_sum(text) == content.partition("-")[0]


def row_sum(*values: object) -> int:
    """CRC-32 over the values of a row, in order; text and numbers only."""
    return zlib.crc32("\x1f".join(map(str, values)).encode("utf-8", "surrogatepass"))


def bytes_sum(data: object) -> int:
    """CRC-32 of bytes; -1, which no row has, of what a damaged page holds in their place."""
    return zlib.crc32(data) if isinstance(data, bytes) else -1


def passage_sum(passage_id: int, row: Iterable[object], sentences: Iterable[Any]) -> int:
    """Checksum of a passage's row (``document_id`` to ``heading``) and of its sentences' rows."""
    return row_sum(passage_id, *row, *(value for sentence in sentences for value in sentence))


def place_sum(document_id: int, row: Iterable[object]) -> int:
    """Checksum of a place's row (``start`` to ``page``)."""
    return row_sum(document_id, *row)
