"""STORY 1: what a run adds, keeps and drops, and what is left of one that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SEEDS, IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.errors import IndexBusy, IndexUnusable, InputUnreadable
from rag.indexing import IndexReport, build_index
from rag.records import Embedder, FloatMatrix, Skipped
from rag.storage import staging
from rag.storage.database import DATABASE
from rag.storage.dense import FILE
from rag.storage.store import Store, open_index
from rag.storage.writing import writing

TEXT = "# About {0}\n\nThe {0} stands in its own file. It is mentioned here as {0} again.\n"


class HalfEmbedder(HashEmbedder):
    """Another vector space of another width."""

    name = "half"
    dimension = 192


def never() -> Embedder:
    raise AssertionError("the embedder was opened")


def write(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEXT.format(name))
    return folder


def texts_of(index: Path) -> dict[str, str]:
    store = open_index(index)
    try:
        return {document.path: store.text(document.id) for document in store.documents()}
    finally:
        store.close()


def check_whole(index: Path) -> None:
    """Nothing staged is left, and every live passage is found by both searches."""
    database = sqlite3.connect(index / DATABASE)
    try:
        one = database.execute
        assert one("SELECT count(*) FROM documents WHERE NOT live").fetchone() == (0,)
        passages = {row[0] for row in one("SELECT id FROM passages")}
        assert {row[0] for row in one("SELECT rowid FROM lexical")} == passages
        orphans = "SELECT count(*) FROM sentences WHERE passage_id NOT IN (SELECT id FROM passages)"
        assert one(orphans).fetchone() == (0,)
        assert one("SELECT DISTINCT length(passage) FROM vectors").fetchall() in ([], [(4 * 384,)])
    finally:
        database.close()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", "apple", "banana", "sub/cherry")


def test_a_second_run_embeds_nothing_and_opens_no_embedder(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    told: list[tuple[str, int, int]] = []
    first = build(docs, progress=lambda *args: told.append(args))
    assert first.added == ("apple.txt", "banana.txt", "sub/cherry.txt")
    assert (first.generation, first.changed, first.removed, first.unchanged) == (1, (), (), 0)
    assert first.counts == {"documents": 3, "passages": 3, "sentences": 6}
    assert first.embedded == 9
    assert told == [*[(path, n, 3) for n, path in enumerate(first.added)], ("", 3, 3)]
    before = (tmp_path / "index" / FILE).read_bytes()
    for roots in ([docs], []):
        again = build_index(
            roots,
            folder=tmp_path / "index",
            open_embedder=never,
            embedder_name="hash",
            max_bytes=10**6,
        )
        assert again == IndexReport(1, unchanged=3, counts=first.counts)
    assert (tmp_path / "index" / FILE).read_bytes() == before


def test_only_what_changed_is_embedded_and_what_is_gone_leaves(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    (docs / "banana.txt").write_text("The banana turned brown.")
    report = build(docs)
    assert (report.generation, report.changed, report.unchanged) == (2, ("banana.txt",), 2)
    assert report.embedded == 2, "one passage of one sentence"
    (docs / "apple.txt").unlink()
    report = build(docs)
    assert (report.generation, report.removed, report.embedded) == (3, ("apple.txt",), 0)
    assert texts_of(tmp_path / "index") == {
        "banana.txt": "The banana turned brown.",
        "sub/cherry.txt": TEXT.format("sub/cherry"),
    }
    store = open_index(tmp_path / "index")
    assert store.lexical_search(["appl"], 5) == []
    assert len(store.lexical_search(["brown"], 5)) == 1
    store.close()
    check_whole(tmp_path / "index")


def test_what_cannot_be_read_any_more_keeps_its_earlier_text(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    (docs / "apple.txt").write_bytes(b"\x00" * 100)
    (docs / "banana.txt").unlink()
    os.mkfifo(docs / "banana.txt")
    (docs / "sub" / "cherry.txt").unlink()
    (docs / "sub" / "cherry.txt").symlink_to(docs / "nowhere.txt")
    report = build(docs)
    assert (report.generation, report.unchanged, report.removed) == (1, 3, ())
    assert set(report.skipped) == {
        Skipped("apple.txt", "binary, not text; its earlier text stays"),
        Skipped("banana.txt", "not a regular file; its earlier text stays"),
        Skipped(
            "sub/cherry.txt", "cannot be read: No such file or directory; its earlier text stays"
        ),
    }
    # With another embedder the kept texts are embedded again: one index, one vector space.
    build_index(
        [docs],
        folder=tmp_path / "index",
        open_embedder=HalfEmbedder,
        embedder_name="half",
        max_bytes=10**6,
    )
    store = open_index(tmp_path / "index")
    assert store.passage_vectors()[1].shape == (3, 192)
    assert (store.meta("embedder"), store.meta("dimension")) == ("half", "192")
    assert store.text(store.documents()[0].id) == TEXT.format("apple")
    store.close()


def test_two_roots_live_together_until_one_replaces_the_other(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    other = write(tmp_path / "other", "dates", "apple")
    build(docs)
    report = build(other)
    assert (report.added, report.removed) == (("dates.txt", "other/apple.txt"), ())
    assert (report.unchanged, report.skipped) == (0, ())
    assert set(build(docs, other).copies) == {("apple.txt", "other/apple.txt")}
    report = build(other, replace=True)
    assert report.removed == ("apple.txt", "banana.txt", "sub/cherry.txt")
    assert set(texts_of(tmp_path / "index")) == {"other/apple.txt", "dates.txt"}
    assert build(other).skipped == ()
    (other / "apple.txt").unlink()
    assert build(other).removed == ("other/apple.txt",)
    check_whole(tmp_path / "index")


def test_files_of_one_name_keep_apart(docs: Path, tmp_path: Path, build: IndexBuilder) -> None:
    """Whatever the order of the folders, and whichever of them goes."""
    other, third = tmp_path / "b" / "other", tmp_path / "a" / "other"
    for folder in (other, third):
        folder.mkdir(parents=True)
        (folder / "apple.txt").write_text(f"Quite another text, of {folder}.")
    assert build(docs / "apple.txt", other / "apple.txt", third).added == (
        "a/other/apple.txt", "apple.txt", "other/apple.txt",
    )  # fmt: skip
    names = {
        "apple.txt": "docs", "other/apple.txt": str(other), "a/other/apple.txt": str(third),
    }  # fmt: skip
    texts = texts_of(tmp_path / "index")
    assert set(texts) == set(names)
    assert all(names[path] in texts[path] or path == "apple.txt" for path in names)
    for roots in ([], [third, other, docs / "apple.txt"], [third], [other / "apple.txt"]):
        report = build(*roots)
        assert (report.added, report.changed, report.removed, report.skipped) == ((),) * 4, roots
    (docs / "apple.txt").unlink()
    assert build(docs, other).removed == ("apple.txt",)
    assert set(texts_of(tmp_path / "index")) == {
        "banana.txt", "sub/cherry.txt", "other/apple.txt", "a/other/apple.txt",
    }, "what is left keeps its name"  # fmt: skip
    (other / "apple.txt").unlink()
    (other / "apple.txt").symlink_to("/etc/passwd")
    report = build(other)
    assert report.skipped[0].path == "other/apple.txt"
    assert "its earlier text stays" in report.skipped[0].reason
    (other / "apple.txt").unlink()
    (other / "apple.txt").write_text("Now it is new.")
    assert build(other).changed == ("other/apple.txt",)


def test_a_folder_that_moved_embeds_nothing(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    docs.rename(tmp_path / "moved")
    with pytest.raises(InputUnreadable, match="no such file or folder"):
        build()
    report = build(tmp_path / "moved")
    assert (report.generation, report.embedded, report.unchanged) == (1, 0, 3)
    assert build() == report, "the index knows where its documents are now"


def test_a_folder_that_is_away_keeps_its_documents(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    build(docs)
    docs.rename(tmp_path / "unplugged")
    other = write(tmp_path / "other", "dates")
    (other / "apple.txt").write_text("Quite another text of the same name.")
    report = build(other)
    assert (report.added, report.changed) == (("dates.txt", "other/apple.txt"), ())
    assert report.skipped == ()
    assert texts_of(tmp_path / "index")["apple.txt"] == TEXT.format("apple")
    (tmp_path / "unplugged").rename(docs)
    assert build(docs).unchanged == 3


def test_a_file_and_then_its_folder(docs: Path, tmp_path: Path, build: IndexBuilder) -> None:
    build(docs / "apple.txt")
    report = build(docs)
    assert (report.added, report.unchanged, report.skipped) == (
        ("banana.txt", "sub/cherry.txt"),
        1,
        (),
    )


def test_nothing_readable_is_refused_and_the_index_stays(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.txt").write_bytes(b"\x00")
    with pytest.raises(InputUnreadable, match=r"no document can be read in .*empty$"):
        build(tmp_path / "empty")
    build(docs)
    with pytest.raises(InputUnreadable, match=r"1 skipped: x\.txt: binary, not text"):
        build(tmp_path / "bad")
    with pytest.raises(InputUnreadable, match="no such file or folder"):
        build(tmp_path / "absent")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputUnreadable, match=r"no such file or folder|Too many levels"):
        build(tmp_path / "loop")
    assert len(texts_of(tmp_path / "index")) == 3


def test_another_embedder_embeds_all_of_it_or_nothing(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    other = write(tmp_path / "other", "dates")
    build(docs, other)

    def with_half(*roots: Path, replace: bool = False) -> IndexReport:
        return build_index(
            list(roots),
            folder=tmp_path / "index",
            open_embedder=HalfEmbedder,
            embedder_name="half",
            max_bytes=10**6,
            replace=replace,
        )

    with pytest.raises(IndexUnusable, match="3 documents of other folders") as caught:
        build_index(
            [other],
            folder=tmp_path / "index",
            open_embedder=never,  # it is refused before an hour is spent on embedding
            embedder_name="half",
            max_bytes=10**6,
        )
    assert "--replace" in caught.value.hint
    report = with_half()
    assert (report.generation, len(report.changed), report.embedded) == (2, 4, 12)
    assert len(texts_of(tmp_path / "index")) == 4
    report = with_half(other, replace=True)
    assert (report.generation, len(report.removed)) == (3, 3)


# -- killed -------------------------------------------------------------------------------------

WORKER = """
import os, signal, sys
from pathlib import Path
from rag.storage import staging
from rag.storage.dense import FILE
from rag.backends.embed import HashEmbedder
from rag.indexing import build_index

documents = int(sys.argv[3])
staging._BATCH = 3  # a document of these tests: each is staged alone

def progress(path, done, total):
    if done == documents:
        os.kill(os.getpid(), signal.SIGKILL)

build_index([Path(sys.argv[1])], folder=Path(sys.argv[2]), open_embedder=HashEmbedder,
            embedder_name="hash", max_bytes=10**6, progress=progress)
"""


def killed_run(docs: Path, index: Path, *, after: int) -> None:
    """Index in a process that is killed when it comes to a document."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(docs), str(index), str(after)],
        cwd=SEEDS.parent, check=False, timeout=60, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, build: IndexBuilder) -> None:
    docs, index = tmp_path / "docs", tmp_path / "index"
    write(docs, "old", "kept")
    build(docs)
    before = texts_of(index)
    write(docs, *(f"new{number:02}" for number in range(40)))
    (docs / "old.txt").write_text("The old text has changed.")
    killed_run(docs, index, after=25)
    assert texts_of(index) == before, "the old state is there, whole"
    store = open_index(index)
    assert store.generation == 1
    assert store.lexical_search(["new05"], 5) == []
    store.close()
    report = build(docs)
    assert (report.generation, len(report.added), report.changed) == (2, 40, ("old.txt",))
    assert report.embedded == 16 * 3 + 2, "24 of 41 were staged, in path order"
    assert texts_of(index) == {file.name: file.read_text() for file in docs.iterdir()}
    assert report.counts["documents"] == 42
    check_whole(index)


def test_what_a_killed_run_staged_is_checked_again(tmp_path: Path, build: IndexBuilder) -> None:
    docs, index = write(tmp_path / "docs", "a", "b", "c", "d"), tmp_path / "index"
    killed_run(docs, index, after=3)
    with pytest.raises(IndexUnusable, match="was never finished"):
        open_index(index)
    (docs / "a.txt").unlink()
    (docs / "b.txt").write_text("Quite another text.")
    report = build(docs)
    assert (report.generation, report.added) == (1, ("b.txt", "c.txt", "d.txt"))
    assert report.embedded == 2 + 3
    assert texts_of(index) == {file.name: file.read_text() for file in docs.iterdir()}
    check_whole(index)


def test_a_run_killed_with_all_of_it_staged_needs_no_embedder(tmp_path: Path) -> None:
    docs, index = write(tmp_path / "docs", "a", "b"), tmp_path / "index"
    staged = write(tmp_path / "staged", "a", "b", "c")
    killed_run(staged, index, after=2)
    shutil.rmtree(docs)
    (staged / "c.txt").unlink()
    report = build_index(
        [staged], folder=index, open_embedder=never, embedder_name="hash", max_bytes=10**6
    )
    assert (report.generation, report.embedded, len(report.added)) == (1, 0, 2)
    store = open_index(index)
    assert store.meta("dimension") == "384"
    assert store.passage_vectors()[1].shape == (2, 384)
    store.close()
    check_whole(index)


def test_what_another_embedder_staged_is_never_published(
    docs: Path, tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(docs)
    monkeypatch.setattr(staging, "_BATCH", 1)

    def stop(path: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(
            [docs], folder=tmp_path / "index", open_embedder=HalfEmbedder, embedder_name="half",
            max_bytes=10**6, progress=stop,
        )  # fmt: skip
    database = sqlite3.connect(tmp_path / "index" / DATABASE)
    assert database.execute("SELECT count(*) FROM documents WHERE NOT live").fetchone() == (2,)
    database.close()
    os.utime(docs / "apple.txt", (1, 1))  # only touched
    write(docs, "dates")
    report = build(docs)
    assert (report.added, report.embedded) == (("dates.txt",), 3)
    check_whole(tmp_path / "index")
    assert texts_of(tmp_path / "index").keys() == {
        "apple.txt", "banana.txt", "dates.txt", "sub/cherry.txt",
    }  # fmt: skip


def test_a_second_writer_is_refused_by_name(
    docs: Path, tmp_path: Path, build: IndexBuilder
) -> None:
    with (
        writing(tmp_path / "index") as store,
        pytest.raises(IndexBusy, match=f"process {os.getpid()} "),
    ):
        assert isinstance(store, Store)
        build(docs)
    assert build(docs).generation == 1


def test_odd_documents_are_indexed_or_skipped_but_never_stop_the_run(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs = write(tmp_path / "docs", "good")
    for name, text in {"stars": "***\n", "front": "---\ntitle: x\n---\n", "page": "2\n"}.items():
        (docs / f"{name}.md").write_text(text)
    (docs / "crlf.txt").write_bytes(b"First line here.\r\n\r\nSecond one here.\r\n")
    (docs / "wide.txt").write_bytes("\ufeff经济增长。关系很好。".encode("utf-16"))
    report = build(docs)
    assert report.counts["documents"] == 6
    store = open_index(tmp_path / "index")
    paths = {d.path: d.id for d in store.documents()}
    assert store.text(paths["crlf.txt"]) == "First line here.\r\n\r\nSecond one here.\r\n"
    (found,) = store.lexical_search(["经济"], 5)
    hit = store.hit(found[0], 0.0, {}, {})
    text = store.text(hit.document.id)
    assert [text[s.start : s.end].lstrip("\ufeff") for s in hit.passage.sentences] == [
        "经济增长。",
        "关系很好。",
    ]
    store.close()


def test_small_documents_are_embedded_together(tmp_path: Path) -> None:
    calls: list[int] = []

    class Counted(HashEmbedder):
        def embed(self, texts: list[str]) -> FloatMatrix:
            calls.append(len(texts))
            return super().embed(texts)

    docs = write(tmp_path / "docs", *(f"d{number:03}" for number in range(100)))
    report = build_index(
        [docs], folder=tmp_path / "index", open_embedder=Counted, embedder_name="hash",
        max_bytes=10**6,
    )  # fmt: skip
    assert sum(calls) == report.embedded == 300
    assert len(calls) == 3, "256, then 2 of the same document, and the rest"
    store = open_index(tmp_path / "index")
    embedder = HashEmbedder()
    for document in store.documents():
        (passage,) = store.passage_ids([document.id])
        _, vectors = store.passage_vectors(int(passage), int(passage))
        texts = [f"{other.title}\n{store.text(other.id)}" for other in store.documents()]
        nearest = vectors @ embedder.embed(texts).T
        assert store.documents()[int(nearest.argmax())] == document, "its own vectors"
    store.close()


def test_what_is_gone_from_a_folder_leaves_the_index(tmp_path: Path, build: IndexBuilder) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for file in (a / "one.txt", a / "two.txt", b / "three.txt"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"What stands in {file.name} is short.")
    build(a, b)
    build(a / "two.txt")  # named by itself, it still lies in its folder
    (a / "two.txt").unlink()
    assert build(a).removed == ("two.txt",)
    build(a / "one.txt")
    (a / "four.txt").write_text("What stands in four.txt is short.")
    build(a)
    (a / "one.txt").unlink()
    assert build().removed == ("one.txt",)
    # A folder that is empty all at once may be a disk that is away.
    (b / "three.txt").unlink()
    with pytest.raises(InputUnreadable, match=r"stays \(1\)") as caught:
        build(b)
    assert "--replace" in caught.value.hint
    assert build(a, replace=True).removed == ("three.txt",)


def test_a_folder_that_is_away_keeps_no_other_from_being_refreshed(
    tmp_path: Path, build: IndexBuilder
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for file in (a / "one.txt", b / "two.txt"):
        file.parent.mkdir()
        file.write_text(f"What stands in {file.name} is short.")
    build(a, b)
    b.rename(tmp_path / "c")
    (a / "three.txt").write_text("What stands in three.txt is short.")
    report = build()
    assert (report.added, report.removed) == (("three.txt",), ())
    assert [skip.path for skip in report.skipped] == [str(b)]
    assert report.counts["documents"] == 3
    with pytest.raises(InputUnreadable, match="no such file or folder"):
        build(replace=True)  # that would drop what is only away
    a.rename(tmp_path / "d")
    with pytest.raises(InputUnreadable, match="no such file or folder"):
        build()
