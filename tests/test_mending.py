"""A damaged index: what is noticed, what is kept, what is read again, what is lost."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from conftest import IndexBuilder
from documents import pdf

from rag.backends.embed import HashEmbedder
from rag.errors import IndexUnusable, OutOfResources
from rag.indexing import IndexReport, build_index
from rag.records import Embedder, Place
from rag.storage.database import DATABASE
from rag.storage.mending import KEPT
from rag.storage.soundness import problems
from rag.storage.store import open_index
from rag.storage.writing import Writer

NAMES = ("apple", "banana", "cherry")
TEXT = "# About {0}\n\nThe {0} stands in its own file. It is mentioned here as {0} again.\n"


@pytest.fixture
def docs(tmp_path: Path, build: IndexBuilder) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.txt").write_text(TEXT.format(name))
    build(folder)
    return folder


def sql(tmp_path: Path, statement: str) -> None:
    """Change a row behind the checksums' back, as a flipped bit does."""
    database = sqlite3.connect(tmp_path / "index" / DATABASE)
    with database:
        assert database.execute(statement).rowcount == 1
    database.close()


def wrong(tmp_path: Path) -> list[str]:
    store = open_index(tmp_path / "index")
    found = problems(store, thorough=True)
    store.close()
    return found


def never() -> Embedder:
    raise AssertionError("something was embedded")


def mend(tmp_path: Path, *roots: Path, embed: bool) -> IndexReport:
    report = build_index(
        list(roots), folder=tmp_path / "index", open_embedder=HashEmbedder if embed else never,
        embedder_name="hash", max_bytes=10**6,
    )  # fmt: skip
    assert wrong(tmp_path) == []
    return report


BANANA = "(SELECT document_id FROM files WHERE path = 'banana.txt')"
OF_BANANA = f"(SELECT id FROM passages WHERE document_id = {BANANA} LIMIT 1)"
DAMAGE = {
    "text": (f"UPDATE texts SET text = text || '!' WHERE document_id = {BANANA}", False),
    "title": (f"UPDATE documents SET title = 'x' WHERE id = {BANANA}", True),
    "span": (f"UPDATE passages SET start = start + 1 WHERE id = {OF_BANANA}", True),
    "words": (
        f"UPDATE sentences SET clean = 'No.' WHERE passage_id = {OF_BANANA} AND ordinal = 0", True,
    ),
    "vector": (f"UPDATE vectors SET passage = zeroblob(1536) WHERE passage_id = {OF_BANANA}", True),
    "half vectors": (
        f"UPDATE vectors SET sentences = zeroblob(1536) WHERE passage_id = {OF_BANANA}", True,
    ),
    "file": ("UPDATE files SET sha256 = 'x' WHERE path = 'banana.txt'", False),
    "hidden": (f"UPDATE documents SET live = 0 WHERE id = {BANANA}", False),
    "published": (f"UPDATE documents SET published = 7 WHERE id = {BANANA}", False),
    "search words": (f"UPDATE lexical_content SET c0 = 'x' WHERE id = {OF_BANANA}", False),
    "facts": ("UPDATE meta SET value = '9' WHERE key = 'generation'", False),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_mended_embedding_no_more_than_is_needed(
    docs: Path, tmp_path: Path, name: str
) -> None:
    statement, embed = DAMAGE[name]
    sql(tmp_path, statement)
    if name == "facts":
        with pytest.raises(IndexUnusable, match="facts"):
            open_index(tmp_path / "index")
    else:
        assert wrong(tmp_path) != []
    report = mend(tmp_path, docs, embed=embed)
    assert report.mended
    assert report.embedded == (3 if embed else 0)
    store = open_index(tmp_path / "index")
    assert {d.path: store.text(d.id) for d in store.documents()} == {
        f"{name}.txt": TEXT.format(name) for name in NAMES
    }
    assert len(store.lexical_search(["banana"], 10)) == 1
    store.close()


def test_a_wrong_page_is_never_cited_and_is_read_again(tmp_path: Path, build: IndexBuilder) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf("The apple comes first.", "The banana is on the second."))
    build(folder)
    for column, value in (("page", "9"), ("label", "'p. 9'"), ("sum", "0")):
        sql(tmp_path, f"UPDATE places SET {column} = {value} WHERE page = 2")
        assert wrong(tmp_path) == ["the rows of a.pdf is not what was written"]
        store = open_index(tmp_path / "index")
        (document,) = store.documents()
        assert store.place(document.id, 0) == Place(0, "p. 1", 1)
        with pytest.raises(IndexUnusable, match="place"):
            store.place(document.id, 10**6)
        with pytest.raises(IndexUnusable, match="place"):
            store.document(document.id)
        store.close()
        assert mend(tmp_path, folder, embed=True).embedded
    sql(tmp_path, "DELETE FROM places WHERE page = 2")
    assert mend(tmp_path, folder, embed=True).embedded
    # What is sound is kept, pages and all, where another document is damaged.
    (folder / "b.txt").write_text(TEXT.format("berry"))
    build(folder)
    sql(tmp_path, "UPDATE documents SET language = 'xx' WHERE format = 'text'")
    assert mend(tmp_path, folder, embed=True).embedded == 3
    store = open_index(tmp_path / "index")
    document = store.documents()[0]
    assert [place.page for place in store.document(document.id).places] == [1, 2]
    store.close()


def test_wrong_text_is_never_quoted(docs: Path, tmp_path: Path) -> None:
    sql(tmp_path, DAMAGE["text"][0])
    store = open_index(tmp_path / "index")
    ids = {document.path: document.id for document in store.documents()}
    assert store.text(ids["apple.txt"]) == TEXT.format("apple")
    with pytest.raises(IndexUnusable, match=r"banana\.txt is not what was stored") as caught:
        store.text(ids["banana.txt"])
    assert "rag index --check" in caught.value.hint
    store.close()


@pytest.mark.parametrize("name", ["span", "words", "half vectors"])
def test_wrong_rows_are_never_shown(docs: Path, tmp_path: Path, name: str) -> None:
    store = open_index(tmp_path / "index")
    (passage,) = (id_ for id_, _ in store.lexical_search(["banana"], 5))
    document = store.hit(passage, 0.0, {}, {}).document.id
    store.close()
    sql(tmp_path, DAMAGE[name][0])
    store = open_index(tmp_path / "index")
    with pytest.raises(IndexUnusable, match="damaged"):
        store.hit(passage, 0.0, {}, {})
        store.sentence_vectors(passage)
    if name != "half vectors":
        with pytest.raises(IndexUnusable, match="not what was stored"):
            store.sentence_before(document, 10**6)
    store.close()


def test_what_no_file_holds_any_more_is_named(docs: Path, tmp_path: Path) -> None:
    sql(tmp_path, DAMAGE["text"][0])
    (docs / "banana.txt").unlink()
    (docs / "apple.txt").unlink()
    report = mend(tmp_path, docs, embed=False)
    assert (report.lost, report.removed) == (("banana.txt",), ("apple.txt",))
    # The only copy of its words that is left.
    assert damaged_text(tmp_path, "banana") == TEXT.format("banana") + "!"


def damaged_text(tmp_path: Path, name: str) -> str:
    """What the damaged file that was kept holds of a document."""
    database = sqlite3.connect(tmp_path / "index" / KEPT)
    ((text,),) = database.execute("SELECT text FROM texts WHERE text LIKE ?", (f"%{name}%",))
    database.close()
    return str(text)


def test_a_kept_file_stays_until_another_is_there(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = tmp_path / "index" / KEPT
    kept.write_text("earlier")
    sql(tmp_path, DAMAGE["text"][0])
    monkeypatch.setattr(os, "link", no_links)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(OutOfResources, match="No space left"):
            mend(tmp_path, docs, embed=False)
    assert kept.read_text() == "earlier"
    assert wrong(tmp_path) == ["the text of banana.txt is not what was written"]
    mend(tmp_path, docs, embed=False)
    assert damaged_text(tmp_path, "banana") == TEXT.format("banana") + "!"


def test_a_damaged_document_waits_for_its_folder_to_return(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "dates.txt").write_text(TEXT.format("dates"))
    build(other)
    sql(tmp_path, DAMAGE["text"][0])
    docs.rename(tmp_path / "away")
    report = build(other)
    assert "1 to be read again" in report.mended
    assert wrong(tmp_path) == ["1 documents wait for their files to be read again: banana.txt"]
    assert report.counts["documents"] == 3
    (tmp_path / "away").rename(docs)
    report = mend(tmp_path, docs, embed=False)
    assert report.counts["documents"] == 4


def test_an_index_that_cannot_be_opened_is_made_anew_and_the_damaged_file_is_kept(
    docs: Path, tmp_path: Path
) -> None:
    file = tmp_path / "index" / DATABASE
    data = file.read_bytes()
    file.write_bytes(b"\x00" * 4096 + data[4096:])
    with pytest.raises(IndexUnusable, match="damaged"):
        open_index(tmp_path / "index")
    report = mend(tmp_path, docs, embed=True)
    assert report.counts["documents"] == 3
    assert (tmp_path / "index" / "rag.sqlite.damaged").read_bytes()[4096:] == data[4096:]


def test_an_incomplete_file_is_not_put_in_place(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql(tmp_path, DAMAGE["text"][0])
    before = (tmp_path / "index" / DATABASE).read_bytes()
    reader: list[sqlite3.Connection] = []

    def unfolded(store: Writer, name: str) -> None:
        """As on a full disk: a part of the log cannot be brought in."""
        store.rows("PRAGMA busy_timeout = 0")
        reader.append(sqlite3.connect(tmp_path / "index" / name, isolation_level=None))
        reader[0].execute("BEGIN")
        reader[0].execute("SELECT * FROM meta").fetchall()
        with store.transaction():
            store.set_facts({"x": "y"})
        fold(store, name)

    fold = Writer.fold
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "fold", unfolded)
        with pytest.raises(OutOfResources):
            mend(tmp_path, docs, embed=False)
    reader[0].close()
    assert (tmp_path / "index" / DATABASE).read_bytes() == before
    assert mend(tmp_path, docs, embed=False).mended


def test_mending_that_was_killed_goes_on(docs: Path, tmp_path: Path, build: IndexBuilder) -> None:
    index = tmp_path / "index"
    shutil.copy(index / DATABASE, tmp_path / "sound")
    (index / "rag.sqlite.mending").write_bytes(b"half a file")
    build(docs)
    assert not (index / "rag.sqlite.mending").exists()
    # Complete, and killed before it had its name: it is the index.
    shutil.copy(tmp_path / "sound", index / "rag.sqlite.mended")
    (index / DATABASE).write_bytes(b"\x00" * 1000)
    assert mend(tmp_path, docs, embed=False).unchanged == 3
