"""Word, PowerPoint and spreadsheets to text, and the check of every format that is a zip."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from rag.documents.converted import TextWriter, Unreadable, flat

_MAX_MEMBERS = 20_000
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def check_zip(data: bytes, *, max_expanded: int) -> list[str]:
    """Refuse a zip that would expand beyond a size, by what it says and by what comes out.

    Returns:
        The names of its members.

    Raises:
        Unreadable: It is no zip, encrypted, too large, or not what it says of itself.
    """
    limit = f"{max_expanded / 1e6:g} MB (max_expanded_mb)"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MAX_MEMBERS:
                raise Unreadable(f"{len(members):,} members, over the limit of {_MAX_MEMBERS:,}")
            if any(member.flag_bits & 1 for member in members):
                raise Unreadable("encrypted: it opens with a password only")
            if sum(member.file_size for member in members) > max_expanded:
                raise Unreadable(f"expands to more than {limit}")
            expanded = 0
            for member in members:  # what a header says is not what a stream holds
                with archive.open(member) as stream:
                    while part := stream.read(1 << 20):
                        expanded += len(part)
                        if expanded > max_expanded:
                            raise Unreadable(f"expands to more than {limit}")
            return archive.namelist()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise Unreadable(f"damaged: {error}") from error


# -- Word ---------------------------------------------------------------------------------------


def convert_docx(data: bytes, writer: TextWriter) -> None:
    """Write headings, paragraphs, lists and tables in the order of the document."""
    import docx
    from docx.table import Table

    document = docx.Document(io.BytesIO(data))
    _core(document.core_properties, writer)
    styles = {style.style_id: str(style.name) for style in document.styles}
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            _docx_table(block._tbl, writer)
            continue
        text = _docx_text(block._p)
        facts = block._p.pPr
        style = styles.get(str(facts.style), "") if facts is not None and facts.style else ""
        name, _, number = style.lower().rpartition(" ")
        if name == "heading" and number.isdecimal():
            writer.heading(text, int(number))
        elif style.lower() == "title":
            writer.heading(text, 1)
        elif "list" in style.lower() or (facts is not None and facts.numPr is not None):
            writer.item(text)
        else:
            writer.paragraph(text)


def _docx_text(element: Any) -> str:
    """The text of a paragraph, inserted text included and deleted text not."""
    parts: list[str] = []
    pending = list(reversed(element))
    while pending:
        node = pending.pop()
        if node.tag == f"{_W}t":
            parts.append(node.text or "")
        elif node.tag == f"{_W}tab":
            parts.append("\t")
        elif node.tag in (f"{_W}br", f"{_W}cr", f"{_W}p"):  # a paragraph inside: a text box
            parts.append("\n")
        if node.tag not in (_FALLBACK, f"{_W}del", f"{_W}pPr", f"{_W}rPr"):
            pending += reversed(node)
    return "".join(parts)


def _docx_table(table: Any, writer: TextWriter) -> None:
    rows = [
        [_docx_text(cell) for cell in row.iter(f"{_W}tc")] for row in table.iterchildren(f"{_W}tr")
    ]
    writer.table(rows)


def _core(facts: Any, writer: TextWriter) -> None:
    about = writer.about
    about.title, about.author = str(facts.title or "").strip(), str(facts.author or "").strip()
    about.language = str(facts.language or "").strip()
    made = facts.created or facts.modified
    about.date = made.date().isoformat() if isinstance(made, datetime) else ""
    if about.author in ("python-docx", "Steve Canny"):  # of the library's own templates
        about.author = ""
    if about.title in ("PowerPoint Presentation", "Word Document"):
        about.title = ""


# -- PowerPoint ---------------------------------------------------------------------------------


def convert_pptx(data: bytes, writer: TextWriter) -> None:
    """Write each slide: its title, texts and tables from top to bottom, and its notes."""
    import pptx

    deck = pptx.Presentation(io.BytesIO(data))
    _core(deck.core_properties, writer)
    for number, slide in enumerate(deck.slides, 1):
        writer.page(number, f"slide {number}")
        title = slide.shapes.title
        if title is not None:
            writer.heading(title.text_frame.text, 2)
        for shape in _shapes(slide.shapes):
            if title is not None and shape.shape_id == title.shape_id:
                continue
            if shape.has_text_frame:
                for paragraph in shape.text_frame.paragraphs:
                    writer.item(paragraph.text) if paragraph.level else writer.paragraph(
                        paragraph.text
                    )
            elif getattr(shape, "has_table", False):
                writer.table([[c.text for c in row.cells] for row in shape.table.rows])
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
            writer.paragraph(notes.text)


def _shapes(shapes: Any) -> Iterator[Any]:
    """All shapes, those of groups too, in reading order of the outermost."""
    pending = sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0), reverse=True)
    while pending:
        shape = pending.pop()
        if hasattr(shape, "shapes"):
            pending += reversed(list(shape.shapes))
        else:
            yield shape


# -- spreadsheets -------------------------------------------------------------------------------


def convert_sheet(data: bytes, writer: TextWriter) -> None:
    """Write each visible sheet, one line a row."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = [s for s in book.sheets_metadata if s.visible == SheetVisibleEnum.Visible]
        for sheet in sheets:
            rows = [
                [_cell(value) for value in row]
                for row in book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
            ]
            writer.heading(sheet.name, 1)
            writer.table(rows, places=f"{flat(sheet.name)} ")
    except CalamineError as error:
        reason = "encrypted: it opens with a password only" if "assword" in str(error) else (
            "damaged, or no spreadsheet")  # fmt: skip
        raise Unreadable(reason) from error


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and (value.hour, value.minute, value.second) == (0, 0, 0):
        return value.date().isoformat()
    if isinstance(value, datetime | date):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return "" if value is None else str(value)
