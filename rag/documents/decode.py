"""Bytes to text: byte order mark, strict UTF-8, then a detector."""

from __future__ import annotations

import re
import unicodedata

MARKS = (  # byte order marks, the longer first
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def decode(data: bytes, *, declared: str = "") -> tuple[str, str] | str:
    """Bytes to (text, encoding), or the reason why they are no text.

    Byte order mark first, then strict UTF-8, then a detector: detectors misread short UTF-8. A
    UTF-8 mark stays in the text so that offsets are those of the file decoded as UTF-8.

    Args:
        data: A whole file.
        declared: The encoding that the file itself names; believed where it is not UTF-8.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                return f"begins as {encoding} but is not"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _declared(data, declared) or _detect(data)
    return _unless_binary(text, "utf-8")


def _declared(data: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        text = data.decode(encoding) if encoding else ""
    except (LookupError, ValueError):
        return None
    return (text, encoding.lower()) if text and not _binary(text) else None


def _detect(data: bytes) -> tuple[str, str] | str:
    if b"\x00" in data[:8192]:
        return "binary, not text"
    western = _western(data)
    if western is not None:
        return _unless_binary(western, "cp1252")
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000], threshold=0.2).best()
    if best is None:
        return "neither UTF-8 nor any encoding that could be recognised"
    try:
        text = data.decode(best.encoding)
    except (UnicodeDecodeError, LookupError):
        return f"looked like {best.encoding} but is not"
    return _unless_binary(text, best.encoding)


_FEW = 0.05  # of the bytes; more are another alphabet, or a language that a detector knows
_ASCII = bytes(range(0x80))
_SIGNS = r"€£§©®™°±·•…–—‘’“”„‚«»\xa0¿¡"
_LETTERS = r"À-ÖØ-ïñ-öø-üÿŒœŠšŽžŸ"  # not ð ý þ: more often Turkish g, i, s
_UNLIKELY = re.compile(
    rf"[^\x00-\x7f{_SIGNS}{_LETTERS}]"
    r"|(?<=[^\W\d_])[¿¡]"
    r"|[a-zß-ÿ][À-ÖØ-ÞŒŠŽŸ]"  # "mayorÕs": no capital stands there
)


def _western(data: bytes) -> str | None:
    """The text where it is plain Latin letters with a few Windows quotes, signs and accents.

    A detector reads those few bytes as any code page that has letters there: "£5" as "Ż5".
    """
    if len(data.translate(None, _ASCII)) > _FEW * len(data):
        return None
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if _UNLIKELY.search(text) else text


def _unless_binary(text: str, encoding: str) -> tuple[str, str] | str:
    return "binary, not text" if _binary(text) else (text, encoding)


def _binary(text: str) -> bool:
    """More than one control character in a hundred, or any NUL, in the first part of it."""
    head = text[:8192]
    controls = sum(1 for c in head if unicodedata.category(c) == "Cc" and c not in "\t\n\r\f\v")
    return "\x00" in head or controls * 100 > len(head)
