"""The tables of an index, and the number of their version."""

from __future__ import annotations

SCHEMA_VERSION = "3"

# Ids are never given twice (AUTOINCREMENT): dense.py keeps files by them.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL, recipe TEXT NOT NULL,
    encoding TEXT NOT NULL, title TEXT NOT NULL, date TEXT NOT NULL, author TEXT NOT NULL,
    language TEXT NOT NULL, format TEXT NOT NULL, passages INTEGER NOT NULL,
    sentences INTEGER NOT NULL, sum INTEGER NOT NULL,
    live INTEGER NOT NULL, published INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX documents_content ON documents (content, live);
CREATE INDEX documents_published ON documents (published);
CREATE TABLE texts (
    document_id INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE, text TEXT NOT NULL);
CREATE TABLE files (
    path TEXT PRIMARY KEY, root TEXT NOT NULL, sha256 TEXT NOT NULL, content TEXT NOT NULL,
    seen TEXT NOT NULL, document_id INTEGER REFERENCES documents ON DELETE CASCADE,
    sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX files_document ON files (document_id);
CREATE TABLE places (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE, start INTEGER NOT NULL,
    label TEXT NOT NULL, page INTEGER, sum INTEGER NOT NULL,
    PRIMARY KEY (document_id, start)) WITHOUT ROWID;
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, line_start INTEGER NOT NULL,
    line_end INTEGER NOT NULL, heading TEXT NOT NULL, sum INTEGER NOT NULL);
CREATE INDEX passages_document ON passages (document_id);
CREATE TABLE sentences (
    passage_id INTEGER NOT NULL REFERENCES passages ON DELETE CASCADE, ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, clean TEXT NOT NULL,
    PRIMARY KEY (passage_id, ordinal)) WITHOUT ROWID;
CREATE TABLE vectors (
    passage_id INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE, passage BLOB NOT NULL,
    passage_sum INTEGER NOT NULL, sentences BLOB NOT NULL, sentences_sum INTEGER NOT NULL);
CREATE TABLE acronyms (
    document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    short TEXT NOT NULL, long TEXT NOT NULL);
CREATE INDEX acronyms_document ON acronyms (document_id);
CREATE TABLE removed (passage_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE TABLE sketches (
    hash INTEGER NOT NULL, document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    PRIMARY KEY (hash, document_id)) WITHOUT ROWID;
CREATE INDEX sketches_document ON sketches (document_id);
CREATE VIRTUAL TABLE lexical USING fts5(terms, tokenize = "unicode61 remove_diacritics 2");
"""
