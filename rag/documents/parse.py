"""Bytes of a document to text; runs in a process of its own (``child.py``)."""

from __future__ import annotations

import re
from collections.abc import Callable

from rag.documents.converted import Converted, Recognise, TextWriter, Unreadable
from rag.documents.mail import convert_mail
from rag.documents.markup import convert_epub, convert_html
from rag.documents.office import check_zip, convert_docx, convert_pptx, convert_sheet
from rag.documents.pdf import convert_pdf
from rag.documents.tables import convert_csv, convert_json, convert_jsonl

_PARSERS: dict[str, Callable[[bytes, TextWriter], None]] = {
    "docx": convert_docx,
    "pptx": convert_pptx,
    "sheet": convert_sheet,
    "epub": convert_epub,
    "html": convert_html,
    "mail": convert_mail,
    "csv": convert_csv,
}
_OBJECT = re.compile(r"file '<[^<>]{0,80} at 0x[0-9a-f]{1,16}>'")
_MAX_REASON = 160  # code points of what a library says
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def parse(
    data: bytes,
    *,
    format_: str,
    max_chars: int,
    max_expanded: int,
    json_field: str,
    recognise: Recognise | None = None,
) -> Converted:
    """Convert a file.

    Args:
        data: All of its bytes.
        format_: As ``formats.py`` names it.
        max_chars: A longer text is refused.
        max_expanded: Bytes to which a zip may expand.
        json_field: The field of JSON objects that holds their text.
        recognise: Reads pages that are pictures; None leaves them out.

    Raises:
        Unreadable: With the reason that the user is told.
        MemoryError: It needs more memory than this process may have.
    """
    writer = TextWriter(max_chars)
    try:
        if format_ in ("docx", "pptx", "epub") or (format_ == "sheet" and data[:4] == _ZIP):
            if data[:8] == _OLE:
                raise Unreadable("encrypted, or of an older program: it is no zip inside")
            check_zip(data, max_expanded=max_expanded)
        if format_ == "json":
            convert_json(data, writer, field=json_field)
        elif format_ == "jsonl":
            convert_jsonl(data, writer, field=json_field)
        elif format_ == "pdf":
            convert_pdf(data, writer, recognise)
        else:
            _PARSERS[format_](data, writer)
    except (Unreadable, MemoryError):
        raise
    except RecursionError as error:
        raise Unreadable("nested too deeply") from error
    except Exception as error:
        # What a library raises for a damaged file is anything at all.
        what = _OBJECT.sub("it", str(error)[:_MAX_REASON])
        raise Unreadable(f"damaged: {type(error).__name__}: {what}") from error
    converted = writer.done()
    if not converted.text.strip():
        raise Unreadable("empty: there is no text in it")
    return converted
