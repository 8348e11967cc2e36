"""PDF to text with pages (pdfium)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rag.documents.converted import Picture, Recognise, TextWriter, Unreadable, iso_date
from rag.records import READ_BY_OCR

if TYPE_CHECKING:
    import pypdfium2

# Titles that a program put there, not a person.
_JUNK_TITLE = re.compile(
    r"untitled.{0,20}|microsoft (?:word|powerpoint|excel) - .*"
    r"|.*\.(?:docx?|tex|dvi|indd|pptx?|qxd|ps)",
    re.I,
)
# pdfium's marks for a hyphen that only broke a word at the end of a line.
_SOFT_BREAK = re.compile("[\ufffe\x02\xad](?:\r\n|\r|\n)?")
_MAX_PAGES = 20_000
_MAX_RECOGNISED = 2_000  # pages of one file
_DPI = 300  # what Tesseract was trained for
_MAX_PIXELS = 16_000_000  # A3 at nearly that; keeps the memory of a page below 500 MB


def convert_pdf(data: bytes, writer: TextWriter, recognise: Recognise | None = None) -> None:
    """Write the text of every page.

    Args:
        data: The file.
        writer: Where the text goes.
        recognise: Reads the pages that hold no text of their own; None leaves them out.

    Raises:
        Unreadable: Encrypted, damaged, or without any text.
    """
    import pypdfium2
    from pypdfium2 import raw

    try:
        pdf = pypdfium2.PdfDocument(data)
        count = len(pdf)
    except pypdfium2.PdfiumError as error:
        if raw.FPDF_GetLastError() == raw.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise Unreadable("encrypted: it opens with a password only") from error
        raise Unreadable("damaged, or no PDF") from error
    if count > _MAX_PAGES:
        raise Unreadable(f"{count:,} pages, over the limit of {_MAX_PAGES:,}")
    blank, broken, tried = 0, 0, 0
    slow = ""
    for at in range(count):
        picture = None
        try:
            page = pdf[at]
            shown = page.get_textpage()
            text = _SOFT_BREAK.sub("", shown.get_text_range())
            shown.close()
            if recognise and not text.strip() and tried < _MAX_RECOGNISED:
                picture = _picture(page)
            page.close()
        except pypdfium2.PdfiumError:
            broken += 1
            continue
        label = f"p. {at + 1}"
        if recognise and picture:
            tried += 1
            label += READ_BY_OCR
            try:
                text = recognise(picture, at + 1, count)
            except Unreadable as error:
                slow = f"page {at + 1} {error}"
        if text.strip():
            writer.page(at + 1, label)
            writer.paragraph(text)
        else:
            blank += 1
    looked = "no text, also by OCR" if recognise else "no text (scanned or empty; --ocr reads it)"
    if blank + broken == count:
        if broken:
            raise Unreadable(f"damaged: none of its {count} pages can be read")
        if recognise:
            raise Unreadable(
                f"scanned: OCR finds no text on its {count} pages{slow and '; '}{slow}"
            )
        raise Unreadable(f"scanned: none of its {count} pages holds text; recognise it: --ocr")
    if blank or broken:
        why = slow or looked if blank else "cannot be read"
        writer.about.warning = f"{blank + broken} of {count} pages: {why}"
    facts = pdf.get_metadata_dict()
    title = " ".join(str(facts.get("Title") or "").split())
    writer.about.title = "" if _JUNK_TITLE.fullmatch(title) else title
    writer.about.author = " ".join(str(facts.get("Author") or "").split())
    writer.about.date = iso_date(str(facts.get("CreationDate") or ""))


def _picture(page: pypdfium2.PdfPage) -> Picture | None:
    """A page as Tesseract reads it best; None where nothing is on it."""
    from pypdfium2 import raw

    if raw.FPDFPage_CountObjects(page) == 0:
        return None
    width, height = page.get_size()
    dpi = min(_DPI, math.sqrt(_MAX_PIXELS / max(width * height / 72**2, 1e-6)))
    shown = page.render(scale=dpi / 72, grayscale=True)
    rows = memoryview(shown.buffer).cast("B")
    pixels = b"".join(
        rows[row * shown.stride : row * shown.stride + shown.width] for row in range(shown.height)
    )
    picture = Picture(pixels, shown.width, shown.height, max(round(dpi), 70))
    shown.close()
    return picture
