"""``index/``: one SQLite file is the truth; this is how it is read.

Documents, passages, sentences, vectors, acronyms and the lexical index change in one transaction
(writing.py), so that after a crash the old or the new state is there, whole. Readers see live
documents only, on one generation.

    index/rag.sqlite     the truth
    index/dense.faiss    derived from it (dense.py)
    index/lock           held by the one writer
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import IndexUnusable
from rag.records import Acronym, Document, DocumentInfo, FloatMatrix, Hit, Passage, Sentence

SCHEMA_VERSION = "1"
DATABASE = "rag.sqlite"
_OF_DOCUMENTS = "document_id IN (SELECT value FROM json_each(?))"  # any number, one parameter


class Store:
    """An open index; ``open_index`` opens one."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        # Two threads may read. SQLite itself allows that; the statements that Python keeps for use
        # again are promised to one thread only.
        self._reading = threading.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with self._reading:
                return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise damaged(self.folder, error) from error

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
            raise damaged(self.folder, f"generation {number!r} is no number")
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
        return self.document(document_id).text

    def document(self, document_id: int) -> Document:
        """A document as it was read when it was indexed.

        Raises:
            IndexUnusable: It is not there, or its text is damaged.
        """
        row = self._row(
            "SELECT path, text, sha256, encoding FROM documents WHERE id = ?", document_id
        )
        if row is None:
            raise damaged(self.folder, f"document {document_id} is missing")
        return Document(*row)

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
            raise damaged(self.folder, "a vector has the wrong length")
        vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32)
        return np.array([row[0] for row in rows], dtype=np.int64), vectors.reshape(
            len(rows), dimension
        )

    def passage_ids(self, documents: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Ids int64 (n,) of the passages of some documents."""
        rows = self._rows(f"SELECT id FROM passages WHERE {_OF_DOCUMENTS}", _ids(documents))
        return np.array([row[0] for row in rows], dtype=np.int64)

    def lexical_search(
        self, wanted: Iterable[str], limit: int, *, documents: Iterable[int] | None = None
    ) -> list[tuple[int, float]]:
        """Passage ids and BM25 scores (larger is better) for any of the terms.

        Args:
            wanted: Terms.
            limit: At most so many passages.
            documents: Only passages of these; None means of all.
        """
        quoted = " OR ".join(f'"{term}"' for term in dict.fromkeys(wanted))
        if not quoted:
            return []
        # The plus keeps SQLite from running the match anew for each passage.
        within = f"AND +rowid IN (SELECT id FROM passages WHERE {_OF_DOCUMENTS})"
        within = "" if documents is None else within
        rows = self._rows(
            f"SELECT rowid, -bm25(lexical) FROM lexical WHERE lexical MATCH ? {within}"
            " ORDER BY bm25(lexical), rowid LIMIT ?",
            quoted,
            *([] if documents is None else [_ids(documents)]),
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
            raise damaged(self.folder, f"passage {passage_id} is missing")
        document = DocumentInfo(*row[:5])
        sentences = self._rows(
            'SELECT start, "end", clean FROM sentences WHERE passage_id = ? ORDER BY ordinal',
            passage_id,
        )
        passage = Passage(row[5], row[6], row[9], tuple(Sentence(*s) for s in sentences))
        return Hit(passage_id, document, passage, row[7], row[8], score, ranks, stage_scores)

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


def _ids(documents: Iterable[int]) -> str:
    return json.dumps(sorted(documents))


def is_index(folder: Path) -> bool:
    """Whether a folder holds an index, sound or not."""
    return (folder / DATABASE).is_file()


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
            raise damaged(folder, error) from error
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


def damaged(folder: Path, error: Exception | str) -> IndexUnusable:
    """What to raise where SQLite, or a check of ours, finds the file damaged."""
    return IndexUnusable(
        f"the index in {folder} cannot be read: {error}",
        hint=f"delete {folder} and build it again: rag index FOLDER",
    )
