"""Path to Documents: which files are read, how their bytes become text, what is left out and why.

Nothing here knows of passages or of the index. The decoded text is kept exactly as it is, line
ends included: every offset in the program refers to it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pathspec

from rag.errors import InputUnreadable
from rag.records import Document, Skipped
from rag.terminal import printable

SUFFIXES = frozenset({".txt", ".text", ".md", ".markdown"})
IGNORE_FILE = ".ragignore"
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read: where it is, and what it is called in the index."""

    file: Path
    path: str


def find(roots: list[Path], *, gitignore: bool = True) -> tuple[list[Source], list[Skipped]]:
    """List the files under the roots, in path order.

    A root may be a folder or a file. Symbolic links that lead out of their root, special files
    and other formats are skipped; ``.ragignore`` and, with ``gitignore``, ``.gitignore`` are obeyed
    silently, those of the folders below a root and of the root itself.

    Raises:
        InputUnreadable: A root does not exist, cannot be listed, or has a name that is no text.
    """
    sources: dict[str, Source] = {}
    skipped: list[Skipped] = []
    for root in roots:
        if not root.exists():
            raise InputUnreadable(
                f"no such file or folder: {printable(str(root))}",
                hint="name a folder of documents: rag index FOLDER",
            )
        try:
            str(root).encode()
        except UnicodeEncodeError as error:
            raise InputUnreadable(
                f"the name of {printable(str(root))} is not UTF-8", hint="rename it"
            ) from error
        folder = root if root.is_dir() else root.parent
        candidates = list(_walk(root, skipped, gitignore=gitignore)) if root.is_dir() else [root]
        for file in candidates:
            path = printable(file.relative_to(folder).as_posix())
            reason = _why_not(file, folder)
            if reason:
                skipped.append(Skipped(path, reason))
            elif path in sources and sources[path].file.resolve() != file.resolve():
                skipped.append(Skipped(path, f"same name as {printable(str(sources[path].file))}"))
            else:
                sources[path] = Source(file, path)
    return [sources[path] for path in sorted(sources)], skipped


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
            try:
                lines = ignore.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise InputUnreadable(
                    f"{ignore} cannot be read: {error}",
                    hint="it is text, one pattern a line, as in .gitignore",
                ) from error
            rules.append((here, pathspec.GitIgnoreSpec.from_lines(lines)))

        def ignored(entry: Path, mark: str = "") -> bool:
            return any(
                spec.match_file(entry.relative_to(base).as_posix() + mark)
                for base, spec in rules
                if entry.is_relative_to(base)
            )

        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not ignored(here / name, "/")
        )
        for name in sorted(files):
            if not name.startswith(".") and not ignored(here / name):
                yield here / name


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
    if file.suffix.lower() not in SUFFIXES:
        return f"format {printable(file.suffix) or 'without a suffix'} is not read yet"
    return ""


def read(source: Source, *, max_bytes: int) -> Document | Skipped:
    """Read one file; whatever is wrong with it becomes a reason, never an exception."""
    try:
        with source.file.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > max_bytes:
                return Skipped(
                    source.path,
                    f"{size / 1e6:.1f} MB, over the limit of {max_bytes / 1e6:g} MB (max_file_mb)",
                )
            data = handle.read(max_bytes + 1)
    except OSError as error:
        return Skipped(source.path, f"cannot be read: {error.strerror}")
    if len(data) > max_bytes:
        return Skipped(source.path, "grew beyond the size limit while it was read")
    decoded = decode(data)
    if isinstance(decoded, str):
        return Skipped(source.path, decoded)
    text, encoding = decoded
    if not text.strip("\ufeff \t\r\n\f\v"):
        return Skipped(source.path, "empty")
    return Document(
        path=source.path, text=text, sha256=hashlib.sha256(data).hexdigest(), encoding=encoding
    )


def decode(data: bytes) -> tuple[str, str] | str:
    """Bytes to (text, encoding), or the reason why they are no text.

    Byte order mark first, then strict UTF-8, then a detector: detectors misread short UTF-8. A
    UTF-8 mark stays in the text so that offsets are those of the file decoded as UTF-8.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), encoding
            except UnicodeDecodeError:
                return f"begins as {encoding} but is not"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _detect(data)
    return "binary, not text" if _binary(text) else (text, "utf-8")


def _detect(data: bytes) -> tuple[str, str] | str:
    if b"\x00" in data[:8192]:
        return "binary, not text"
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000], threshold=0.2).best()
    if best is None:
        return "neither UTF-8 nor any encoding that could be recognised"
    try:
        text = data.decode(best.encoding)
    except (UnicodeDecodeError, LookupError):
        return f"looked like {best.encoding} but is not"
    return "binary, not text" if _binary(text) else (text, best.encoding)


def _binary(text: str) -> bool:
    """More than one control character in a hundred, or any NUL, in the first part of it."""
    head = text[:8192]
    controls = sum(1 for c in head if unicodedata.category(c) == "Cc" and c not in "\t\n\r\f\v")
    return "\x00" in head or controls * 100 > len(head)
