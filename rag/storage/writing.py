"""How an index is written: one writer, who stages documents and then publishes them all at once.

A run first stages its documents (``live = 0``, committed one by one, so that a killed run goes on
where it stopped), then makes them live and others gone in one transaction that raises the
generation. A crash leaves the old or the new state, whole.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rag.clean import line_starts
from rag.documents.split import Split
from rag.errors import IndexBusy, IndexUnusable, RagError
from rag.files import held_by
from rag.records import Document, FloatMatrix
from rag.storage.database import DATABASE, LOCK, connect_to_write, failed, lock_owner, no_space
from rag.storage.schema import SCHEMA, SCHEMA_VERSION
from rag.storage.similar import sketch
from rag.storage.store import IndexedFile, Store
from rag.storage.sums import bytes_sum, content_sum, passage_sum, place_sum, row_sum
from rag.words import terms

Row = tuple[Any, ...]
# Without its text (mending.py) a document waits for its file and is not published.
_STAGED = (
    "SELECT documents.* FROM documents JOIN texts ON document_id = id WHERE live = 0"
    " AND content IN (SELECT content FROM files)"
)
_AT_A_TIME = 1000  # passages whose words are in memory together while they are published


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """Everything that is stored of a document beside its text, all of it as it was written."""

    document: Row
    acronyms: list[Row]
    places: list[Row]
    passages: list[Row]
    sentences: list[Row]
    vectors: list[Row]


class Writer(Store):
    """An index that may be changed; ``writing`` opens it."""

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Record facts, inside a transaction, with their checksum."""
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())
        self._db.execute("DELETE FROM meta WHERE key = 'sum'")
        rows = self._db.execute("SELECT key, value FROM meta")
        self._db.execute(
            "INSERT INTO meta VALUES ('sum', ?)", (str(row_sum(*sorted(rows.fetchall()))),)
        )

    def stage(
        self,
        document: Document,
        parts: Split,
        *,
        recipe: str,
        passage_vectors: FloatMatrix,
        sentence_vectors: FloatMatrix,
    ) -> None:
        """Store a document that is not live yet.

        Args:
            document: What was read.
            parts: Its passages and sentences.
            recipe: Names the splitter and embedder; another recipe means embedding it again.
            passage_vectors: float32 (passages, dimension).
            sentence_vectors: float32 (sentences of all passages in order, dimension).
        """
        starts = line_starts(document.text)
        content, about = content_sum(document), parts.description
        sentences = sum(len(passage.sentences) for passage in parts.passages)
        row = (content, recipe, document.encoding, about.title, about.date, about.author,
               about.language, document.format, len(parts.passages), sentences)  # fmt: skip
        acronyms = [(a.short, a.long) for a in parts.acronyms]
        places = [(p.start, p.label, p.page) for p in document.places]
        with self.transaction():
            self._db.execute("DELETE FROM documents WHERE content = ? AND live = 0", (content,))
            document_id = self._db.execute(
                "INSERT INTO documents (content, recipe, encoding, title, date, author, language,"
                " format, passages, sentences, sum, live)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (*row, document_sum(row, acronyms, places)),
            ).lastrowid
            self._db.execute("INSERT INTO texts VALUES (?, ?)", (document_id, document.text))
            self._db.executemany(
                "INSERT INTO acronyms VALUES (?, ?, ?)", [(document_id, *a) for a in acronyms]
            )
            self._put_places(document_id or 0, places)
            ever = self._row("SELECT max(seq) FROM sqlite_sequence WHERE name = 'passages'")
            passage_id, at = max(int((ever or [0])[0] or 0), self.last_passage()), 0
            for passage, vector in zip(parts.passages, passage_vectors, strict=True):
                passage_id += 1
                span = (document_id, passage.start, passage.end,
                         bisect_right(starts, passage.start),
                         bisect_right(starts, passage.end - 1), passage.heading)  # fmt: skip
                said = [(s.start, s.end, s.clean) for s in passage.sentences]
                self._db.execute(
                    "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (passage_id, *span, passage_sum(passage_id, span, said)),
                )
                self._db.executemany(
                    "INSERT INTO sentences VALUES (?, ?, ?, ?, ?)",
                    [(passage_id, n, *sentence) for n, sentence in enumerate(said)],
                )
                whole = vector.astype(np.float32).tobytes()
                each = sentence_vectors[at : at + len(said)].astype(np.float16).tobytes()
                self._db.execute(
                    "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
                    (passage_id, whole, bytes_sum(whole), each, bytes_sum(each)),
                )
                at += len(said)
            said_ = (s.clean for passage in parts.passages for s in passage.sentences)
            self._db.executemany(
                "INSERT INTO sketches VALUES (?, ?)", [(n, document_id) for n in sketch(said_)]
            )

    def publish(
        self,
        files: Mapping[str, IndexedFile],
        gone: Iterable[str],
        facts: Mapping[str, str],
        *,
        keep: bool = False,
    ) -> int:
        """Make staged documents live and others gone, at once.

        Args:
            files: Path to file of what is new or changed; the content of each is live already
                or staged.
            gone: Paths that leave it.
            facts: What the index now is, beside the generation.
            keep: Documents that stand nowhere stay staged; else they leave the index.

        Returns:
            The new generation.
        """
        generation = self.generation + 1
        with self.transaction():
            self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in gone])
            self._put_files(files)
            # A document that was staged again (another embedder) takes the place of the old one.
            again = self._db.execute(
                f"SELECT old.id, new.id FROM ({_STAGED}) AS new JOIN documents AS old"
                " ON old.content = new.content AND old.live = 1"
            ).fetchall()
            self._db.executemany(
                "UPDATE files SET document_id = ? WHERE document_id = ?",
                [(new, old) for old, new in again],
            )
            self._remove([old for old, _ in again], generation)
            self._db.execute(
                "UPDATE files SET document_id = new.id"
                f" FROM ({_STAGED}) AS new WHERE new.content = files.content"
            )
            nowhere = "SELECT id FROM documents WHERE content NOT IN (SELECT content FROM files)"
            if not keep:
                self._remove([row[0] for row in self._db.execute(nowhere)], generation)
            self._publish_words()
            # From the vectors themselves: a run that goes on after a killed one may embed nothing.
            vector = self._row(
                "SELECT length(vectors.passage) / 4 FROM vectors JOIN passages ON id = passage_id"
                f" WHERE document_id IN (SELECT id FROM ({_STAGED})) LIMIT 1"
            )
            size = {"dimension": str(vector[0])} if vector else {}
            self._db.execute(
                "UPDATE documents SET live = 1, published = ?"
                f" WHERE id IN (SELECT id FROM ({_STAGED}))",
                (generation,),
            )
            self.set_facts(
                {
                    **facts,
                    **size,
                    **{key: str(value) for key, value in self.counts().items()},
                    "generation": str(generation),
                    "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                }
            )
        self._acronyms = None
        self._frequencies.clear()
        with contextlib.suppress(sqlite3.OperationalError):  # it is committed; the log can wait
            # Passive: another mode waits for readers of the old generation to go.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return generation

    def _put_files(self, files: Mapping[str, IndexedFile]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?,"
            " (SELECT id FROM documents JOIN texts ON document_id = id"
            " WHERE content = ?4 AND live = 1), ?)",
            [
                (path, f.root, f.sha256, f.content, f.seen, file_sum(path, f))
                for path, f in files.items()
            ],
        )

    def _put_places(self, document_id: int, places: Iterable[Row]) -> None:
        self._db.executemany(
            "INSERT INTO places VALUES (?, ?, ?, ?, ?)",
            [(document_id, *place, place_sum(document_id, place)) for place in places],
        )

    def _remove(self, document_ids: list[int], generation: int) -> None:
        for document_id in document_ids:
            self._db.execute(
                "INSERT INTO removed SELECT passages.id, ? FROM passages JOIN documents"
                " ON documents.id = document_id WHERE document_id = ? AND live",
                (generation, document_id),
            )
            self._db.execute(
                "DELETE FROM lexical WHERE rowid IN"
                " (SELECT id FROM passages WHERE document_id = ?)",
                (document_id,),
            )
            self._db.execute("DELETE FROM documents WHERE id = ?", (document_id,))

    def _publish_words(self) -> None:
        """Make what is staged searchable by its words."""
        staged = self._db.execute(
            "SELECT passages.id, heading, title FROM passages"
            f" JOIN ({_STAGED}) AS new ON new.id = document_id"
        )
        while some := staged.fetchmany(_AT_A_TIME):
            for passage_id, heading, title in some:
                said = self._db.execute(
                    "SELECT clean FROM sentences WHERE passage_id = ? ORDER BY ordinal",
                    (passage_id,),
                )
                shown = " ".join([title, heading, *(row[0] for row in said)])
                self._db.execute(
                    "INSERT INTO lexical (rowid, terms) VALUES (?, ?)",
                    (passage_id, " ".join(terms(shown))),
                )

    def copy(self, document_id: int, rows: DocumentRows, text: str | None) -> None:
        """Stage a document as another file of the index holds it, with or without its text."""
        insert = self._db.executemany
        insert(
            "INSERT OR REPLACE INTO documents (id, content, recipe, encoding, title, date, author,"
            " language, format, passages, sentences, sum, live)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [(document_id, *rows.document)],
        )
        insert("INSERT INTO texts VALUES (?, ?)", [(document_id, text)] if text is not None else [])
        insert("INSERT INTO acronyms VALUES (?, ?, ?)", [(document_id, *a) for a in rows.acronyms])
        self._put_places(document_id, rows.places)
        insert("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.passages)
        insert("INSERT INTO sentences VALUES (?, ?, ?, ?, ?)", rows.sentences)
        insert("INSERT INTO vectors VALUES (?, ?, ?, ?, ?)", rows.vectors)
        said = sketch(row[-1] for row in rows.sentences)
        insert("INSERT INTO sketches VALUES (?, ?)", [(n, document_id) for n in said])

    def restore(self, content: str, text: str) -> None:
        """Give a staged document that lost its text the text with that content."""
        with self.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO texts SELECT id, ? FROM documents"
                " WHERE content = ? AND live = 0",
                (text, content),
            )

    def touch(self, files: Mapping[str, IndexedFile]) -> None:
        """Record what changed of files that hold what they held: no new generation."""
        if files:
            with self.transaction():
                self._put_files(files)

    def discard(self, contents: Iterable[str]) -> None:
        """Drop staged documents that are no longer wanted."""
        with self.transaction():
            self._db.executemany(
                "DELETE FROM documents WHERE content = ? AND live = 0", [(c,) for c in contents]
            )

    def fold(self, name: str) -> None:
        """Bring the log into the file of that name itself, which can then be given another name.

        Raises:
            OutOfResources: It cannot be: the log still holds what the file lacks.
        """
        log = self.folder / f"{name}-wal"
        try:
            ((busy, *_),) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise no_space(self.folder) from error
        if busy or (log.exists() and log.stat().st_size):
            raise no_space(self.folder)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        Raises:
            OutOfResources: The disk is full; nothing changed.
            IndexBusy: Another process keeps it locked.
            IndexUnusable: SQLite finds the file damaged.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError):
                raise _failed(self.folder, error) from error
            raise


def document_sum(row: Iterable[object], acronyms: Iterable[Row], places: Iterable[Row]) -> int:
    """Checksum of a document's row (``content`` to ``sentences``), its acronyms and places."""
    return row_sum(*row, *(part for some in (acronyms, places) for each in some for part in each))


def file_sum(path: str, file: IndexedFile) -> int:
    """Checksum of a file's row."""
    return row_sum(path, file.root, file.sha256, file.content, file.seen)


def _failed(folder: Path, error: sqlite3.DatabaseError) -> RagError:
    """What to raise where writing fails: I/O errors too mean that no more can be written."""
    said = str(error)
    if isinstance(error, sqlite3.OperationalError) and ("full" in said or "disk I/O error" in said):
        return no_space(folder)
    return failed(folder, error)


@contextlib.contextmanager
def locked(folder: Path, *, writes: bool = True) -> Iterator[None]:
    """Be the one writer of an index for a while; the folder is made where there is none.

    Who only looks (``writes`` off) does not say who it is, and a writer waits for it a moment.

    Raises:
        IndexBusy: Another process is writing it.
        IndexUnusable: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise IndexUnusable(
            f"{folder} cannot be written: {error.strerror}", hint="choose another --index DIR"
        ) from error
    try:
        if owner := held_by(lock, lambda: lock_owner(lock)):
            raise IndexBusy(
                f"{owner} is writing the index in {folder}",
                hint="wait for it to finish, then run the same command again",
            )
        _sign(lock, str(os.getpid()) if writes else "")
        try:
            yield
        finally:
            _sign(lock, "")  # so that nobody takes the next writer for this one
    finally:
        os.close(lock)


def _sign(lock: int, name: str) -> None:
    """Say who holds a lock; on a full disk it is held without a name."""
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, name.encode(), 0)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Open the index to write it, alone; it is created where there is none.

    Raises:
        IndexBusy: Another process is writing it.
        IndexUnusable: The file is damaged or of another version.
        OutOfResources: The disk is full.
    """
    with locked(folder), contextlib.closing(open_to_write(folder)) as store:
        yield store


def open_to_write(folder: Path, name: str = DATABASE) -> Writer:
    """Open or make the file itself; for who holds the lock."""
    try:
        connection = connect_to_write(folder / name)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        store = Writer(folder, connection)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            with store.transaction():
                for statement in filter(str.strip, SCHEMA.split(";")):
                    connection.execute(statement)
                store.set_facts({"schema": SCHEMA_VERSION, "identity": uuid.uuid4().hex})
        elif store.facts().get("schema") != SCHEMA_VERSION:
            raise IndexUnusable(
                f"the index in {folder} has another version",
                hint=f"delete {folder} and run the same command again",
            )
    except sqlite3.DatabaseError as error:
        raise _failed(folder, error) from error
    return store
