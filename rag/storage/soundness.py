"""Is every row of the index what was written? Checks only; mending.py mends.

SQLite checks its structure; the checksums that were stored with each row say whether its content
is what was written; the lexical index and the FAISS files must hold exactly the live passages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from rag.errors import IndexUnusable
from rag.storage import dense
from rag.storage.database import DATABASE
from rag.storage.store import IndexedFile, Store
from rag.storage.sums import bytes_sum, is_text_of, passage_sum, place_sum
from rag.storage.writing import DocumentRows, document_sum, file_sum

SMALL = 200_000_000  # bytes; a smaller index is looked at in full whenever it is written
INCOMPLETE = "the FAISS files do not hold the live passages"
LARGE = 1_000_000_000  # bytes; the structure of a larger one is looked at only when that is asked
_SHOWN = 5
_ROW = "content, recipe, encoding, title, date, author, language, format, passages, sentences"
Row = tuple[Any, ...]


def document_ids(store: Store) -> list[int]:
    """Every document that any table knows of, as far as the tables can be read."""
    found: set[int] = set()
    for query in (
        "SELECT id FROM documents",
        "SELECT id FROM documents ORDER BY id DESC",
        "SELECT DISTINCT document_id FROM files WHERE document_id NOT NULL",
        "SELECT DISTINCT document_id FROM passages",
    ):
        # A damaged page may hold anything.
        found.update(row[0] for row in store.readable(query) if isinstance(row[0], int))
    return sorted(found)


def intact(store: Store, document_id: int) -> DocumentRows | None:
    """The rows of a document, or None where one of them is not what was written."""
    try:
        head = store.rows(f"SELECT {_ROW}, sum FROM documents WHERE id = ?", document_id)
        acronyms = store.rows(
            "SELECT short, long FROM acronyms WHERE document_id = ? ORDER BY rowid", document_id
        )
        stored = store.rows(
            "SELECT start, label, page, sum FROM places WHERE document_id = ? ORDER BY start",
            document_id,
        )
        passages = store.rows(
            'SELECT id, document_id, start, "end", line_start, line_end, heading, sum'
            " FROM passages WHERE document_id = ? ORDER BY id",
            document_id,
        )
        sentences = store.rows(
            'SELECT passage_id, ordinal, sentences.start, sentences."end", clean FROM sentences'
            " JOIN passages ON id = passage_id WHERE document_id = ? ORDER BY passage_id, ordinal",
            document_id,
        )
        vectors = store.rows(
            "SELECT passage_id, passage, passage_sum, sentences, sentences_sum FROM vectors"
            " JOIN passages ON id = passage_id WHERE document_id = ? ORDER BY passage_id",
            document_id,
        )
        if any(place_sum(document_id, place) != sum_ for *place, sum_ in stored):
            return None
        places = [tuple(place) for *place, _ in stored]
        if len(head) != 1 or document_sum(head[0][:-1], acronyms, places) != head[0][-1]:
            return None
        if (len(passages), len(sentences)) != head[0][-3:-1] or len(vectors) != len(passages):
            return None
        said: dict[int, list[Row]] = {row[0]: [] for row in passages}
        for passage_id, _, *sentence in sentences:
            said[passage_id].append(tuple(sentence))
        for (id_, *row, sum_), (_, whole, whole_sum, each, each_sum) in zip(
            passages, vectors, strict=True
        ):
            if passage_sum(id_, row, said[id_]) != sum_:
                return None
            if (bytes_sum(whole), bytes_sum(each)) != (whole_sum, each_sum):
                return None
    except (IndexUnusable, TypeError, KeyError, ValueError):
        return None
    return DocumentRows(head[0], acronyms, places, passages, sentences, vectors)


def intact_text(store: Store, document_id: int, content: str) -> str | None:
    """The text of a document, or None where it is not what was written."""
    try:
        rows = store.rows("SELECT text FROM texts WHERE document_id = ?", document_id)
    except (IndexUnusable, UnicodeDecodeError):
        return None
    return rows[0][0] if rows and is_text_of(str(rows[0][0]), content) else None


def intact_files(store: Store) -> tuple[dict[str, IndexedFile], int]:
    """Files whose rows are what was written, and how many are not."""
    found: dict[str, IndexedFile] = {}
    bad = 0
    for path, root, sha256, content, seen, sum_ in store.readable(
        "SELECT path, root, sha256, content, seen, sum FROM files"
    ):
        file = IndexedFile(root, sha256, content, seen, "")
        if file_sum(path, file) == sum_:
            found[path] = file
        else:
            bad += 1
    return found, bad


def problems(
    store: Store, *, thorough: bool, words: bool = True, derived: bool = True
) -> list[str]:
    """What is not as it was written; empty where the index is sound.

    Args:
        store: An open index.
        thorough: Look at every row; else at the structure only, which SQLite does in about 0.3 s
            for each 100 MB, and of a large index not at that.
        words: Have FTS5 look at the lexical index too where it is thorough: only for who holds the
            writer's lock, or a writer finds the index locked.
        derived: Look at the FAISS files too, which a thorough look always does.
    """
    try:
        looked = thorough or size(store) < LARGE
        found = [*_structure(store, thorough=thorough)] if looked else []
        if thorough and words:
            found += word_problems(store)
        store.facts()
        if thorough and not found:
            found += _rows(store)
        stale = dense.problem(store) if derived or thorough else ""
        if stale:
            found.append(stale)
        elif thorough and not found and not dense.complete(store):
            found.append(INCOMPLETE)
    except IndexUnusable as error:
        found = [error.message]
    except (TypeError, ValueError, KeyError) as error:
        found = [f"{DATABASE}: a page holds what was never written: {error}"]
    return found


def _structure(store: Store, *, thorough: bool) -> Iterator[str]:
    check = "integrity_check" if thorough else "quick_check"
    for (said,) in store.rows(f"PRAGMA {check}({_SHOWN})"):
        if said != "ok":
            yield f"{DATABASE}: {said}".replace("\n", " ")


def size(store: Store) -> int:
    """Bytes of the SQLite file."""
    return (store.folder / DATABASE).stat().st_size


def word_problems(store: Store) -> Iterator[str]:
    """FTS5's own check, which only a writer may ask for: for who holds the writer's lock."""
    try:
        connection = sqlite3.connect(
            f"{(store.folder / DATABASE).resolve().as_uri()}?mode=rw", uri=True,
            isolation_level=None, timeout=0,
        )  # fmt: skip
    except sqlite3.Error:
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO lexical(lexical) VALUES('integrity-check')")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "readonly" not in str(error):
            yield f"lexical index: {error}"
    except sqlite3.DatabaseError as error:
        yield f"lexical index: {error}"
    finally:
        connection.close()


def _rows(store: Store) -> Iterator[str]:
    files, bad = intact_files(store)
    if bad:
        yield f"{bad} rows of files are not what was written"
    live = {row[0] for row in store.rows("SELECT id FROM documents WHERE live")}
    rows = [id_ for id_ in live if intact(store, id_) is None]
    texts = [
        id_
        for id_, content in store.rows("SELECT id, content FROM documents WHERE live")
        if intact_text(store, id_, content) is None
    ]
    for what, ids in (("rows", rows), ("text", texts)):
        if ids:
            yield f"the {what} of {_named(store, ids)} not what was written"
    waiting = [path for path, file in store.files().items() if not file.recipe]
    if waiting:
        yield f"{len(waiting)} documents wait for their files to be read again: {waiting[0]}"
    facts = store.facts()
    if store.rows("SELECT 1 FROM documents WHERE published > ?", store.generation):
        yield "documents are of a generation that is not there yet"
    if any(facts.get(key) != str(value) for key, value in store.counts().items()):
        yield "documents, passages or sentences are missing"
    linked = {
        row[0] for row in store.rows("SELECT document_id FROM files WHERE document_id NOT NULL")
    }
    contents = dict(
        store.rows("SELECT path, documents.content FROM files JOIN documents ON id = document_id")
    )
    if linked != live or any(
        contents[path] != files[path].content for path in contents if path in files
    ):
        yield "files and documents do not match"
    words = store.rows(
        "SELECT (SELECT count(*) FROM lexical_docsize),"
        " (SELECT count(*) FROM lexical_docsize JOIN passages ON passages.id = lexical_docsize.id"
        " JOIN documents ON documents.id = document_id WHERE live)"
    )
    if words != [(int(facts.get("passages", 0)),) * 2]:
        yield "the lexical index does not hold the live passages"


def _named(store: Store, ids: Iterable[int]) -> str:
    listed = sorted(ids)
    paths = [
        path
        for id_ in listed[:_SHOWN]
        for (path,) in store.rows("SELECT min(path) FROM files WHERE document_id = ?", id_)
    ]
    more = f" and {len(listed) - len(paths)} more" if len(listed) > len(paths) else ""
    return f"{', '.join(map(str, paths))}{more}" + (" are" if len(listed) > 1 else " is")
