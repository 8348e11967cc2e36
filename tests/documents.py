"""Small documents of every format, made here: no binary file lies in the repository."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<metadata><dc:title>The Book</dc:title><dc:creator>Ann Author</dc:creator>"
    "<dc:date>2021-05-06</dc:date><dc:language>en</dc:language></metadata>"
    '<manifest><item id="a" href="one.xhtml"/><item id="b" href="two%20x.xhtml"/></manifest>'
    '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>'
)


def zipped(members: Mapping[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def pdf(*pages: str, password: str = "", **facts: str) -> bytes:
    """A PDF of such pages; an empty one holds a picture of nothing, as a scan does."""
    from fpdf import FPDF
    from fpdf.enums import EncryptionMethod

    made = FPDF()
    made.set_creator("")
    for name, value in facts.items():
        getattr(made, f"set_{name}")(value)
    for text in pages:
        made.add_page()
        made.set_font("Helvetica", size=12)
        if text:
            made.multi_cell(0, 8, text)
        else:
            made.rect(10, 10, 50, 50)
    if password:
        made.set_encryption(
            owner_password=f"{password}!", user_password=password,
            encryption_method=EncryptionMethod.RC4,
        )  # fmt: skip
    return bytes(made.output())


def scan(
    *pages: str, pictures: list[str], turn: int = 0, size: tuple[int, int] = (360, 120)
) -> bytes:
    """A PDF of such pages and then of pictures of text, ``size`` in points; turned by degrees."""
    from fpdf import FPDF
    from PIL import Image, ImageDraw, ImageFont

    made = FPDF(unit="pt", format=size)
    made.set_auto_page_break(False)
    for text in pages:
        made.add_page()
        made.set_font("Helvetica", size=12)
        made.multi_cell(0, 14, text)
    font = ImageFont.load_default(36)
    for text in pictures:
        picture = Image.new("L", (1080, 360), 245)
        ImageDraw.Draw(picture).multiline_text((90, 90), text, font=font, fill=20, spacing=16)
        made.add_page()
        made.image(picture.rotate(turn, fillcolor=245), 0, 0, *size)
    return bytes(made.output())


def docx() -> bytes:
    """Title, headings, a list, a table, a line break."""
    import docx as library

    made = library.Document()
    made.core_properties.title, made.core_properties.author = "Audit report", "Ann Author"
    made.core_properties.language = "en-GB"
    made.add_paragraph("Audit of the harbour", style="Title")
    made.add_heading("Findings", 1)
    made.add_paragraph("The crane was inspected in May.")
    made.add_heading("Costs", 2)
    made.add_paragraph("Repairs come first.", style="List Bullet")
    table = made.add_table(rows=3, cols=2)
    for row, cells in zip(
        table.rows, (("Item", "Price"), ("Rope", "12 euros"), ("Hook", "7 euros")), strict=True
    ):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    made.add_paragraph("# not a heading")
    return _saved(made)


def pptx() -> bytes:
    """Two slides, one with notes and one with a table."""
    import pptx as library
    from pptx.util import Inches

    made = library.Presentation()
    made.core_properties.title = "Harbour plans"
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text = "Why a new crane"
    first.placeholders[1].text = "The old crane lifts nine tons."
    first.notes_slide.notes_text_frame.text = "Mention the storm of 2019."
    second = made.slides.add_slide(made.slide_layouts[5])
    second.shapes.title.text = "Costs"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(5), Inches(1)).table
    for at, text in enumerate(("Part", "Price", "Motor", "900 euros")):
        table.cell(at // 2, at % 2).text = text
    return _saved(made)


def xlsx(*rows: tuple[Any, ...], sheet: str = "Ships") -> bytes:
    """One visible sheet and one hidden one."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    hidden = book.create_sheet("Hidden")
    hidden.append(("nobody", "sees this"))
    hidden.sheet_state = "hidden"
    return _saved(book)


def epub(**chapters: str) -> bytes:
    """Two chapters, of which the second file comes first."""
    page = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head>"
    texts = {"OPS/one.xhtml": "<h1>Later</h1><p>The end of the story.</p>",
             "OPS/two x.xhtml": "<h1>Sooner</h1><p>It begins&nbsp;at sea.</p>"}  # fmt: skip
    texts.update(chapters)
    return zipped(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER,
         "OPS/book.opf": PACKAGE,
         **{name: f"{page}<body>{body}</body></html>" for name, body in texts.items()}}
    )  # fmt: skip


def _saved(made: Any) -> bytes:
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()
