"""HTML and EPUB to text (lxml); what is no content of a page is left out."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from rag.documents.converted import TextWriter, Unreadable, flat, iso_date
from rag.documents.decode import decode

_OUT = frozenset(
    "script style noscript template nav footer button select iframe object embed svg math"
    " canvas audio video head title dialog".split()
)
_ROLES = frozenset("navigation banner contentinfo search menu menubar dialog alert".split())
_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details div dl dt fieldset"
    " figcaption figure header hr html legend li main ol p section summary table tbody td tfoot th"
    " thead tr ul".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"""(?:charset|encoding)\s{0,5}=\s{0,5}["']?\s{0,5}([\w.:-]{2,40})""", re.I)
_PERMALINKS = frozenset(("¶", "#", "§", "🔗", "\uf0c1"))
_MAX_SPAN = 50  # columns or rows of one cell
_MIN_MAIN = 200  # code points in what calls itself the main part, to be believed


def convert_html(data: bytes, writer: TextWriter) -> None:
    """Write a page.

    Raises:
        Unreadable: Its bytes are no text, or there is no element in it.
    """
    named = _CHARSET.search(data[:4096])
    decoded = decode(data, declared=named[1].decode("ascii") if named else "")
    if isinstance(decoded, str):
        raise Unreadable(decoded)
    writer.about.encoding = decoded[1]
    root = _parse_html(decoded[0])
    _describe(root, writer)
    _write(_main(root), writer)


def html_text(html: str, writer: TextWriter) -> None:
    """Write HTML that is part of something else."""
    if html.strip():
        _write(_parse_html(html), writer)


def _parse_html(text: str) -> Any:
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    text = text.lstrip("\ufeff").replace("\x00", "")
    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.LxmlError as error:
        raise Unreadable("no page: there is no element in it") from error
    return root


def _describe(root: Any, writer: TextWriter) -> None:
    found: dict[str, str] = {}
    for meta in root.iter("meta"):
        key = (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower()
        found.setdefault(key, flat(meta.get("content") or ""))
    title = next((flat(node.text_content()) for node in root.iter("title")), "")
    dates = ("article:published_time", "datepublished", "dc.date", "date", "citation_date")
    about = writer.about
    about.title = found.get("og:title") or title
    about.author = found.get("author") or found.get("dc.creator") or ""
    about.date = next((day for key in dates if (day := iso_date(found.get(key, "")))), "")
    about.language = flat(root.get("lang") or "")[:20]


def _main(root: Any) -> Any:
    """The one part of a page that calls itself its content, where that holds a text."""
    for path in ("//main", "//*[@role='main']", "//article"):
        parts = root.xpath(path)
        if len(parts) == 1 and len(flat(parts[0].text_content())) >= _MIN_MAIN:
            return parts[0]
    return root


def _left_out(node: Any) -> bool:
    return (
        node.tag in _OUT
        or node.get("role") in _ROLES
        or node.get("hidden") is not None
        or node.get("aria-hidden") == "true"
        or "display:none" in (node.get("style") or "").replace(" ", "")
    )


@dataclass(slots=True)
class _Flow:
    """What of a page is open: words of a block, terms of a definition list."""

    writer: TextWriter
    words: list[str] = field(default_factory=list)
    items: int = 0  # list items that are open: their text begins with a dash
    terms: list[str] = field(default_factory=list)  # until it comes what is said of them
    naming: bool = False  # inside of such a term
    around: int = 0  # list items that were open there

    def close(self) -> None:
        """A block ends; the first one that is said of terms stands behind them."""
        text = flat("".join(self.words))
        self.words.clear()
        if self.naming and text:
            self.terms.append(text)
            return
        if self.terms and text:
            named = f"{', '.join(self.terms).rstrip(' :')}:"
            self.terms.clear()
            if self.items == self.around:
                text = f"{named} {text}"
            else:
                self.writer.paragraph(named)
        if text:
            self.writer.item(text) if self.items else self.writer.paragraph(text)

    def leave(self) -> None:
        """A block ends, and what follows is not said of open terms, as in a table of contents."""
        self.close()
        for term in self.terms:
            self.writer.paragraph(term)
        self.terms.clear()

    def enter(self, tag: str) -> None:
        """An element begins."""
        self._edge(tag)
        self.items += tag == "li"
        if tag == "dt":
            self.naming, self.around = True, self.items

    def exit(self, tag: str) -> None:
        """An element ends."""
        self._edge(tag)
        self.items -= tag == "li"
        self.naming = self.naming and tag != "dt"

    def _edge(self, tag: str) -> None:
        if tag == "dl":
            self.leave()
        elif tag in _BLOCKS:
            self.close()


def _write(root: Any, writer: TextWriter) -> None:
    """Walk a tree once, without recursion: blocks close what stands before them."""
    from lxml import etree

    flow = _Flow(writer)
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    skipped: Any = None
    for event, node in walk:
        tag = node.tag if isinstance(node.tag, str) else ""
        if event == "start":
            if _left_out(node) and node is not root:
                skipped = node
            elif tag == "table" and _is_data(node):
                flow.leave()
                writer.table(_rows(node))
                skipped = node
            elif tag == "pre":
                flow.leave()
                writer.code(node.text_content())
                skipped = node
            elif tag in _HEADINGS:
                flow.leave()
                for link in list(node.iter("a")):
                    if flat(link.text_content()) in _PERMALINKS:
                        link.clear(keep_tail=True)
                writer.heading(node.text_content(), _HEADINGS[tag])
                skipped = node
            elif tag == "a" and flat(node.text_content()) in _PERMALINKS:
                skipped = node
            if skipped is node:
                walk.skip_subtree()
                continue
            flow.enter(tag)
            flow.words.append(node.text or "")
            continue
        if node is skipped:
            skipped = None
        elif event == "end":
            flow.exit(tag)
        if node is not root:
            flow.words.append(node.tail or "")
    flow.leave()


def _is_data(table: Any) -> bool:
    """A table of data, not one that only lays out a page."""
    if table.find(".//table") is not None or table.get("role") == "presentation":
        return False
    rows = list(table.iter("tr"))
    return len(rows) > 1 and sum(1 for _ in rows[0].iter("td", "th")) > 1


def _rows(table: Any) -> list[list[str]]:
    """The cells of each row, each in its columns: a wide one takes several, a high one rows."""
    for node in table.iter("br", "p", "div", "li"):  # what stands in lines of its own in a cell
        node.tail = f" {node.tail or ''}"
    rows: list[list[str]] = []
    above: dict[int, tuple[int, str]] = {}  # column -> in how many rows more, and the text
    for line in table.iter("tr"):
        row: list[str] = []
        for cell in line.iter("td", "th"):
            _fill(row, above)
            text, more = flat(cell.text_content()), _span(cell, "rowspan") - 1
            for column in range(_span(cell, "colspan")):
                shown = "" if column and cell.tag == "td" else text
                above[len(row)] = more, shown
                row.append(shown)
        _fill(row, above)
        rows.append(row)
    return rows


def _fill(row: list[str], above: dict[int, tuple[int, str]]) -> None:
    """The next columns of a row that cells from above take."""
    while (rest := above.get(len(row), (0, "")))[0]:
        above[len(row)] = rest[0] - 1, rest[1]
        row.append(rest[1])


def _span(cell: Any, name: str) -> int:
    given = cell.get(name) or ""
    return min(max(int(given), 1), _MAX_SPAN) if given.isdecimal() and len(given) < 6 else 1


# -- EPUB ---------------------------------------------------------------------------------------


def convert_epub(data: bytes, writer: TextWriter) -> None:
    """Write the chapters of a book in reading order.

    Raises:
        Unreadable: It names no chapters, or they are encrypted.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        names = set(book.namelist())
        if "META-INF/rights.xml" in names or "META-INF/license.lcpl" in names:
            raise Unreadable("encrypted: protected by digital rights management")
        container = _xml(_member(book, names, "META-INF/container.xml"))
        package = next((n.get("full-path", "") for n in container.iter("{*}rootfile")), "")
        content = _xml(_member(book, names, package))
        about = writer.about
        about.title, about.author = _fact(content, "title"), _fact(content, "creator")
        about.date, about.language = iso_date(_fact(content, "date")), _fact(content, "language")
        hrefs = {item.get("id"): item.get("href", "") for item in content.iter("{*}item")}
        folder = posixpath.dirname(package)
        missing = 0
        for entry in content.iter("{*}itemref"):
            href = unquote(hrefs.get(entry.get("idref"), "").partition("#")[0])
            name = posixpath.normpath(posixpath.join(folder, href))
            if name not in names:
                missing += 1
                continue
            decoded = decode(book.read(name))
            if not isinstance(decoded, str) and decoded[0].strip():
                html_text(_EMPTY.sub(r"<\1\2></\1>", decoded[0]), writer)
        if missing:
            about.warning = f"{missing} chapters are named but not in it"


# "<title/>" closes itself in XHTML; to an HTML parser all that follows is the title.
_EMPTY = re.compile(r"<(title|script|style|a|div|span|p|i|b|em)\b([^<>]{0,500}?)/>")


def _member(book: zipfile.ZipFile, names: set[str], name: str) -> bytes:
    if name not in names:
        raise Unreadable("no EPUB: it does not name its chapters")
    return book.read(name)


def _xml(data: bytes) -> Any:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable(f"damaged: {error.msg}") from error


def _fact(content: Any, name: str) -> str:
    return next(
        (
            flat(node.text or "")
            for node in content.iter(f"{{http://purl.org/dc/elements/1.1/}}{name}")
        ),
        "",
    )
