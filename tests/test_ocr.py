"""Pages that are pictures: recognised where that is asked for, and said to be so."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import documents
import pytest
from command import invoke, parser_running

from rag.backends.embed import HashEmbedder
from rag.documents.converted import Converted, Picture, Unreadable
from rag.documents.ocr import OcrModel, find_model
from rag.documents.parse import parse
from rag.documents.sandbox import ParseLimits, Sandbox
from rag.errors import ModelUnusable, UsageError
from rag.indexing import IndexReport, build_index
from rag.storage.store import open_index

CRANE = "The old crane of the harbour was\ninspected in May and found unsafe."
MILL = "The windmill on the hill was sold\nto the town for nine thousand crowns."
LETTERS = "This page holds letters of its own."
FAKE = OcrModel("/nowhere", "eng", 1)

engine = pytest.mark.skipif(
    find_spec("tesserocr") is None, reason="the extra is not installed: pip install '.[ocr]'"
)


def read(data: bytes, recognise: Callable[[Picture, int, int], str] | None) -> Converted:
    return parse(
        data, format_="pdf", max_chars=10**6, max_expanded=10**7, json_field="text",
        recognise=recognise,
    )  # fmt: skip


def test_only_pages_without_text_are_recognised_and_their_places_say_so() -> None:
    seen: list[tuple[int, int]] = []

    def recognise(picture: Picture, page: int, pages: int) -> str:
        assert len(picture.pixels) == picture.width * picture.height
        assert picture.dpi == 300
        assert picture.pixels.count(0) > 1000, "what is black on it"
        seen.append((page, pages))
        return "Recognised words.\n\f" if page == 2 else " \n"

    made = read(documents.pdf(LETTERS, "", "", title="Papers"), recognise)
    assert seen == [(2, 3), (3, 3)]
    assert made.text == f"{LETTERS}\n\nRecognised words."
    assert [(p.label, p.page, p.ocr) for p in made.places] == [
        ("p. 1", 1, False), ("p. 2, read by OCR", 2, True),
    ]  # fmt: skip
    assert made.about.title == "Papers"
    assert made.about.warning == "1 of 3 pages: no text, also by OCR"


def test_pages_with_nothing_on_them_are_not_looked_at_and_huge_ones_are_made_small() -> None:
    from fpdf import FPDF

    made = FPDF(unit="pt", format=(14_000, 14_000))
    made.add_page()
    made.add_page()
    made.rect(0, 0, 5000, 5000, style="F")
    seen: list[Picture] = []

    def recognise(picture: Picture, page: int, pages: int) -> str:
        seen.append(picture)
        return f"page {page}"

    assert read(bytes(made.output()), recognise).places[0].page == 2
    assert [15_000_000 < p.width * p.height < 16_100_000 for p in seen] == [True]


def test_a_page_that_takes_too_long_is_left_out_alone() -> None:
    def slow(picture: Picture, page: int, pages: int) -> str:
        if page == 1:
            raise Unreadable("takes too long to recognise (ocr_page_seconds)")
        return "Words."

    made = read(documents.pdf("", ""), slow)
    assert [place.page for place in made.places] == [2]
    assert made.about.warning.startswith("1 of 2 pages: page 1 takes too long")
    with pytest.raises(Unreadable, match=r"OCR finds no text on its 1 pages; page 1 takes too"):
        read(documents.pdf(""), slow)


def test_a_picture_turned_twice_is_itself() -> None:
    picture = Picture(bytes(range(6)), 3, 2, 300)
    assert picture.turned().pixels == bytes([5, 4, 3, 2, 1, 0])
    assert picture.turned().turned() == picture


def talking(*messages: bytes, then: str = "") -> type[Sandbox]:
    """A parser that sends these for the first file it gets."""
    script = (
        "import sys, time; from rag.documents.child import LENGTH; sys.stdin.buffer.read(1)\n"
        f"for message in {messages!r}:\n"
        "    sys.stdout.buffer.write(LENGTH.pack(len(message)) + message)\n"
        f"sys.stdout.flush(); {then}\nsys.stdin.read()"
    )
    return parser_running(script)


ANSWER = json.dumps({"text": "Words.", "places": [[0, "p. 2", 2]], "about": {}}).encode()


def test_what_is_said_before_the_answer_is_progress() -> None:
    told: list[tuple[int, int]] = []
    limits = ParseLimits(ocr=FAKE)
    with talking(b"page 2 3", b"page 3 3", ANSWER)(
        limits, lambda page, pages: told.append((page, pages))
    ) as sandbox:
        made = sandbox.parse(b"x", "pdf")
    assert isinstance(made, Converted)
    assert made.text == "Words."
    assert told == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    "messages", [(b"page 2 3", b"page 2 3"), (b"page 4 3",), (b"page x y",), (b"page 1",)]
)
def test_progress_that_makes_no_sense_ends_the_parsing(messages: tuple[bytes, ...]) -> None:
    with talking(*messages, ANSWER)(ParseLimits(ocr=FAKE)) as sandbox:
        assert sandbox.parse(b"x", "pdf") == "its parser sent back more than it may"


def test_nobody_may_talk_of_pages_where_none_is_recognised() -> None:
    with talking(b"page 1 3", ANSWER)(ParseLimits()) as sandbox:
        assert sandbox.parse(b"x", "pdf") == "its parser sent back more than it may"


def test_a_page_that_never_ends_is_not_waited_for() -> None:
    limits = ParseLimits(wall_seconds=1, ocr=OcrModel("/nowhere", "eng", 0))
    with talking(b"page 1 1", then="time.sleep(60)")(limits) as sandbox:
        assert "parse_wall_seconds" in str(sandbox.parse(b"x", "pdf"))


def test_what_is_missing_is_named_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan.pdf").write_bytes(documents.pdf(""))
    result = invoke("index", str(tmp_path), "--index", str(tmp_path / "i"))
    assert "--ocr" in str(result.exception), "off unless it is asked for; said how"
    with pytest.raises(UsageError):
        find_model("../eng", page_seconds=1)
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    result = invoke("index", str(tmp_path), "--index", str(tmp_path / "i"), "--ocr")
    assert isinstance(result.exception, ModelUnusable)
    assert "ocr" in result.exception.message
    assert result.exception.hint == "pip install '.[ocr]'"


@engine
def test_a_language_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelUnusable, match=r"xyz\.traineddata is not installed"):
        find_model("eng+xyz", page_seconds=1)
    (tmp_path / "xyz.traineddata").write_bytes(b"")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    assert find_model("xyz", page_seconds=1).folder == str(tmp_path)
    with pytest.raises(ModelUnusable, match="no folder holds all of"):
        find_model("eng+xyz", page_seconds=1)


def run(docs: Path, *, ocr: bool) -> tuple[IndexReport, list[str]]:
    """A run of ``rag index``, and which pages it recognised."""
    told: list[str] = []
    model = find_model("eng", page_seconds=120) if ocr else None
    report = build_index(
        [docs], folder=docs.parent / "index", open_embedder=HashEmbedder, embedder_name="hash",
        max_bytes=10**7, limits=ParseLimits(ocr=model),
        progress=lambda label, *_: told.append(label),
    )  # fmt: skip
    return report, [label for label in told if label.endswith("by OCR")]


@engine
def test_scans_are_recognised_once_and_quotes_of_them_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "mixed.pdf").write_bytes(documents.scan(LETTERS, pictures=[CRANE]))
    (docs / "turned.pdf").write_bytes(documents.scan(pictures=[MILL], turn=180))
    (docs / "text.pdf").write_bytes(documents.pdf(LETTERS + " And more."))

    first, pages = run(docs, ocr=False)
    assert (first.added, pages) == (("mixed.pdf", "text.pdf"), [])
    assert "--ocr" in first.skipped[0].reason
    assert "--ocr" in first.warnings[0].reason

    second, pages = run(docs, ocr=True)
    assert pages == ["mixed.pdf: page 2 of 2 by OCR", "turned.pdf: page 1 of 1 by OCR"]
    assert (second.changed, second.added) == (("mixed.pdf",), ("turned.pdf",))
    assert second.recognised == ("mixed.pdf", "turned.pdf")
    assert (second.unchanged, second.skipped, second.warnings) == (1, (), ())

    store = open_index(tmp_path / "index")
    mixed, turned = store.document_at("mixed.pdf"), store.document_at("turned.pdf")
    store.close()
    assert [(p.page, p.ocr) for p in mixed.places] == [(1, False), (2, True)]
    assert " ".join(CRANE.split()) in " ".join(mixed.text.split())
    assert " ".join(MILL.split()) in " ".join(turned.text.split())

    for ocr in (True, False):
        again, pages = run(docs, ocr=ocr)
        assert (again.unchanged, again.generation, pages) == (3, 2, []), "and it stays so"
    (docs / "turned.pdf").rename(docs / "moved.pdf")
    (docs / "z-copy.pdf").write_bytes((docs / "mixed.pdf").read_bytes())
    moved, pages = run(docs, ocr=True)
    assert (moved.moved, moved.added, pages) == (
        (("turned.pdf", "moved.pdf"),),
        ("z-copy.pdf",),
        [],
    )

    def shown(*arguments: str) -> dict[str, Any]:
        result = invoke(*arguments, "--index", str(tmp_path / "index"), "--json")
        assert result.exception is None, result.exception
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    assert shown("status")["recognised"] == 2
    assert shown("show", "mixed.pdf", "--page", "2")["ocr"] is True
    assert shown("show", "mixed.pdf", "--page", "1")["ocr"] is False
    best = shown("search", "windmill sold to the town")["results"][0]
    assert (best["document"], best["page"], best["ocr"]) == ("moved.pdf", 1, True)
    monkeypatch.setenv("RAG_ANSWER_THRESHOLD", "0")
    question = "For how many crowns was the windmill on the hill sold to the town?"
    cited = shown("ask", question)["citations"][0]
    assert (cited["page"], cited["place"], cited["ocr"]) == (1, "p. 1, read by OCR", True)
    spoken = invoke("ask", question, "--index", str(tmp_path / "index"))
    assert "(p. 1, read by OCR)" in spoken.stdout


@engine
def test_a_picture_without_words_is_no_document() -> None:
    limits = ParseLimits(ocr=find_model("eng", page_seconds=120))
    with Sandbox(limits) as sandbox:
        assert str(sandbox.parse(documents.pdf(""), "pdf")).startswith("scanned: OCR finds no text")


@engine
def test_recognition_stays_within_the_memory_it_may_have() -> None:
    small = ParseLimits(memory_mb=256, ocr=find_model("eng", page_seconds=120))
    with Sandbox(small) as sandbox:
        said = sandbox.parse(documents.scan(pictures=[CRANE], size=(3000, 3000)), "pdf")
        assert "parse_memory_mb" in str(said)
        assert isinstance(sandbox.parse(b"a,b\n1,2\n", "csv"), Converted), "and the next one works"
