"""Folders to files: which are read, under which names, and why the others are left out.

Nothing here opens a document.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pathspec

from rag.documents.formats import format_of, why_unread
from rag.errors import InputUnreadable
from rag.records import Skipped
from rag.terminal import printable

IGNORE_FILE = ".ragignore"
# What lies in the folder of an index, which may be within the documents, and is none of them.
_INDEX_FILE = re.compile(
    r"lock|rag\.sqlite(?:-wal|-shm|-journal|\.damaged|\.mend(?:ing|ed))*|dense(?:-\d+)?\.faiss"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read: where it is, and what it is called in the index."""

    file: Path
    path: str


# Whether a name is that of this file in the index (True), of another (False), or of none (None).
Whose = Callable[[str, Path], bool | None]


def find(
    roots: list[Path], *, gitignore: bool = True, whose: Whose = lambda *_: None
) -> tuple[list[Source], list[Skipped]]:
    """List the files under the roots, in path order.

    A root may be a folder or a file. Symbolic links that lead out of their root, special files
    and other formats are skipped; ``.ragignore`` and, with ``gitignore``, ``.gitignore`` are obeyed
    silently, those of the folders below a root and of the root itself.

    A file is called by its path below its root; where another has that name, by the name of the
    root before it, and of as many folders above as it takes.

    Args:
        roots: Folders or files.
        gitignore: Obey ``.gitignore`` too.
        whose: What the index knows of a name: a file keeps the one it has.

    Raises:
        InputUnreadable: A root does not exist, cannot be listed, or has a name that is no text.
    """
    sources: dict[str, Source] = {}
    skipped: list[Skipped] = []
    for root in roots:
        is_folder = _is_folder(root)
        try:
            str(root).encode()
        except UnicodeEncodeError as error:
            raise InputUnreadable(
                f"the name of {printable(str(root))} is not UTF-8", hint="rename it"
            ) from error
        folder = root if is_folder else root.parent
        candidates = list(_walk(root, skipped, gitignore=gitignore)) if is_folder else [root]
        prefixes = _before(folder)
        for file in candidates:
            path = printable(file.relative_to(folder).as_posix())
            names = [before + path for before in prefixes]
            reason = _why_not(file, folder)
            if reason:
                known = (name for name in names if whose(name, file))
                skipped.append(Skipped(next(known, path), reason))
            elif called := _called(file, names, sources, whose):
                sources.setdefault(called, Source(file, called))
            else:
                skipped.append(Skipped(path, "every name that it could have is another's"))
    return [sources[path] for path in sorted(sources)], skipped


def _before(folder: Path) -> list[str]:
    """What may stand before a path below a folder: nothing, or its name, with more above each."""
    above = [part for part in folder.parts if part != folder.anchor]
    return ["", *(printable("/".join(above[-n:])) + "/" for n in range(1, len(above) + 1))]


def places_of(path: str, root: Path) -> list[Path]:
    """The files below a root that may be called so; the root may be a file itself."""
    if not stat.S_ISDIR(mode_of(root)):
        return [root]
    parts = PurePosixPath(path).parts
    return [
        root.joinpath(*parts[n:])
        for n in range(len(parts))
        if parts[:n] == root.parts[len(root.parts) - n :]
    ]


def mode_of(path: Path) -> int:
    """What kind of file is there, and for whom; 0 where none is, or none that may be looked at."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _called(file: Path, names: list[str], sources: dict[str, Source], whose: Whose) -> str:
    """The name that a file has already, or else the first that is free; "" where none is."""
    free: list[str] = []
    for name in names:
        if name in sources:
            if sources[name].file.resolve() == file.resolve():
                return name
        elif (known := whose(name, file)) is not False:
            if known:
                return name
            free.append(name)
    return next(iter(free), "")


def _is_folder(root: Path) -> bool:
    """Whether a root is a folder, or else a file.

    Raises:
        InputUnreadable: It is not there, or in a folder that may not be entered.
    """
    try:
        return stat.S_ISDIR(root.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputUnreadable(
            f"no such file or folder: {printable(str(root))}",
            hint="name a folder of documents: rag index FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputUnreadable(
            f"{printable(str(root))} cannot be looked at: {why}", hint="check its permissions"
        ) from error


def _walk(root: Path, skipped: list[Skipped], *, gitignore: bool) -> Iterator[Path]:
    """Files below a folder; hidden ones and those that an ignore file names are left out."""
    names = (".gitignore", IGNORE_FILE) if gitignore else (IGNORE_FILE,)
    rules: list[tuple[Path, pathspec.GitIgnoreSpec]] = []

    def unlistable(error: OSError) -> None:
        if Path(error.filename) == root:
            raise InputUnreadable(
                f"{printable(str(root))} cannot be listed: {error.strerror}",
                hint="check its permissions",
            )
        path = Path(error.filename).relative_to(root).as_posix()
        skipped.append(Skipped(f"{printable(path)}/", f"cannot be listed: {error.strerror}"))

    for parent, folders, files in os.walk(root, onerror=unlistable):
        here = Path(parent)
        for ignore in (here / name for name in names if name in files):
            rules.append((here, _rules(ignore)))

        def ignored(entry: Path, mark: str = "") -> bool:
            return any(
                spec.match_file(entry.relative_to(base).as_posix() + mark)
                for base, spec in rules
                if entry.is_relative_to(base)
            )

        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not ignored(here / name, "/")
        )
        for name in folders:
            if os.path.islink(here / name):  # False where that cannot be seen  # noqa: PTH114
                path = printable((here / name).relative_to(root).as_posix())
                skipped.append(Skipped(path, "a link to a folder is not followed"))
        for name in sorted(files):
            own = "rag.sqlite" in files and _INDEX_FILE.fullmatch(name)
            if not name.startswith(".") and not own and not ignored(here / name):
                yield here / name


def _rules(file: Path) -> pathspec.GitIgnoreSpec:
    """The patterns of an ignore file; what is wrong in a ``.gitignore`` is another program's.

    Raises:
        InputUnreadable: A ``.ragignore`` is no text, or a line of it is no pattern.
    """
    ours = file.name == IGNORE_FILE
    lines: list[str] = []
    try:
        text = file.read_text(encoding="utf-8-sig", errors="strict" if ours else "replace")
        for line in text.splitlines():
            try:
                pathspec.GitIgnoreSpec.from_lines([line])
            except ValueError:
                if ours:
                    raise
                continue
            lines.append(line)
    except (OSError, ValueError) as error:
        if ours:
            raise InputUnreadable(
                f"{printable(str(file))} cannot be read: {error}",
                hint="it is text, one pattern a line, as in .gitignore",
            ) from error
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _why_not(file: Path, root: Path) -> str:
    """The reason a file is not opened, or "" where it may be."""
    try:
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            mode = file.stat().st_mode  # first: a link to itself cannot be resolved
            if not file.resolve().is_relative_to(root.resolve()):
                return "a link that leads out of the folder"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return "" if format_of(file.name) else why_unread(file.name)
