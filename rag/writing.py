"""How an index is written: one writer, who stages documents and then publishes them all at once.

A run first stages its documents (``live = 0``, committed one by one, so that a killed run goes on
where it stopped), then makes them live and others gone in one transaction that raises the
generation. A crash leaves the old or the new state, whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rag.errors import IndexBusy, IndexUnusable, OutOfResources
from rag.records import Document, FloatMatrix
from rag.split import Split
from rag.store import DATABASE, SCHEMA_VERSION, Store, damaged
from rag.words import terms

LOCK = "lock"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    recipe TEXT NOT NULL, encoding TEXT NOT NULL, title TEXT NOT NULL, date TEXT NOT NULL,
    author TEXT NOT NULL, text TEXT NOT NULL, live INTEGER NOT NULL);
CREATE UNIQUE INDEX documents_path ON documents (path, live);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL, heading TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX passages_document ON passages (document_id);
CREATE TABLE sentences (
    passage_id INTEGER NOT NULL REFERENCES passages ON DELETE CASCADE, ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, clean TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (passage_id, ordinal)) WITHOUT ROWID;
CREATE TABLE acronyms (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    short TEXT NOT NULL, long TEXT NOT NULL);
CREATE INDEX acronyms_document ON acronyms (document_id);
CREATE VIRTUAL TABLE lexical USING fts5(terms, tokenize = "unicode61 remove_diacritics 2");
"""


class Writer(Store):
    """An index that may be changed; ``writing`` opens it."""

    def set_meta(self, **facts: str) -> None:
        """Record facts, in a transaction of their own."""
        with self.transaction():
            self._put(facts)

    def _put(self, facts: dict[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())

    def stage(
        self,
        document: Document,
        parts: Split,
        *,
        root: str,
        recipe: str,
        passage_vectors: FloatMatrix,
        sentence_vectors: FloatMatrix,
    ) -> None:
        """Store a document that is not live yet.

        Args:
            document: What was read.
            parts: Its passages and sentences.
            root: The folder it was found under.
            recipe: Names the splitter and embedder; another recipe means reading it again.
            passage_vectors: float32 (passages, dimension).
            sentence_vectors: float32 (sentences of all passages in order, dimension).
        """
        newlines = [m.end() for m in re.finditer(r"\r\n|\r|\n", document.text)]
        with self.transaction():
            self._db.execute("DELETE FROM documents WHERE path = ? AND live = 0", (document.path,))
            about = parts.description
            document_id = self._db.execute(
                "INSERT INTO documents (root, path, sha256, recipe, encoding, title, date, author,"
                " text, live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (root, document.path, document.sha256, recipe, document.encoding, about.title,
                 about.date, about.author, document.text),
            ).lastrowid  # fmt: skip
            at = 0
            for passage, vector in zip(parts.passages, passage_vectors, strict=True):
                passage_id = self._db.execute(
                    'INSERT INTO passages (document_id, start, "end", line_start, line_end,'
                    " heading, vector) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (document_id, passage.start, passage.end,
                     bisect_right(newlines, passage.start) + 1,
                     bisect_right(newlines, passage.end - 1) + 1,
                     passage.heading, vector.astype(np.float32).tobytes()),
                ).lastrowid  # fmt: skip
                self._db.executemany(
                    "INSERT INTO sentences VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (passage_id, n, s.start, s.end, s.clean,
                         sentence_vectors[at + n].astype(np.float16).tobytes())
                        for n, s in enumerate(passage.sentences)
                    ],
                )  # fmt: skip
                at += len(passage.sentences)
            self._db.executemany(
                "INSERT INTO acronyms VALUES (?, ?, ?)",
                [(document_id, a.short, a.long) for a in parts.acronyms],
            )

    def publish(self, *, remove: Iterable[int], facts: dict[str, str]) -> int:
        """Make staged documents live and others gone, at once.

        Args:
            remove: Ids of live documents that are changed or gone.
            facts: What the index now is, beside the generation.

        Returns:
            The new generation.
        """
        with self.transaction():
            for document_id in remove:
                self._db.execute(
                    "DELETE FROM lexical WHERE rowid IN"
                    " (SELECT id FROM passages WHERE document_id = ?)",
                    (document_id,),
                )
                self._db.execute("DELETE FROM documents WHERE id = ?", (document_id,))
            staged = self._db.execute(
                "SELECT passages.id, heading, title FROM passages"
                " JOIN documents ON documents.id = document_id WHERE live = 0"
            ).fetchall()
            for passage_id, heading, title in staged:
                cleans = self._db.execute(
                    "SELECT clean FROM sentences WHERE passage_id = ? ORDER BY ordinal",
                    (passage_id,),
                )
                shown = " ".join([title, heading, *(row[0] for row in cleans)])
                self._db.execute(
                    "INSERT INTO lexical (rowid, terms) VALUES (?, ?)",
                    (passage_id, " ".join(terms(shown))),
                )
            # From the vectors themselves: a run that goes on after a killed one may embed nothing.
            vector = self._row(
                "SELECT length(vector) / 4 FROM passages"
                " JOIN documents ON documents.id = document_id WHERE live = 0 LIMIT 1"
            )
            size = {"dimension": str(vector[0])} if vector else {}
            self._db.execute("UPDATE documents SET live = 1 WHERE live = 0")
            generation = self.generation + 1
            self._put({**facts, **size, "generation": str(generation)})
        with contextlib.suppress(sqlite3.OperationalError):  # it is committed; the log can wait
            # Passive: another mode waits for readers of the old generation to go.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return generation

    def move(self, roots: dict[int, str]) -> None:
        """Record that documents, by id, are now found under another root."""
        with self.transaction():
            self._db.executemany(
                "UPDATE documents SET root = ? WHERE id = ?",
                [(root, document_id) for document_id, root in roots.items()],
            )

    def discard(self, document_ids: Iterable[int]) -> None:
        """Drop staged documents that are no longer wanted."""
        with self.transaction():
            self._db.executemany(
                "DELETE FROM documents WHERE id = ? AND live = 0", [(i,) for i in document_ids]
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        Raises:
            OutOfResources: The disk is full; nothing changed.
            IndexUnusable: SQLite finds the file damaged.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                raise OutOfResources(
                    f"the disk that holds {self.folder} is full",
                    hint="free some space and run the same command again; the index is unchanged",
                ) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise damaged(self.folder, error) from error
            raise


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Open the index to write it, alone; it is created where there is none.

    Raises:
        IndexBusy: Another process is writing it.
        IndexUnusable: The file is damaged or of another version.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise IndexUnusable(
            f"{folder} cannot be written: {error.strerror}", hint="choose another --index DIR"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise IndexBusy(
                f"process {owner} is writing the index in {folder}",
                hint="wait for it to finish, then run the same command again",
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        with contextlib.closing(_open_to_write(folder)) as store:
            yield store
    finally:
        os.close(lock)


def _open_to_write(folder: Path) -> Writer:
    file = folder / DATABASE
    try:
        connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        store = Writer(folder, connection)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            with store.transaction():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                store._put({"schema": SCHEMA_VERSION, "identity": uuid.uuid4().hex})
        elif store.meta("schema") != SCHEMA_VERSION:
            raise IndexUnusable(
                f"the index in {folder} has another version",
                hint=f"delete {folder} and run the same command again",
            )
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OutOfResources(
                f"the disk that holds {folder} is full", hint="free some space and run again"
            ) from error
        raise damaged(folder, error) from error
    except sqlite3.DatabaseError as error:
        raise damaged(folder, error) from error
    return store
