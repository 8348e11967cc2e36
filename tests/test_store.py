"""One SQLite file: what it gives back, what damage becomes, who may write."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import invoke
from conftest import SEEDS, IndexBuilder

from rag import files
from rag.backends.embed import HashEmbedder
from rag.commands import doctor
from rag.commands.doctor import index_status
from rag.config import Settings
from rag.documents.split import embedding_text
from rag.errors import IndexBusy, IndexUnusable, OutOfResources, RagError
from rag.storage import soundness
from rag.storage.database import DATABASE, is_index
from rag.storage.soundness import problems
from rag.storage.store import Store, open_index
from rag.storage.writing import locked, writing


@pytest.fixture
def index(shared_index: Path, tmp_path: Path) -> Path:
    """A copy of the index of the seeds, where ``build`` looks for it."""
    return shutil.copytree(shared_index, tmp_path / "index")


def every_read(store: Store) -> None:
    """Touch every table, as the questions do."""
    store.counts()
    store.acronyms()
    for document in store.documents():
        store.text(document.id)
        store.sentence_before(document.id, 10**9)
    for passage_id in store.passage_vectors()[0]:
        store.hit(int(passage_id), 0.0, {}, {})
        store.sentence_vectors(int(passage_id))
    store.lexical_search(["china", "russia"], 100)
    store.passage_frequency(["china"])


def test_what_was_stored_comes_back(shared_index: Path) -> None:
    embedder = HashEmbedder()
    store = open_index(shared_index)
    assert store.generation == 1
    assert store.counts()["documents"] == len(store.documents()) == 5
    ids, vectors = store.passage_vectors()
    assert vectors.shape == (store.counts()["passages"], embedder.dimension)
    assert list(ids) == sorted(set(ids))
    sentences = 0
    for passage_id, vector in zip(ids, vectors, strict=True):
        hit = store.hit(int(passage_id), 0.5, {"dense": 1}, {"dense": 0.9})
        text = store.text(hit.document.id)
        assert text == (SEEDS / hit.document.path).read_bytes().decode()
        assert hit.line_start == text[: hit.passage.start].count("\n") + 1
        assert hit.line_end == text[: hit.passage.end].count("\n") + 1
        expected = embedder.embed([embedding_text(hit.passage, hit.document.title)])[0]
        np.testing.assert_array_equal(vector, expected)
        own = store.sentence_vectors(int(passage_id))
        cleans = [sentence.clean for sentence in hit.passage.sentences]
        np.testing.assert_allclose(own, embedder.embed(cleans), atol=1e-3)
        sentences += len(cleans)
        second = hit.passage.sentences[-1]
        before = store.sentence_before(hit.document.id, second.start)
        assert before is None or before.start < second.start
    assert sentences == store.counts()["sentences"]
    assert problems(store, thorough=True) == []
    store.close()


def test_frequencies_count_passages_and_fold_accents(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The café met the Café owner. They spoke.")
    (docs / "b.txt").write_text("A cafe in Zürich was closed on Monday.")
    build(docs)
    store = open_index(tmp_path / "index")
    wanted = ["café", "cafe", "zürich", "owner", "absent"]
    assert store.passage_frequency(wanted) == dict(zip(wanted, (2, 2, 1, 1, 0), strict=True))
    found = store.lexical_search(["café"], 10)
    assert len(found) == 2
    assert found[0][1] >= found[1][1] > 0
    assert store.lexical_search([], 10) == []
    store.close()


# -- damage -------------------------------------------------------------------------------------


def test_no_index_and_half_an_index(tmp_path: Path) -> None:
    with pytest.raises(IndexUnusable, match="no index in") as caught:
        open_index(tmp_path)
    assert "rag index" in caught.value.hint
    assert not is_index(tmp_path)
    with writing(tmp_path):
        pass
    assert is_index(tmp_path)
    with pytest.raises(IndexUnusable, match="was never finished"):
        open_index(tmp_path)


def test_an_index_that_is_being_made_says_by_whom(tmp_path: Path) -> None:
    said = rf"process {os.getpid()} \(since \d\d:\d\d\) is making the index .*: 0 documents so far"
    with locked(tmp_path):
        os.utime(tmp_path / "lock", (0, 0))
        with pytest.raises(IndexBusy, match=r"since 1970-01-01 \d\d:\d\d\)"):
            open_index(tmp_path)
    with writing(tmp_path):
        with pytest.raises(IndexBusy, match=said) as caught:
            open_index(tmp_path)
        assert "rag status" in caught.value.hint
        status = invoke("status", "--index", str(tmp_path))
        assert isinstance(status.exception, IndexBusy)
    with pytest.raises(IndexUnusable, match="never finished"):
        open_index(tmp_path)


def overwrite(data: bytearray, share: float, junk: bytes) -> None:
    at = int(len(data) * share)
    data[at : at + len(junk)] = junk[: len(data) - at]


DAMAGE: dict[str, Callable[[bytearray], None]] = {
    "header": lambda data: overwrite(data, 0.0, b"\x00" * 100),
    "schema page": lambda data: overwrite(data, 100 / len(data), b"\xff" * 3000),
    "empty": lambda data: data.clear(),
    "half": lambda data: data.__delitem__(slice(len(data) // 2, None)),
    "text": lambda data: data.__setitem__(slice(None), b"not a database\n" * 1000),
    **{
        f"{percent} %": lambda data, share=percent / 100: overwrite(data, share, b"\xa5" * 9000)  # type: ignore[misc]
        for percent in range(10, 100, 16)
    },
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_noticed_and_never_a_traceback(
    index: Path, build: IndexBuilder, damage: Callable[[bytearray], None]
) -> None:
    data = bytearray((index / DATABASE).read_bytes())
    damage(data)
    (index / DATABASE).write_bytes(data)
    try:
        store = open_index(index)
    except IndexUnusable as error:
        assert "rag index" in error.hint
    else:
        assert problems(store, thorough=True) != []
        try:
            every_read(store)
        except RagError as error:
            assert isinstance(error, IndexUnusable)
        store.close()
    build(SEEDS)
    store = open_index(index)
    assert problems(store, thorough=True) == []
    every_read(store)
    assert {document.path: store.text(document.id) for document in store.documents()} == {
        file.name: file.read_bytes().decode() for file in SEEDS.glob("*.txt")
    }
    store.close()


def test_another_version_is_refused_with_a_hint(index: Path, build: IndexBuilder) -> None:
    with sqlite3.connect(index / DATABASE) as database:
        database.executescript(  # as the first version left it
            "DROP TABLE texts; DELETE FROM meta WHERE key = 'sum';"
            "UPDATE meta SET value = '1' WHERE key = 'schema'"
        )
    database.close()
    for attempt in (lambda: open_index(index), lambda: build(SEEDS)):
        with pytest.raises(IndexUnusable, match="version") as caught:
            attempt()
        assert str(index) in caught.value.hint
        assert "delete" in caught.value.hint


# -- writers ------------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_is_first(tmp_path: Path) -> None:
    with (
        writing(tmp_path),
        pytest.raises(IndexBusy, match=f"process {os.getpid()} ") as caught,
        writing(tmp_path),
    ):
        pass
    assert caught.value.exit_code == 6
    with writing(tmp_path):
        pass

    code = (
        "import sys, pathlib; from rag.storage.writing import writing\n"
        "with writing(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=SEEDS.parent,
    )  # fmt: skip
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(IndexBusy, match=f"process {holder.pid} "), writing(tmp_path):
            pass
        holder.kill()
        holder.wait(10)
        with writing(tmp_path) as store:  # the lock dies with its holder
            assert store.generation == 0


def test_a_writer_is_named_as_soon_as_it_has_said_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WAIT", 60)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, check=True).stdout.strip()  # fmt: skip
    lock = tmp_path / "lock"
    for stale in (b"", ended, b"9" * 30):
        lock.write_bytes(stale)
        with lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            later = threading.Timer(0.1, lock.write_text, [str(os.getpid())])
            later.start()
            with pytest.raises(IndexBusy, match=f"process {os.getpid()} "), writing(tmp_path):
                pass
            later.join()
    lock.write_bytes(b"")
    with lock.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.1, file.close).start()
        with writing(tmp_path):  # who only looked is waited for
            pass
    monkeypatch.setattr(files, "_WAIT", 0.1)
    with lock.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(IndexBusy, match="another process "), writing(tmp_path):
            pass
    with writing(tmp_path):
        assert lock.read_text() == str(os.getpid())
    assert not lock.read_bytes(), "the next writer is not taken for this one"


def test_a_reader_keeps_its_generation(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("The first text stands here.")
    build(docs)
    early = open_index(tmp_path / "index")
    (docs / "a.txt").write_text("The second text stands here.")
    start = time.monotonic()
    build(docs)
    assert time.monotonic() - start < 5, "a writer waits for no reader"
    late = open_index(tmp_path / "index")
    for store, generation, word in ((early, 1, "first"), (late, 2, "second")):
        assert store.generation == generation
        assert re.search(word, store.text(store.documents()[0].id))
        assert len(store.lexical_search([word], 5)) == 1
        store.close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexUnusable, match="cannot be written"), writing(tmp_path / "file" / "x"):
        pass


def test_what_is_not_the_fault_of_the_file_is_not_called_damage(index: Path) -> None:
    with writing(index) as store:
        store.rows("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(index / DATABASE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexBusy, match="locked"), store.transaction():
            raise AssertionError("another process writes")
        other.close()
        ((pages,),) = store.rows("PRAGMA page_count")
        store.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OutOfResources, match="full"), store.transaction():
            store.set_facts({"x": "y" * 100_000})
    (index / f"{DATABASE}-wal").mkdir()
    with pytest.raises(IndexUnusable, match="cannot be read: unable to open"):
        open_index(index).rows("SELECT * FROM meta")


def test_a_look_at_the_index_and_a_writer_do_not_lock_each_other(index: Path) -> None:
    settings = Settings(index=str(index), embedder="hash", llm="extractive")
    assert index_status(settings).checked == "every row"
    with locked(index):
        state = index_status(settings)
        assert state.sound
        assert state.checked.startswith("every row but the search by words")


def test_the_structure_is_looked_at_unless_the_index_is_very_large(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(index / DATABASE) as database:
        ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sketches'")
        ((size,),) = database.execute("PRAGMA page_size")
    database.close()
    data = bytearray((index / DATABASE).read_bytes())
    data[(page - 1) * size : page * size] = b"\xa5" * size
    (index / DATABASE).write_bytes(data)
    store = open_index(index)
    assert problems(store, thorough=False) != []
    monkeypatch.setattr(soundness, "LARGE", 0)
    assert problems(store, thorough=False) == []
    assert problems(store, thorough=True) != []
    store.close()


def test_what_was_looked_at_is_said(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(index=str(index), embedder="hash", llm="extractive")
    monkeypatch.setattr(doctor, "SMALL", 0)
    assert index_status(settings).checked.startswith("the structure;")
    monkeypatch.setattr(doctor, "LARGE", 0)
    assert index_status(settings).checked.startswith("the facts and the FAISS files;")


def test_an_index_in_a_folder_that_cannot_be_written_is_read(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(file.name for file in index.iterdir())
    # Permissions do not bind root, who may run the tests.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    store = open_index(index)
    assert store.document_count()
    assert sorted(file.name for file in index.iterdir()) == before, "nothing is made beside it"
    store.close()
    # What stands in the log alone is not passed over.
    monkeypatch.undo()
    writer = sqlite3.connect(index / DATABASE)
    with writer:
        writer.execute("UPDATE documents SET title = 'in the log' WHERE live")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    store = open_index(index)
    assert {document.title for document in store.documents()} == {"in the log"}
    store.close()
    writer.close()
