"""``index/``: one SQLite file is the truth; this is how it is read.

Documents, passages, sentences, vectors, acronyms and the lexical index change in one transaction
(writing.py), so that after a crash the old or the new state is there, whole. Readers see live
documents only, on one generation. A text stands there once, under every path it was found at.

    index/rag.sqlite     the truth
    index/dense*.faiss   derived from it (dense.py)
    index/lock           held by the one writer
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import IndexUnusable
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
from rag.storage import lexical
from rag.storage.database import being_made, connect, damaged, failed
from rag.storage.schema import SCHEMA_VERSION
from rag.storage.sums import bytes_sum, is_text_of, passage_sum, place_sum, row_sum

Ids = npt.NDArray[np.int64]
_TEXTS = 8  # documents whose text stays at hand: one question asks for the same ones again
_BATCH = 5000  # rows with vectors in memory together
_LIVE = (
    "FROM passages JOIN documents ON documents.id = document_id"
    " WHERE live AND published > ?1 AND passages.id BETWEEN ?2 AND ?3"
)
_INFO = "documents.id, title, date, author, language, format"
# Few documents are recent: SQLite is made to begin with them.
_RECENT = (
    "FROM documents CROSS JOIN passages ON document_id = documents.id WHERE live AND published > ?1"
)


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file that a document was read from.

    Attributes:
        root: The folder (or file) that was named.
        sha256: Of the file's bytes, hexadecimal.
        content: What tells documents apart: ``content_sum`` of what was read.
        seen: What the file system said of the file when it was read; "" where that may not have
            been its last word; then whether pages without text were recognised (changes.py).
        recipe: Splitter and embedder that the document was made with; "" where its rows are
            damaged and it waits to be read again.
    """

    root: str
    sha256: str
    content: str
    seen: str
    recipe: str


class Store:
    """An open index; ``open_index`` opens one."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = connection
        # Two threads may read. SQLite itself allows that; the statements that Python keeps for use
        # again are promised to one thread only.
        self._reading = threading.Lock()
        # One generation is read, so what was found once stays true.
        self._acronyms: list[Acronym] | None = None
        self._frequencies: dict[str, int] = {}
        self._recent_text = lru_cache(maxsize=_TEXTS)(self._text)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query of the caller's own.

        Raises:
            IndexUnusable: SQLite finds the file damaged, or cannot read it.
            IndexBusy: Another process keeps it locked.
        """
        try:
            with self._reading:
                return self._db.execute(query, values).fetchall()
        except sqlite3.ProgrammingError:  # a fault of ours, and none of the file
            raise
        except sqlite3.DatabaseError as error:
            raise failed(self.folder, error) from error

    def readable(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query up to the first that cannot be read."""
        found: list[tuple[Any, ...]] = []
        with contextlib.suppress(sqlite3.DatabaseError, UnicodeDecodeError), self._reading:
            cursor = self._db.execute(query)
            while row := cursor.fetchone():
                found.append(row)
        return found

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self.rows(query, *values)), None)

    def meta(self, key: str, default: str = "") -> str:
        """A fact about the index: ``generation``, ``embedder``, ``dimension``, ``identity``."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return str(row[0]) if row else default

    def facts(self) -> dict[str, str]:
        """Every fact about the index.

        Raises:
            IndexUnusable: They are not what was written.
        """
        tables = {row[0] for row in self.rows("SELECT name FROM sqlite_master")}
        if not tables:
            return {}  # killed before anything was written
        found = {str(key): str(value) for key, value in self.rows("SELECT key, value FROM meta")}
        written = found.pop("sum", "")
        earlier = "texts" not in tables  # an earlier version's index has no checksums
        if not earlier and written != str(row_sum(*sorted(found.items()))):
            raise damaged(self.folder, "its facts are not what was written")
        return found

    @property
    def generation(self) -> int:
        """Counts the published states of the index, from 1; 0 means nothing was published."""
        number = self.meta("generation", "0")
        if not number.isdecimal():
            raise damaged(self.folder, f"generation {number!r} is no number")
        return int(number)

    def documents(self) -> list[DocumentInfo]:
        """Every live document, in path order."""
        paths: dict[int, list[str]] = {}
        for id_, path in self.rows("SELECT document_id, path FROM files ORDER BY path"):
            paths.setdefault(id_, []).append(path)
        rows = self.rows(f"SELECT {_INFO} FROM documents WHERE live")
        found = [_info(row, paths[row[0]]) for row in rows if row[0] in paths]
        return sorted(found, key=lambda document: document.path)

    def files(self) -> dict[str, IndexedFile]:
        """Path to file of everything that was found."""
        rows = self.rows(
            "SELECT path, root, sha256, files.content, seen, ifnull(recipe, '') FROM files"
            " LEFT JOIN documents ON documents.id = document_id"
        )
        return {path: IndexedFile(*file) for path, *file in rows}

    def contents(self, *, live: bool) -> dict[str, str]:
        """Content to recipe of live or of staged documents."""
        return dict(self.rows("SELECT content, recipe FROM documents WHERE live = ?", int(live)))

    def document_at(self, path: str) -> Document:
        """The document at a path, as it was read; errors as ``document``."""
        row = self._row("SELECT document_id FROM files WHERE path = ?", path)
        return self.document(int(row[0]) if row and row[0] is not None else 0)

    def text(self, document_id: int) -> str:
        """The stored text of a document.

        Raises:
            IndexUnusable: It is not there, or is not what was stored.
        """
        return self._recent_text(document_id)

    def _text(self, document_id: int) -> str:
        row = self._row(
            "SELECT text, documents.content, min(path) FROM documents"
            " JOIN texts ON texts.document_id = id JOIN files ON files.document_id = id"
            " WHERE id = ?",
            document_id,
        )
        if row is None or row[2] is None:
            raise damaged(self.folder, f"the text of document {document_id} is missing")
        if not is_text_of(str(row[0]), str(row[1])):
            raise damaged(self.folder, f"the text of {row[2]} is not what was stored")
        return str(row[0])

    def document(self, document_id: int) -> Document:
        """A document as it was read when it was indexed.

        Raises:
            IndexUnusable: It is not there, or is not what was stored.
        """
        row = self._row(
            "SELECT min(path), sha256, encoding, format, title, date, author, language"
            " FROM documents JOIN files ON document_id = id WHERE id = ?",
            document_id,
        )
        if row is None or row[0] is None:
            raise damaged(self.folder, f"document {document_id} is missing")
        places = self.rows(
            "SELECT start, label, page, sum FROM places WHERE document_id = ? ORDER BY start",
            document_id,
        )
        path, *about = row
        found = tuple(self._place(document_id, place) for place in places)
        return replace(Document(path, self.text(document_id), *about), places=found)

    def place(self, document_id: int, offset: int) -> Place | None:
        """Where an offset stands in its document's own terms, if it has any.

        Raises:
            IndexUnusable: It is not what was stored.
        """
        row = self._row(
            "SELECT start, label, page, sum FROM places WHERE document_id = ? AND start <= ?"
            " ORDER BY start DESC LIMIT 1",
            document_id,
            offset,
        )
        return self._place(document_id, row) if row else None

    def _place(self, document_id: int, row: tuple[Any, ...]) -> Place:
        if place_sum(document_id, row[:-1]) != row[-1]:
            raise damaged(self.folder, f"a place in document {document_id} is not what was stored")
        return Place(*row[:-1])

    def counts(self) -> dict[str, int]:
        """Live documents, passages and sentences."""
        row = self._row(
            "SELECT count(*), ifnull(sum(passages), 0), ifnull(sum(sentences), 0)"
            " FROM documents WHERE live"
        )
        return dict(zip(("documents", "passages", "sentences"), row or (0, 0, 0), strict=True))

    def document_count(self) -> int:
        """Live documents."""
        row = self._row("SELECT count(*) FROM documents WHERE live")
        return int(row[0]) if row else 0

    def acronyms(self) -> list[Acronym]:
        """Every acronym that a live document defines."""
        if self._acronyms is None:
            rows = self.rows(
                "SELECT DISTINCT short, long FROM acronyms JOIN documents"
                " ON documents.id = document_id WHERE live ORDER BY short, long"
            )
            self._acronyms = [Acronym(*row) for row in rows]
        return self._acronyms

    def passage_vectors(
        self, first: int = 0, last: int = 2**62, *, published_after: int = 0
    ) -> tuple[Ids, FloatMatrix]:
        """Ids int64 (n,) and vectors float32 (n, dimension) of live passages, by id.

        Args:
            first: Least id.
            last: Largest id.
            published_after: Only those of documents that became live after this generation.

        Raises:
            IndexUnusable: A vector is not what was stored.
        """
        since = f"{_RECENT} AND passages.id BETWEEN ?2 AND ?3" if published_after else _LIVE
        rows = self.rows(f"SELECT passages.id {since} ORDER BY 1", published_after, first, last)
        return self.vectors_of(np.array([row[0] for row in rows], dtype=np.int64))

    def vectors_of(self, ids: Ids) -> tuple[Ids, FloatMatrix]:
        """Those ids int64 (n,), in order, and their vectors float32 (n, dimension).

        Raises:
            IndexUnusable: A vector is not there, or not what was stored.
        """
        ids = np.sort(ids)
        vectors = np.empty((len(ids), int(self.meta("dimension", "0"))), dtype=np.float32)
        for at in range(0, len(ids), _BATCH):
            some = ids[at : at + _BATCH]
            rows = self.rows(
                "SELECT passage_id, passage, passage_sum FROM vectors"
                " WHERE passage_id IN (SELECT value FROM json_each(?)) ORDER BY passage_id",
                json.dumps(some.tolist()),
            )
            if [row[0] for row in rows] != some.tolist():
                raise damaged(self.folder, "vectors of passages are missing")
            for number, (id_, vector, sum_) in enumerate(rows, at):
                if bytes_sum(vector) != sum_ or len(vector) != vectors.shape[1] * 4:
                    raise damaged(self.folder, f"the vector of passage {id_} is damaged")
                vectors[number] = np.frombuffer(vector, dtype=np.float32)
        return ids, vectors

    def live_passages(self) -> list[int]:
        """The id of every live passage, in order."""
        return [row[0] for row in self.rows(f"SELECT passages.id {_LIVE} ORDER BY 1", 0, 0, 2**62)]

    def last_passage(self) -> int:
        """The largest id of a passage; 0 where there is none."""
        row = self._row("SELECT ifnull(max(id), 0) FROM passages")
        return int(row[0]) if row else 0

    def passages_since(self, generation: int, first: int, last: int) -> int:
        """How many passages in a range of ids became live after a generation."""
        row = self._row(
            f"SELECT count(*) {_RECENT} AND passages.id BETWEEN ?2 AND ?3", generation, first, last
        )
        return int(row[0]) if row else 0

    def removed_since(self, generation: int, first: int, last: int) -> Ids:
        """int64 (n,): passages in a range of ids that left the index after a generation."""
        rows = self.rows(
            "SELECT passage_id FROM removed WHERE generation > ? AND passage_id BETWEEN ? AND ?",
            generation, first, last,
        )  # fmt: skip
        return np.array([row[0] for row in rows], dtype=np.int64)

    def passage_ids(self, documents: Iterable[int]) -> Ids:
        """Ids int64 (n,) of the passages of some documents."""
        rows = self.rows(
            f"SELECT id FROM passages WHERE {lexical.OF_DOCUMENTS}", json.dumps(sorted(documents))
        )
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
        return lexical.search(self.rows, self.passage_frequency(wanted), limit, documents)

    def passage_frequency(self, wanted: Iterable[str]) -> dict[str, int]:
        """In how many passages each term stands, in the terms' order; 0 where none has it."""
        ordered = list(dict.fromkeys(wanted))
        for term in ordered:
            if term not in self._frequencies:
                self._frequencies[term] = lexical.frequency(self.rows, term)
        return {term: self._frequencies[term] for term in ordered}

    def mentions(self, beginning: str) -> bool:
        """Whether any passage, or any title, author or path, has a word that begins so."""
        match, like = f'"{beginning}"*', f"%{beginning}%"
        return bool(
            self.rows("SELECT 1 FROM lexical WHERE lexical MATCH ? LIMIT 1", match)
            or self.rows("SELECT 1 FROM files WHERE path LIKE ? LIMIT 1", like)
            or self.rows(
                "SELECT 1 FROM documents WHERE title LIKE ?1 OR author LIKE ?1 LIMIT 1", like
            )
        )

    def rarity(self, wanted: Iterable[str]) -> dict[str, float]:
        """How much each term says of a passage: ``log(1 + (n + 1) / (1 + passages with it))``."""
        ordered = list(dict.fromkeys(wanted))
        total = int(self.meta("passages", "0")) + 1
        frequency = self.passage_frequency(ordered)
        return {term: math.log(1 + total / (1 + frequency[term])) for term in ordered}

    def hit(
        self, passage_id: int, score: float, ranks: dict[str, int], stage_scores: dict[str, float]
    ) -> Hit:
        """A passage with its document and sentences.

        Raises:
            IndexUnusable: It is not there, or is not what was stored.
        """
        row = self._row(
            f"SELECT {_INFO} FROM passages"
            " JOIN documents ON documents.id = document_id WHERE passages.id = ?",
            passage_id,
        )
        if row is None:
            raise damaged(self.folder, f"passage {passage_id} is missing")
        paths = self.rows("SELECT path FROM files WHERE document_id = ? ORDER BY path", row[0])
        if not paths:
            raise damaged(self.folder, f"document {row[0]} stands nowhere")
        document = _info(row, [path for (path,) in paths])
        passage, line_start, line_end = self._passage(passage_id)
        place = self.place(document.id, passage.start)
        return Hit(
            passage_id, document, passage, line_start, line_end, score, ranks, stage_scores, place
        )

    def _passage(self, passage_id: int) -> tuple[Passage, int, int]:
        """A passage as it was stored, or nothing; with its first and last line."""
        row = self._row(
            'SELECT document_id, start, "end", line_start, line_end, heading, sum FROM passages'
            " WHERE id = ?",
            passage_id,
        )
        sentences = self.rows(
            'SELECT start, "end", clean FROM sentences WHERE passage_id = ? ORDER BY ordinal',
            passage_id,
        )
        if row is None or passage_sum(passage_id, row[:-1], sentences) != row[-1]:
            raise damaged(self.folder, f"passage {passage_id} is not what was stored")
        _, start, end, line_start, line_end, heading, _ = row
        passage = Passage(start, end, heading, tuple(Sentence(*s) for s in sentences))
        return passage, line_start, line_end

    def sentence_vectors(self, passage_id: int) -> FloatMatrix:
        """float32 (sentences of the passage, dimension), rows of unit length.

        Raises:
            IndexUnusable: They are not there, or not what was stored.
        """
        row = self._row(
            "SELECT sentences, sentences_sum FROM vectors WHERE passage_id = ?", passage_id
        )
        if row is None or bytes_sum(row[0]) != row[1]:
            raise damaged(self.folder, f"the vectors of passage {passage_id} are damaged")
        half = np.frombuffer(row[0], dtype=np.float16)
        return half.reshape(-1, int(self.meta("dimension"))).astype(np.float32)

    def sentence_before(self, document_id: int, start: int) -> Sentence | None:
        """The sentence that stands before an offset in a document."""
        row = self._row(
            "SELECT passage_id, ordinal FROM sentences"
            " JOIN passages ON passages.id = passage_id"
            " WHERE document_id = ? AND sentences.start < ? ORDER BY sentences.start DESC LIMIT 1",
            document_id,
            start,
        )
        return self._passage(row[0])[0].sentences[row[1]] if row else None


def open_index(folder: Path) -> Store:
    """Open an index to read one generation of it.

    Raises:
        IndexUnusable: There is none, or its file is damaged or of another version.
        IndexBusy: Another process keeps it locked, or makes it and has not finished.
    """
    store = Store(folder, connect(folder))
    with contextlib.ExitStack() as undo:
        undo.callback(store.close)
        _check(store)
        undo.pop_all()
    return store


def _info(row: tuple[Any, ...], paths: list[str]) -> DocumentInfo:
    """A document from its columns ``_INFO`` and the paths at which it stands."""
    id_, title, date, author, language, format_ = row
    return DocumentInfo(id_, paths[0], title, date, author, tuple(paths[1:]), language, format_)


def _check(store: Store) -> None:
    folder, facts = store.folder, store.facts()
    version = facts.get("schema", SCHEMA_VERSION if not facts else "unknown")
    if version != SCHEMA_VERSION:
        raise IndexUnusable(
            f"the index in {folder} has version {version}, this program reads {SCHEMA_VERSION}",
            hint=f"delete {folder} and build it again: rag index FOLDER",
        )
    if facts.get("generation", "0") == "0":
        documents = store.readable("SELECT count(*) FROM documents")
        unfinished = IndexUnusable(
            f"the index in {folder} was never finished", hint="run again: rag index"
        )
        raise being_made(folder, documents[0][0] if documents else 0) or unfinished
