"""PDF to text with pages (pdfium)."""

from __future__ import annotations

import re

from rag.converted import Unreadable, Writer, iso_date

# Titles that a program put there, not a person.
_JUNK_TITLE = re.compile(
    r"untitled.{0,20}|microsoft (?:word|powerpoint|excel) - .*"
    r"|.*\.(?:docx?|tex|dvi|indd|pptx?|qxd|ps)",
    re.I,
)
# pdfium's marks for a hyphen that only broke a word at the end of a line.
_SOFT_BREAK = re.compile("[\ufffe\x02\xad](?:\r\n|\r|\n)?")
_MAX_PAGES = 20_000


def convert_pdf(data: bytes, writer: Writer) -> None:
    """Write the text of every page.

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
    blank, broken = 0, 0
    for at in range(count):
        try:
            page = pdf[at]
            shown = page.get_textpage()
            text = shown.get_text_range()
            shown.close()
            page.close()
        except pypdfium2.PdfiumError:
            broken += 1
            continue
        text = _SOFT_BREAK.sub("", text)
        if text.strip():
            writer.page(at + 1, f"p. {at + 1}")
            writer.paragraph(text)
        else:
            blank += 1
    if blank + broken == count:
        raise Unreadable(
            f"damaged: none of its {count} pages can be read"
            if broken
            else f"scanned: none of its {count} pages holds text; recognise it first (ocrmypdf)"
        )
    if blank or broken:
        why = "no text (scanned or empty)" if blank else "cannot be read"
        writer.about.warning = f"{blank + broken} of {count} pages: {why}"
    facts = pdf.get_metadata_dict()
    title = " ".join(str(facts.get("Title") or "").split())
    writer.about.title = "" if _JUNK_TITLE.fullmatch(title) else title
    writer.about.author = " ".join(str(facts.get("Author") or "").split())
    writer.about.date = iso_date(str(facts.get("CreationDate") or ""))
