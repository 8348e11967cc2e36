"""The SQLite file of an index: whether it is there, how it is opened to be read, how it fails."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from rag.errors import IndexBusy, IndexUnusable, OutOfResources, RagError
from rag.files import held_by

DATABASE = "rag.sqlite"
LOCK = "lock"  # held by who writes, who says in it which process that is


def is_index(folder: Path) -> bool:
    """Whether a folder holds an index, sound or not.

    Raises:
        IndexUnusable: The folder may not be entered, so nobody knows.
    """
    try:
        return (folder / DATABASE).is_file()
    except OSError as error:
        raise unreadable(folder, error.strerror) from error


def has_files(folder: Path) -> bool:
    """Whether a run found files already; False for what a first run left that was not finished.

    A damaged index counts as one that has.

    Raises:
        IndexUnusable: The folder may not be entered.
    """
    if not is_index(folder):
        return False
    file = (folder / DATABASE).resolve()
    _take_back(file)
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
        ) as connection:
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone()
            return bool(made and connection.execute("SELECT 1 FROM files LIMIT 1").fetchone())
    except sqlite3.DatabaseError:
        return True


def connect(folder: Path) -> sqlite3.Connection:
    """Open the file of an index to read one generation of it, for as long as it is open.

    Raises:
        IndexUnusable: There is none, or it cannot be read.
        IndexBusy: Another process keeps it locked, or is about to make it.
    """
    if not is_index(folder):
        none = IndexUnusable(f"no index in {folder}", hint="build one: rag index FOLDER")
        raise being_made(folder) or none
    file = (folder / DATABASE).resolve()
    _take_back(file)
    with contextlib.ExitStack() as undo:
        try:
            connection = sqlite3.connect(
                f"{file.as_uri()}?{_mode(file)}", uri=True,
                isolation_level=None, check_same_thread=False,
            )  # fmt: skip
            undo.callback(connection.close)
            connection.execute("BEGIN")
        except sqlite3.DatabaseError as error:
            raise failed(folder, error) from error
        undo.pop_all()
    return connection


def being_made(folder: Path, documents: int = 0) -> IndexBusy | None:
    """What to raise where there is no index yet because a first run is at work, else None."""
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        owner = held_by(lock, lambda: lock_owner(lock), shared=True)
    finally:
        os.close(lock)
    if not owner:
        return None
    return IndexBusy(
        f"{owner} is making the index in {folder}, and is not done: {documents:,} documents so far",
        hint="wait for it to finish; rag status says how far it is",
    )


def lock_owner(lock: int) -> str:
    """What is written in the open file of a lock: the process that holds it, or held it."""
    return os.pread(lock, 32, 0).decode("ascii", "replace")


def connect_to_write(file: Path) -> sqlite3.Connection:
    """Open or make the file to write it: one thread does, several may read between two writes."""
    return sqlite3.connect(file, isolation_level=None, timeout=10, check_same_thread=False)


def _take_back(file: Path) -> None:
    """Undo what a first run left half made: who opens a file only to read it cannot."""
    if file.with_name(f"{file.name}-journal").exists():
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(
                sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=1)
            ) as connection,
        ):
            connection.execute("SELECT 1 FROM sqlite_master")


def _mode(file: Path) -> str:
    """How to open a file to read it: a log needs a file beside it that readers write."""
    log = file.with_name(f"{file.name}-wal")
    if os.access(file.parent, os.W_OK) or (log.exists() and log.stat().st_size):
        return "mode=ro"
    return "mode=ro&immutable=1"


def damaged(folder: Path, error: Exception | str) -> IndexUnusable:
    """What to raise where SQLite, or a check of ours, finds the file damaged."""
    return IndexUnusable(
        f"the index in {folder} is damaged: {error}", hint="mend it: rag index --check"
    )


def failed(folder: Path, error: sqlite3.Error) -> RagError:
    """What to raise where SQLite fails, which is not always the file's fault."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return IndexBusy(
            f"another process keeps the index in {folder} locked",
            hint="wait for it to finish, then run the same command again",
        )
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return no_space(folder)
    if code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        return unreadable(folder, error)
    return damaged(folder, error)


def unreadable(folder: Path, why: object) -> IndexUnusable:
    """What to raise where the system does not let the file be read."""
    return IndexUnusable(
        f"the index in {folder} cannot be read: {why}",
        hint=f"look at the disk, and at who may read and write {folder}",
    )


def no_space(folder: Path) -> OutOfResources:
    """What to raise where nothing more can be written."""
    return OutOfResources(
        f"the disk that holds {folder} is full",
        hint="free some space and run the same command again; the index is unchanged",
    )
