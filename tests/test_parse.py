"""Every format to text: what of a file can be cited, and where it stands."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import documents
import pytest

from rag.documents.converted import Converted, Unreadable
from rag.documents.parse import parse

PARAGRAPH = "The harbour of the town was built in 1890 and has been widened twice since then. " * 3


def read(data: bytes | str, format_: str, **options: Any) -> Converted:
    given = {"max_chars": 10**6, "max_expanded": 10**7, "json_field": "text", **options}
    raw = data.encode() if isinstance(data, str) else data
    made = parse(raw, format_=format_, **given)
    starts = [place.start for place in made.places]
    assert starts == sorted(set(starts))
    return made


def at(made: Converted, words: str) -> tuple[str, int | None]:
    """Label and page of the place in which some words stand."""
    offset = made.text.index(words)
    place = [place for place in made.places if place.start <= offset][-1]
    return place.label, place.page


def why(data: bytes | str, format_: str, **options: Any) -> str:
    with pytest.raises(Unreadable) as caught:
        read(data, format_, **options)
    return str(caught.value)


def test_a_pdf_keeps_its_pages_and_what_it_says_of_itself() -> None:
    made = read(
        documents.pdf("First page.", "", "Third page\nhas two lines.", title="On cranes",
                      author="Ann Author"), "pdf"
    )  # fmt: skip
    assert made.text == "First page.\n\nThird page\nhas two lines."
    assert [(p.start, p.label, p.page) for p in made.places] == [(0, "p. 1", 1), (13, "p. 3", 3)]
    assert (made.about.title, made.about.author) == ("On cranes", "Ann Author")
    assert made.about.date.startswith("20")
    assert made.about.warning == "1 of 3 pages: no text (scanned or empty; --ocr reads it)"
    junk = read(documents.pdf("Text.", title="Microsoft Word - draft7.doc"), "pdf")
    assert junk.about.title == ""


def test_pdfs_that_cannot_be_read_say_why() -> None:
    assert why(documents.pdf("", ""), "pdf").startswith("scanned: none of its 2 pages")
    assert why(documents.pdf("Text.", password="secret"), "pdf").startswith("encrypted")
    assert why(b"%PDF-1.7\nnothing", "pdf") == "damaged, or no PDF"


def test_a_word_document_keeps_headings_lists_and_rows() -> None:
    made = read(documents.docx(), "docx")
    assert made.text.split("\n\n") == [
        "# Audit of the harbour",
        "# Findings",
        "The crane was inspected in May.",
        "## Costs",
        "- Repairs come first.",
        "| Item: Rope | Price: 12 euros |\n| Item: Hook | Price: 7 euros |",
        "    # not a heading",
    ]
    assert at(made, "Hook") == ("Findings › Costs", None)
    about = made.about
    assert (about.title, about.author, about.language) == ("Audit report", "Ann Author", "en-GB")


def test_slides_keep_their_numbers_notes_and_tables() -> None:
    made = read(documents.pptx(), "pptx")
    assert made.text.startswith("## Why a new crane\n\nThe old crane lifts nine tons.")
    assert at(made, "storm of 2019") == ("slide 1", 1)
    assert at(made, "| Part: Motor | Price: 900 euros |") == ("slide 2", 2)
    assert made.about.title == "Harbour plans"


def test_each_row_of_a_sheet_can_be_cited_alone() -> None:
    rows = ((None, None), ("Ship", "Built", "Crew"), ("Aurora", 1898.0, 12), (), ("Bounty", 1784))
    made = read(documents.xlsx(*rows), "sheet")
    assert made.text == (
        "# Ships\n\n| Ship: Aurora | Built: 1898 | Crew: 12 |\n| Ship: Bounty | Built: 1784 |"
    )
    assert at(made, "Aurora") == ("Ships row 3", None)
    assert at(made, "Bounty") == ("Ships row 5", None)
    plain = read(documents.xlsx(("a", 1), ("b", 2)), "sheet").text
    assert plain == "# Ships\n\n| a | 1 |\n| b | 2 |", "numbers are no names of columns"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_by_whatever_separates_its_cells(mark: str) -> None:
    lines = ["Ship,Built,Note", 'Aurora,1898,"red\nand, grey"', "", "Bounty,1784,"]
    made = read("\n".join(lines).replace(",", mark), "csv")
    assert made.text.split("\n") == [
        f"| Ship: Aurora | Built: 1898 | Note: red and{mark.strip()} grey |",
        "| Ship: Bounty | Built: 1784 |",
    ]
    assert at(made, "Bounty") == ("row 4", None)
    assert made.about.encoding == "utf-8"


def test_a_sheet_may_be_called_anything() -> None:
    made = read(documents.xlsx(("a", 1), ("b", 2), sheet="{0} ›\u202e {x}"), "sheet")
    assert at(made, "| b") == ("{0} ›\u202e {x} row 2", None)


def test_a_page_of_the_web_without_its_furniture() -> None:
    made = read(
        f"""<!doctype html><html lang="de"><head><title>Der Hafen</title><script>var x</script>
        <meta name="author" content="Ann"><meta property="article:published_time"
        content="2022-03-04T10:00"></head><body><nav>Home About</nav><main><h1>Harbour<a
        class="headerlink" href="#x">¶</a></h1><p>{PARAGRAPH}<b>Bo</b>ld &amp; last.</p>
        <h2>Prices in C#</h2><form><ul><li>one</li><li>two <i>words</i></li></ul><!-- remark -->tail
        <table><tr><th>Item</th><th>Price</th></tr><tr><td>Rope<br>thick</td><td>12</td></tr></table>
        <pre>x = 1\n# y\n</pre><table><tr><td>layout only</td></tr></table>
        <p hidden>not shown</p></main><footer>Imprint</footer></body></html>""",
        "html",
    )
    assert made.text.split("\n\n") == [
        "# Harbour",
        f"{PARAGRAPH}Bold & last.",
        "## Prices in C#",
        "- one\n- two words",
        "tail",
        "| Item: Rope thick | Price: 12 |",
        "```\nx = 1\n    # y\n```",
        "layout only",
    ]
    assert at(made, "Rope") == ("Harbour › Prices in C#", None)
    about = made.about
    assert (about.title, about.author, about.date) == ("Der Hafen", "Ann", "2022-03-04")
    assert (about.language, about.encoding) == ("de", "utf-8")


def test_a_term_stands_before_what_is_said_of_it() -> None:
    html = (
        "<p>Options:</p><dl><dt>-k</dt><dt><p>--keep:</p></dt><dd><p>Keep the files.</p><p>All.</p>"
        "</dd><dt>-q</dt><dd><ul><li>quiet</li></ul></dd><dt>-x<dd><pre>x = 1</pre></dl>"
        "<ul><li>a<dl><dt>rope<dd>twelve euros</dl></ul><p>The end."
    )
    assert read(html, "html").text.split("\n\n") == [
        "Options:", "-k, --keep: Keep the files.", "All.", "-q:", "- quiet", "-x",
        "```\nx = 1\n```", "- a\n- rope: twelve euros", "The end.",
    ]  # fmt: skip
    contents = "<dl><dt>1. A</dt><dt>2. B</dt><dd><dl><dt>2.1 C</dt></dl></dd></dl><p>Text."
    assert read(contents, "html").text == "1. A\n\n2. B\n\n2.1 C\n\nText."


def test_cells_over_several_columns_and_rows_keep_the_others_in_place() -> None:
    wide = (
        "<table><tr><th></th><th colspan=2>2013</th><th colspan=2>2012</th></tr>"
        "<tr><td>ropes</td><td>1295</td><td>55%</td><td>705</td><td>44%</td></tr></table>"
    )
    assert read(wide, "html").text == "| ropes | 2013: 1295 | 2013: 55% | 2012: 705 | 2012: 44% |"
    high = (
        "<table><tr><th>Pier</th><th>Year</th><th>Ships</th></tr><tr><td rowspan=2>North</td>"
        "<td>2013</td><td>7</td></tr><tr><td>2014</td><td>9</td></tr>"
        "<tr><td colspan=99999999999>closed</td></tr></table>"
    )
    assert read(high, "html").text.splitlines()[:2] == [
        "| Pier: North | Year: 2013 | Ships: 7 |",
        "| Pier: North | Year: 2014 | Ships: 9 |",
    ]


def test_years_name_columns_where_something_else_stands_below() -> None:
    assert "2013: 7" in read("Ships,2013,2012\nnorth,7,9\n", "csv").text
    assert ":" not in read("2013,2012\n2011,2010\n", "csv").text
    assert ":" not in read("7,9\n8,6\n", "csv").text


def test_the_encoding_that_a_page_names_is_believed_where_it_is_not_utf8() -> None:
    page = '<html><head><meta charset="{}"></head><body><p>Größe, naïve, Œuvre</p></body></html>'
    for named, codec in (("windows-1252", "cp1252"), ("windows-1252", "utf-8")):
        made = read(page.format(named).encode(codec), "html")
        assert made.text == "Größe, naïve, Œuvre"
        assert made.about.encoding == (named if codec == "cp1252" else "utf-8")


def test_a_book_in_its_reading_order() -> None:
    made = read(documents.epub(), "epub")
    assert made.text == "# Sooner\n\nIt begins at sea.\n\n# Later\n\nThe end of the story."
    assert at(made, "end of") == ("Later", None)
    about = made.about
    assert (about.title, about.author, about.date, about.language) == (
        "The Book", "Ann Author", "2021-05-06", "en",
    )  # fmt: skip
    assert why(documents.zipped({"a": "b"}), "epub").startswith("no EPUB")


def test_a_message_with_its_headers_and_the_names_of_what_is_attached() -> None:
    mail = (
        "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nTo: Bo <bo@example.org>\n"
        "Subject: The crane\nDate: Tue, 04 Mar 2025 10:00:00 +0100\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="x"\n\n--x\n'
        "Content-Type: text/html; charset=iso-8859-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\n"
        "<p>It was <b>gr=FCn</b>.</p>\n--x\nContent-Type: application/zip\n"
        'Content-Disposition: attachment; filename="plans.zip"\n\nUEsDBA==\n--x--\n'
    )
    made = read(mail, "mail")
    assert made.text.split("\n\n") == [
        "# The crane",
        "- From: Jürgen <j@example.org>\n- To: Bo <bo@example.org>\n"
        "- Date: Tue, 04 Mar 2025 10:00:00 +0100",
        "It was grün.",
        "- Attachment: plans.zip",
    ]
    about = made.about
    assert (about.title, about.author, about.date) == ("The crane", "Jürgen", "2025-03-04")
    assert why("just some text\n\nwithout headers", "mail") == "no e-mail: it has no headers"


def test_json_by_the_field_that_holds_its_text() -> None:
    rows = [{"title": "One", "text": "First text."}, {"other": 1}, {"text": "Third text."}]
    made = read(json.dumps(rows), "json")
    assert made.text == "# One\n\nFirst text.\n\nThird text."
    assert at(made, "Third") == ("record 3", None)
    lines = "\n".join(map(json.dumps, rows)) + "\nno json\n"
    made = read(lines, "jsonl")
    assert at(made, "First") == ("line 1 › One", None)
    assert at(made, "Third") == ("line 3", None)
    assert made.about.warning == "1 lines are no JSON, the first is line 4"
    alone = read(json.dumps({"body": "Text.", "date": "2020-01-02"}), "json", json_field="body")
    assert (alone.text, alone.about.date, alone.places) == ("Text.", "2020-01-02", ())
    assert why(json.dumps(rows), "json", json_field="body") == (
        "no text in a field named 'body' (json_text_field)"
    )


def test_a_text_over_its_limit_is_refused() -> None:
    assert "max_file_mb" in why("<p>" + "word " * 3000, "html", max_chars=10_000)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_stream_of_any_compression_is_a_reason(method: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("word/document.xml", b"abc" * 1000)
    data = bytearray(made.getvalue())
    start = 30 + len("word/document.xml")
    data[start : start + 12] = b"\xff" * 12
    assert why(bytes(data), "docx").startswith("damaged")
