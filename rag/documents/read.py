"""A file to a Document: its bytes are taken first, and made text only where they are new.

Nothing here knows of passages or of the index. The text of a text file is kept exactly as it is,
line ends included; every other format is parsed in a process of its own (``sandbox.py``).
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from rag.documents.decode import decode
from rag.documents.find import Source
from rag.documents.formats import TEXT_FORMATS, format_of
from rag.documents.headings import heading_places
from rag.documents.sandbox import Sandbox
from rag.records import Document, Skipped

# Stored with the index: another version of the parsers means other texts.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of a file; ``sha256`` of them is hexadecimal."""

    path: str
    format: str
    data: bytes
    sha256: str


def load(source: Source, *, max_bytes: int) -> Raw | Skipped:
    """Take the bytes of one file; whatever is wrong with it becomes a reason, never an exception.

    A pipe or a device that has taken the file's place since it was found is not waited for.
    """
    try:
        handle = os.open(source.file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                return Skipped(source.path, "not a regular file")
            if facts.st_size > max_bytes:
                return Skipped(
                    source.path,
                    f"{facts.st_size / 1e6:.1f} MB, over the limit of {max_bytes / 1e6:g} MB"
                    " (max_file_mb)",
                )
            data = stream.read(max_bytes + 1)
    except OSError as error:
        return Skipped(source.path, f"cannot be read: {error.strerror}")
    if len(data) > max_bytes:
        return Skipped(source.path, "grew beyond the size limit while it was read")
    return Raw(
        path=source.path,
        format=format_of(source.file.name),
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def convert(raw: Raw, sandbox: Sandbox) -> Document | Skipped:
    """Make text of a file; what cannot be read becomes a reason."""
    if not raw.data.strip(b"\xef\xbb\xbf \t\r\n\f\v"):
        return Skipped(raw.path, "empty")
    if raw.format not in TEXT_FORMATS:
        converted = sandbox.parse(raw.data, raw.format)
        if isinstance(converted, str):
            return Skipped(raw.path, converted)
        about = converted.about
        return Document(
            path=raw.path,
            text=converted.text,
            sha256=raw.sha256,
            encoding=about.encoding,
            format=raw.format,
            title=about.title,
            date=about.date,
            author=about.author,
            language=about.language,
            places=converted.places,
            warning=about.warning,
        )
    decoded = decode(raw.data)
    if isinstance(decoded, str):
        return Skipped(raw.path, decoded)
    text, encoding = decoded
    if not text.strip("\ufeff \t\r\n\f\v"):
        return Skipped(raw.path, "empty")
    return Document(
        path=raw.path,
        text=text,
        sha256=raw.sha256,
        encoding=encoding,
        format=raw.format,
        places=heading_places(text, raw.format),
    )
