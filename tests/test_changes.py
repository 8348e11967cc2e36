"""What a run notices: copies, moves, time stamps, ignore files; and what it would do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command import invoke
from conftest import IndexBuilder
from documents import docx, pdf

from rag.backends.embed import HashEmbedder
from rag.documents.find import Source
from rag.documents.read import Raw, convert, load
from rag.documents.sandbox import Sandbox
from rag.errors import UsageError
from rag.indexing import build_index, preview_index
from rag.records import Skipped
from rag.storage import changes
from rag.storage.database import is_index
from rag.storage.store import open_index

TEXT = "# About {0}\n\nThe {0} stands in its own file. It is mentioned here as {0} again.\n"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in ("apple", "banana", "cherry"):
        (folder / f"{name}.txt").write_text(TEXT.format(name))
    return folder


def test_a_moved_file_is_not_embedded_again(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    (docs / "sub").mkdir()
    (docs / "apple.txt").rename(docs / "sub" / "apfel.txt")
    report = build(docs)
    assert report.moved == (("apple.txt", "sub/apfel.txt"),)
    assert (report.added, report.removed, report.embedded) == ((), (), 0)
    assert (report.generation, report.unchanged) == (2, 2), "answers name another path"
    store = open_index(tmp_path / "index")
    hit = store.hit(store.lexical_search(["appl"], 1)[0][0], 0.0, {}, {})
    assert hit.document.path == "sub/apfel.txt"
    assert store.text(hit.document.id) == TEXT.format("apple")
    store.close()


def test_a_copy_is_stored_and_found_once_with_all_its_places(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    (docs / "zz.txt").write_text(TEXT.format("apple"))
    (docs / "utf16.txt").write_bytes(TEXT.format("apple").encode("utf-16"))
    report = build(docs)
    assert report.copies == (("apple.txt", "utf16.txt", "zz.txt"),), (
        "the text counts, not the bytes"
    )
    assert report.counts["documents"] == 3
    assert report.embedded == 3 * 3
    found = json.loads(
        invoke("search", "apple", "--index", str(tmp_path / "index"), "--json").stdout
    )
    also = {row["document"]: row["also_in"] for row in found["results"]}
    assert len(also) == len(found["results"]), "no passage twice"
    assert also["apple.txt"] == ["utf16.txt", "zz.txt"]
    state = json.loads(invoke("status", "--index", str(tmp_path / "index"), "--json").stdout)
    assert (state["copies"], state["documents"], state["near_duplicates"]) == (2, 3, [])
    assert state["written"].startswith("20")
    # The first place goes: the document stays, under its other name, and nothing is embedded.
    (docs / "apple.txt").unlink()
    report = build(docs)
    assert (report.removed, report.embedded) == (("apple.txt",), 0)
    assert report.copies == (("utf16.txt", "zz.txt"),)
    store = open_index(tmp_path / "index")
    assert [d.path for d in store.documents()] == ["banana.txt", "cherry.txt", "utf16.txt"]
    store.close()


def test_a_citation_names_the_first_place_and_the_others(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    (docs / "zz.txt").write_text(TEXT.format("banana"))
    build(docs)
    said = invoke(
        "ask", "Where does the banana stand?", "--json", "--index", str(tmp_path / "index"),
        RAG_ANSWER_THRESHOLD="0",
    )  # fmt: skip
    answer = json.loads(said.stdout)
    cited = [*answer["citations"], *answer["nearest"]]
    assert ("banana.txt", ["zz.txt"]) in [(c["document"], c["also_in"]) for c in cited]


def pages_of(index: Path) -> dict[str, list[int | None]]:
    """Each path and the pages on which its citations would stand."""
    store = open_index(index)
    try:
        return {
            path: [place.page for place in store.document(document.id).places]
            for document in store.documents()
            for path in (document.path, *document.also_in)
        }
    finally:
        store.close()


def test_the_same_words_on_other_pages_are_another_document(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs, index = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    words = ("The apple comes first.", "The banana is on the second.")
    (docs / "a.pdf").write_bytes(pdf(*words))
    (docs / "same.pdf").write_bytes(pdf(*words, ""))
    (docs / "b.pdf").write_bytes(pdf(words[0], "", words[1]))
    build(docs)
    assert pages_of(index) == {"a.pdf": [1, 2], "b.pdf": [1, 3], "same.pdf": [1, 2]}
    (docs / "a.pdf").unlink()
    (docs / "same.pdf").unlink()
    report = build(docs)
    assert (report.embedded, pages_of(index)) == (0, {"b.pdf": [1, 3]})


def test_a_new_version_under_a_new_name_is_cited_with_its_own_pages(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs, index = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    words = ("The apple comes first.", "The banana is on the second.")
    (docs / "report.pdf").write_bytes(pdf(*words))
    build(docs)
    (docs / "report.pdf").unlink()
    (docs / "report-v2.pdf").write_bytes(pdf("", *words))
    report = build(docs)
    assert (report.added, report.removed, report.moved) == (("report-v2.pdf",), ("report.pdf",), ())
    assert pages_of(index) == {"report-v2.pdf": [2, 3]}
    store = open_index(index)
    (hit,) = (store.hit(id_, 0.0, {}, {}) for id_, _ in store.lexical_search(["appl"], 1))
    assert hit.place is not None and hit.place.page == 2
    store.close()


def test_what_the_file_system_says_is_unchanged_is_not_read(
    docs: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SETTLED_NS", 0)
    build(docs)
    read: list[str] = []

    def counted(source: Source, *, max_bytes: int) -> object:
        read.append(source.path)
        return load(source, max_bytes=max_bytes)

    monkeypatch.setattr(changes, "load", counted)
    assert build(docs).unchanged == 3
    assert read == []
    # The same size and the same time, set by hand: the change of the inode gives it away.
    state = (docs / "apple.txt").stat()
    (docs / "apple.txt").write_text(TEXT.format("appel"))
    os.utime(docs / "apple.txt", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert build(docs).changed == ("apple.txt",)
    assert read == ["apple.txt"]


def test_a_file_that_was_written_a_moment_ago_is_read_again(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    store = open_index(tmp_path / "index")
    assert {file.seen for file in store.files().values()} == {""}
    store.close()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    index = tmp_path / "index"
    options = {"folder": index, "embedder_name": "hash", "max_bytes": 10**6}
    first = preview_index([docs], **options)  # type: ignore[arg-type]
    assert (len(first.added), first.dry_run) == (3, True)
    assert not is_index(index)
    build(docs)

    def stored() -> dict[str, bytes]:
        # Not what SQLite puts beside the file for its readers.
        return {
            f.name: f.read_bytes() for f in index.iterdir() if not f.name.endswith(("wal", "shm"))
        }

    before = stored()
    (docs / "apple.txt").rename(docs / "apfel.txt")
    (docs / "banana.txt").write_text("Another banana.")
    (docs / "new.txt").write_text("Something new.")
    (docs / "cherry.txt").unlink()
    (docs / "bad.txt").write_bytes(b"\x00")
    would = invoke("index", "--dry-run", "--index", str(index), "--json")
    report = json.loads(would.stdout)
    assert stored() == before
    done = build(docs)
    for name in ("added", "changed", "removed", "unchanged"):
        value = getattr(done, name)
        assert report[name] == (list(value) if isinstance(value, tuple) else value), name
    assert report["moved"] == [["apple.txt", "apfel.txt"]] == [list(pair) for pair in done.moved]
    assert done.skipped == (Skipped("bad.txt", "binary, not text"),)
    shown = invoke("index", "--dry-run", "--index", str(index)).stdout
    assert "would be: 3 unchanged" in shown
    for other in ("--watch", "--check"):
        refused = invoke("index", "--dry-run", other, "--index", str(index)).exception
        assert isinstance(refused, UsageError)
        assert other in refused.message
        assert other in refused.hint


def test_gitignore_is_obeyed_unless_it_is_not_wanted(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    (docs / ".gitignore").write_text("banana*\nbuild/\n")
    (docs / "build").mkdir()
    (docs / "build" / "made.txt").write_text("Made by a machine.")
    (docs / ".ragignore").write_text("cherry.txt\n")
    assert build(docs).added == ("apple.txt",)
    report = build(docs, gitignore=False)
    assert report.added == ("banana.txt", "build/made.txt")


def test_a_text_that_changes_back_is_a_change_each_time(docs: Path, build: IndexBuilder) -> None:
    build(docs)
    (docs / "apple.txt").write_text("Another text.")
    assert build(docs).changed == ("apple.txt",)
    (docs / "apple.txt").write_text(TEXT.format("apple"))
    report = build(docs)
    assert (report.changed, report.embedded, report.generation) == (("apple.txt",), 3, 3)


def test_copies_are_made_anew_together_with_another_embedder(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    class Half(HashEmbedder):
        name = "half"
        dimension = 192

    (docs / "zz.txt").write_text(TEXT.format("apple"))
    build(docs)
    report = build_index(
        [docs], folder=tmp_path / "index", open_embedder=Half, embedder_name="half",
        max_bytes=10**6,
    )  # fmt: skip
    assert (len(report.changed), report.embedded, report.copies) == (
        4,
        9,
        (("apple.txt", "zz.txt"),),
    )
    assert report.counts["documents"] == 3


def test_files_of_every_format_are_compared_by_their_bytes_then_by_their_text(
    docs: Path, tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def counted(raw: Raw, sandbox: Sandbox) -> object:
        parsed.append(raw.path)
        return convert(raw, sandbox)

    monkeypatch.setattr(changes, "convert", counted)
    one, two = "The apple is on the first page.", "The banana is on the second page."
    (docs / "a.pdf").write_bytes(pdf(one, two))
    (docs / "b.docx").write_bytes(docx())
    (docs / "copy.pdf").write_bytes((docs / "a.pdf").read_bytes())
    first = build(docs)
    assert first.copies == (("a.pdf", "copy.pdf"),)
    assert "copy.pdf" not in parsed, "its bytes are known"
    parsed.clear()
    assert (build(docs).unchanged, parsed) == (6, []), "read again (they are new), not parsed"
    (docs / "copy.pdf").unlink()
    (docs / "a.pdf").rename(docs / "moved.pdf")
    (docs / "b.docx").rename(docs / "c.docx")
    moved = (("a.pdf", "moved.pdf"), ("b.docx", "c.docx"))
    would = preview_index([docs], folder=tmp_path / "index", embedder_name="hash", max_bytes=10**6)
    assert (would.moved, would.added, would.removed) == (moved, (), ("copy.pdf",))
    report = build(docs)
    assert (report.moved, report.embedded, parsed) == (moved, 0, [])
    # The same words on other pages, or under another title, are another document to cite.
    (docs / "moved.pdf").write_bytes(pdf(one, "", two))
    report = build(docs)
    assert (report.changed, report.removed) == (("moved.pdf",), ())
    store = open_index(tmp_path / "index")
    assert [place.page for place in store.document_at("moved.pdf").places] == [1, 3]
    store.close()
    (docs / "moved.pdf").write_bytes(pdf(one, "", two, title="Fruit"))
    assert build(docs).changed == ("moved.pdf",)
    (docs / "moved.pdf").write_bytes(pdf(one, "", two, title="Fruit", keywords="x"))
    assert build(docs).changed == ()
