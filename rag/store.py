"""``index/``: one SQLite file is the truth.

Documents, passages, sentences, vectors, acronyms and the lexical index change in one transaction,
so that after a crash the old or the new state is there, whole. A run first stages its documents
(``live = 0``, committed one by one, so a killed run goes on where it stopped), then publishes them
all at once and raises the generation. Readers see live documents only, on one generation.

    index/rag.sqlite     the truth
    index/dense.faiss    derived from it (dense.py)
    index/lock           held by the one writer
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import sqlite3
import threading
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import IndexBusy, IndexUnusable, OutOfResources
from rag.records import (
    Acronym,
    Document,
    DocumentInfo,
    FloatMatrix,
    Hit,
    Passage,
    Place,
    Sentence,
)
from rag.split import Split
from rag.words import terms

SCHEMA_VERSION = "2"
DATABASE = "rag.sqlite"
LOCK = "lock"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    recipe TEXT NOT NULL, encoding TEXT NOT NULL, title TEXT NOT NULL, date TEXT NOT NULL,
    author TEXT NOT NULL, language TEXT NOT NULL, format TEXT NOT NULL, text TEXT NOT NULL,
    live INTEGER NOT NULL);
CREATE UNIQUE INDEX documents_path ON documents (path, live);
CREATE TABLE places (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE, start INTEGER NOT NULL,
    label TEXT NOT NULL, page INTEGER, PRIMARY KEY (document_id, start)) WITHOUT ROWID;
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


class Store:
    """An open index. Use ``open_index`` to read and ``writing`` to write."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        # Two threads may read. SQLite itself allows that; the statements that Python keeps for use
        # again are promised to one thread only.
        self._reading = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # -- reading --------------------------------------------------------------------------------

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _damaged(self.folder, error) from error

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query, *values)), None)

    def meta(self, key: str, default: str = "") -> str:
        """A fact about the index: ``generation``, ``embedder``, ``dimension``, ``identity``."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return str(row[0]) if row else default

    @property
    def generation(self) -> int:
        """Counts the published states of the index, from 1; 0 means nothing was published."""
        number = self.meta("generation", "0")
        if not number.isdecimal():
            raise _damaged(self.folder, f"generation {number!r} is no number")
        return int(number)

    def documents(self) -> list[DocumentInfo]:
        """Every live document, in path order."""
        rows = self._rows(
            "SELECT id, path, title, date, author FROM documents WHERE live ORDER BY path"
        )
        return [DocumentInfo(*row) for row in rows]

    def fingerprints(self, *, live: bool) -> dict[str, tuple[int, str, str, str]]:
        """``path -> (id, root, sha256, recipe)`` of live or of staged documents."""
        rows = self._rows(
            "SELECT path, id, root, sha256, recipe FROM documents WHERE live = ?", int(live)
        )
        return {path: (id_, root, sha, recipe) for path, id_, root, sha, recipe in rows}

    def text(self, document_id: int) -> str:
        """The stored text of a document."""
        row = self._row("SELECT text FROM documents WHERE id = ?", document_id)
        if row is None:
            raise _damaged(self.folder, f"document {document_id} is missing")
        return str(row[0])

    def document(self, document_id: int) -> Document:
        """A document as it was read when it was indexed.

        Raises:
            IndexUnusable: It is not there, or its text is damaged.
        """
        row = self._row(
            "SELECT path, text, sha256, encoding, format, title, date, author, language"
            " FROM documents WHERE id = ?",
            document_id,
        )
        if row is None:
            raise _damaged(self.folder, f"document {document_id} is missing")
        places = self._rows(
            "SELECT start, label, page FROM places WHERE document_id = ? ORDER BY start",
            document_id,
        )
        return replace(Document(*row), places=tuple(Place(*place) for place in places))

    def place(self, document_id: int, offset: int) -> Place | None:
        """Where an offset stands in its document's own terms, if it has any."""
        row = self._row(
            "SELECT start, label, page FROM places WHERE document_id = ? AND start <= ?"
            " ORDER BY start DESC LIMIT 1",
            document_id,
            offset,
        )
        return Place(*row) if row else None

    def counts(self) -> dict[str, int]:
        """Live documents, passages and sentences."""
        row = self._row(
            "SELECT (SELECT count(*) FROM documents WHERE live),"
            " (SELECT count(*) FROM passages JOIN documents ON documents.id = document_id"
            " WHERE live),"
            " (SELECT count(*) FROM sentences JOIN passages ON passages.id = passage_id"
            " JOIN documents ON documents.id = document_id WHERE live)"
        )
        return dict(zip(("documents", "passages", "sentences"), row or (0, 0, 0), strict=True))

    def acronyms(self) -> list[Acronym]:
        """Every acronym that a live document defines."""
        rows = self._rows(
            "SELECT DISTINCT short, long FROM acronyms JOIN documents ON documents.id = document_id"
            " WHERE live ORDER BY short, long"
        )
        return [Acronym(*row) for row in rows]

    def passage_vectors(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], FloatMatrix]:
        """Ids int64 (n,) and vectors float32 (n, dimension) of all live passages, by id."""
        dimension = int(self.meta("dimension", "0"))
        rows = self._rows(
            "SELECT passages.id, vector FROM passages JOIN documents ON documents.id = document_id"
            " WHERE live ORDER BY passages.id"
        )
        if any(len(vector) != dimension * 4 for _, vector in rows):
            raise _damaged(self.folder, "a vector has the wrong length")
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
        return np.array([row[0] for row in rows], dtype=np.int64), vectors.reshape(
            len(rows), dimension
        )

    def lexical_search(self, wanted: Iterable[str], limit: int) -> list[tuple[int, float]]:
        """Passage ids and BM25 scores (larger is better) for any of the terms."""
        quoted = " OR ".join(f'"{term}"' for term in dict.fromkeys(wanted))
        if not quoted:
            return []
        rows = self._rows(
            "SELECT rowid, -bm25(lexical) FROM lexical WHERE lexical MATCH ?"
            " ORDER BY bm25(lexical), rowid LIMIT ?",
            quoted,
            limit,
        )
        return [(int(id_), float(score)) for id_, score in rows]

    def passage_frequency(self, wanted: Iterable[str]) -> dict[str, int]:
        """In how many passages each term stands; 0 where none has it."""
        found = {}
        for term in set(wanted):
            # Through MATCH, so that the term is folded as the text was: "café" stands as "cafe".
            row = self._row("SELECT count(*) FROM lexical WHERE lexical MATCH ?", f'"{term}"')
            found[term] = int(row[0]) if row else 0
        return found

    def rarity(self, wanted: Iterable[str]) -> dict[str, float]:
        """How much each term says of a passage: ``log(1 + (n + 1) / (1 + passages with it))``."""
        ordered = list(dict.fromkeys(wanted))
        row = self._row(
            "SELECT count(*) FROM passages JOIN documents ON documents.id = document_id WHERE live"
        )
        total = (int(row[0]) if row else 0) + 1
        frequency = self.passage_frequency(ordered)
        return {term: math.log(1 + total / (1 + frequency[term])) for term in ordered}

    def hit(
        self, passage_id: int, score: float, ranks: dict[str, int], stage_scores: dict[str, float]
    ) -> Hit:
        """A passage with its document and sentences."""
        row = self._row(
            'SELECT documents.id, path, title, date, author, start, passages."end", line_start,'
            " line_end, heading FROM passages JOIN documents ON documents.id = document_id"
            " WHERE passages.id = ?",
            passage_id,
        )
        if row is None:
            raise _damaged(self.folder, f"passage {passage_id} is missing")
        document = DocumentInfo(*row[:5])
        sentences = self._rows(
            'SELECT start, "end", clean FROM sentences WHERE passage_id = ? ORDER BY ordinal',
            passage_id,
        )
        passage = Passage(row[5], row[6], row[9], tuple(Sentence(*s) for s in sentences))
        place = self.place(document.id, passage.start)
        return Hit(passage_id, document, passage, row[7], row[8], score, ranks, stage_scores, place)

    def sentence_vectors(self, passage_id: int) -> FloatMatrix:
        """float32 (sentences of the passage, dimension), rows of unit length."""
        rows = self._rows(
            "SELECT vector FROM sentences WHERE passage_id = ? ORDER BY ordinal", passage_id
        )
        half = np.frombuffer(b"".join(row[0] for row in rows), dtype=np.float16)
        return half.reshape(len(rows), -1).astype(np.float32)

    def sentence_before(self, document_id: int, start: int) -> Sentence | None:
        """The sentence that stands before an offset in a document."""
        row = self._row(
            'SELECT sentences.start, sentences."end", clean FROM sentences'
            " JOIN passages ON passages.id = passage_id"
            " WHERE document_id = ? AND sentences.start < ? ORDER BY sentences.start DESC LIMIT 1",
            document_id,
            start,
        )
        return Sentence(*row) if row else None

    def problems(self) -> list[str]:
        """What SQLite's own check finds wrong; empty when the file is sound."""
        found: list[str] = []
        for check in (
            "PRAGMA integrity_check(5)",
            "INSERT INTO lexical(lexical) VALUES('integrity-check')",
        ):
            try:
                found += [str(row[0]) for row in self._db.execute(check)]
            except sqlite3.DatabaseError as error:
                if "readonly" not in str(error):  # the second check is a writer's
                    found.append(str(error))
        return [problem for problem in found if problem != "ok"]

    # -- writing --------------------------------------------------------------------------------

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
                " language, format, text, live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (root, document.path, document.sha256, recipe, document.encoding, about.title,
                 about.date, about.author, about.language, document.format, document.text),
            ).lastrowid  # fmt: skip
            self._db.executemany(
                "INSERT INTO places VALUES (?, ?, ?, ?)",
                [(document_id, p.start, p.label, p.page) for p in document.places],
            )
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
                raise _damaged(self.folder, error) from error
            raise


def is_index(folder: Path) -> bool:
    """Whether a folder holds an index, sound or not."""
    return (folder / DATABASE).is_file()


# -- opening ------------------------------------------------------------------------------------


def open_index(folder: Path) -> Store:
    """Open an index to read one generation of it.

    Raises:
        IndexUnusable: There is none, or its file is damaged or of another version.
    """
    file = folder / DATABASE
    if not file.is_file():
        raise IndexUnusable(f"no index in {folder}", hint="build one: rag index FOLDER")
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(
                f"{file.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None,
                check_same_thread=False,
            )  # fmt: skip
            undo.callback(connection.close)
            connection.execute("BEGIN")  # one generation for as long as this store is open
        except sqlite3.DatabaseError as error:
            raise _damaged(folder, error) from error
        store = Store(folder, connection)
        _check(store)
        undo.pop_all()
    return store


def _check(store: Store) -> None:
    folder, version = store.folder, store.meta("schema")
    if version != SCHEMA_VERSION:
        raise IndexUnusable(
            f"the index in {folder} has version {version or 'unknown'}, this program reads"
            f" {SCHEMA_VERSION}",
            hint=f"delete {folder} and build it again: rag index FOLDER",
        )
    if not store.generation:
        raise IndexUnusable(
            f"the index in {folder} was never finished", hint="run again: rag index"
        )


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Store]:
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


def _open_to_write(folder: Path) -> Store:
    file = folder / DATABASE
    try:
        connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        store = Store(folder, connection)
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
        raise _damaged(folder, error) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(folder, error) from error
    return store


def _damaged(folder: Path, error: Exception | str) -> IndexUnusable:
    return IndexUnusable(
        f"the index in {folder} cannot be read: {error}",
        hint=f"delete {folder} and build it again: rag index FOLDER",
    )
