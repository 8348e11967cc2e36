"""A damaged index to a sound one: what is as it was written is kept, the rest is read again.

A new SQLite file is made beside the damaged one and put in its place whole. Documents keep their
vectors wherever their rows are sound; where only a text is damaged, it waits for its file, and its
vectors with it. What neither the index nor a file holds any more is named, never made up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from rag.errors import IndexUnusable, OutOfResources
from rag.files import sync
from rag.storage.database import DATABASE, connect_to_write, failed
from rag.storage.schema import SCHEMA_VERSION
from rag.storage.soundness import (
    INCOMPLETE,
    SMALL,
    document_ids,
    intact,
    intact_files,
    intact_text,
    problems,
    size,
)
from rag.storage.store import Store
from rag.storage.writing import open_to_write

_MAKING = f"{DATABASE}.mending"
_MADE = f"{DATABASE}.mended"  # complete: only its name is wrong
KEPT = f"{DATABASE}.damaged"


def mend(folder: Path, *, thorough: bool) -> str:
    """Make the index sound where it is not; for who holds the lock.

    Args:
        folder: Of the index.
        thorough: Look at every row, however large the index is.

    Returns:
        What was found and done, "" where nothing was wrong.

    Raises:
        OutOfResources: The disk is full; the damaged file is as it was.
    """
    if (folder / _MADE).exists():
        _put_in_place(folder)
    _forget(folder, _MAKING)
    if not (folder / DATABASE).is_file():
        return ""
    with contextlib.closing(_open(folder)) as old:
        wrong = _wrong(old, thorough=thorough)
        if not wrong:
            return ""
        told = _salvage(folder, old)
    _put_in_place(folder)
    return f"{'; '.join(wrong)}: {told}"


def _open(folder: Path) -> Store:
    try:
        connection = connect_to_write(folder / DATABASE)
    except sqlite3.Error as error:
        raise failed(folder, error) from error
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return Store(folder, connection)


def _wrong(store: Store, *, thorough: bool) -> list[str]:
    """What only a new file mends: FAISS files are rebuilt from any sound one."""
    try:
        facts = store.facts()
        # Never published, or of another version: nothing to keep, or for the user to decide.
        if facts.get("schema") != SCHEMA_VERSION or facts.get("generation", "0") == "0":
            return []
    except IndexUnusable as error:
        if getattr(error.__cause__, "sqlite_errorcode", 0) == sqlite3.SQLITE_CANTOPEN:
            raise  # there may be nothing wrong with what is in it
        return [error.message]
    found = problems(store, thorough=thorough or size(store) < SMALL, derived=False)
    if INCOMPLETE in found:
        for file in store.folder.glob("dense*.faiss"):
            file.unlink(missing_ok=True)
    return [
        problem
        for problem in found
        if ".faiss" not in problem and problem != INCOMPLETE and "wait for their" not in problem
    ]


def _salvage(folder: Path, old: Store) -> str:
    files, bad = intact_files(old)
    wanted = {file.content for file in files.values()}
    facts = {row[0]: row[1] for row in old.readable("SELECT key, value FROM meta")}
    whole = lacking = 0
    size_ = ""
    recipe = _recipe(old, str(facts.get("recipe", "")))
    generation = int(facts["generation"]) if str(facts.get("generation")).isdecimal() else 0
    with contextlib.closing(open_to_write(folder, _MAKING)) as new:
        for document_id in document_ids(old):
            rows = intact(old, document_id)
            if rows is None:
                lacking += 1
                continue
            if rows.document[1] != recipe:  # staged by a killed run with another embedder
                continue
            text = intact_text(old, document_id, rows.document[0])
            lacking += text is None
            whole += text is not None and rows.document[0] in wanted
            with new.transaction():
                new.copy(document_id, rows, text)
            size_ = str(len(rows.vectors[0][1]) // 4) if rows.vectors else size_
        known = {"embedder": recipe.partition("/read-")[0], "recipe": recipe}
        if size_:
            known["dimension"] = size_
        if files:
            with new.transaction():
                new.set_facts({"generation": str(generation)})
            new.publish(files, (), known, keep=True)
        waiting = sum(1 for file in new.files().values() if not file.recipe)
        new.fold(_MAKING)  # its log does not come with it
    if lacking or bad or not files:
        _keep_damaged(folder, old)
    (folder / _MAKING).replace(folder / _MADE)
    sync(folder)
    parts = [f"{whole} documents kept"]
    if waiting:
        parts.append(f"{waiting} to be read again")
    if not files:
        parts.append("their files are not known: name your folders, rag index FOLDER")
    return ", ".join(parts)


def _recipe(old: Store, stated: str) -> str:
    """What the live documents were made with: as stated, or where that is damaged as most are."""
    made = [str(row[0]) for row in old.readable("SELECT recipe FROM documents")]
    return stated if stated in made else max(set(made), key=made.count, default="")


def _keep_damaged(folder: Path, old: Store) -> None:
    """Keep what may hold more than could be read; one kept earlier stays until it is there."""
    new, kept = folder / f"{KEPT}.new", folder / KEPT
    new.unlink(missing_ok=True)
    old.readable("PRAGMA wal_checkpoint(TRUNCATE)")  # the log is not kept
    try:
        try:
            os.link(folder / DATABASE, new)
        except OSError:  # not every file system has links
            shutil.copyfile(folder / DATABASE, new)
        new.replace(kept)
    except OSError as error:
        raise OutOfResources(
            f"the damaged index in {folder} cannot be kept beside a new one: {error.strerror}",
            hint="free some space and run the same command again; the index is unchanged",
        ) from error
    finally:
        new.unlink(missing_ok=True)


def _put_in_place(folder: Path) -> None:
    """Give the new file its name; whoever is killed here goes on here."""
    for suffix in ("-wal", "-shm"):  # they belong to the old one
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    (folder / _MADE).replace(folder / DATABASE)
    sync(folder)


def _forget(folder: Path, name: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
