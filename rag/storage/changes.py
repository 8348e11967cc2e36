"""What is new, changed, moved, a copy or gone: the files under the roots against the index.

Documents are told apart by the SHA-256 of their text and of its pages, so that a file that was
renamed, or copied, is embedded once. A file whose size, times and inode are those it was read with
is not read again, and one whose bytes are known is not parsed again.
"""

from __future__ import annotations

import hashlib
import io
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_
from pathlib import Path, PurePosixPath

from rag.documents.find import Source, Whose, find, mode_of, places_of
from rag.documents.formats import format_of
from rag.documents.read import Raw, convert, load
from rag.documents.sandbox import Sandbox
from rag.errors import IndexUnusable, InputUnreadable
from rag.records import Document, Skipped
from rag.storage.store import IndexedFile
from rag.storage.sums import content_sum

Live = dict[str, IndexedFile]
# Ends ``IndexedFile.seen`` of a file whose pages without text were recognised, or were to be.
_RECOGNISED = " ocr"
_SETTLED_NS = 2_000_000_000  # a file changed so shortly ago may change again within its time stamp


@dataclass(slots=True)
class Changes:
    """What a run finds, filled in file by file.

    Attributes:
        inputs: Files to look at, and documents of the index that cannot be opened now.
        gone: Paths that leave the index.
        skipped: What was left out, and why.
        warnings: Documents of which a part could not be read, and why.
        files: What each path holds now.
        touched: Of these, where only time stamps or the root differ.
        added: Paths that the index does not have.
        changed: Paths that hold another text, or are to be made with another embedder.
        recognised: Of these and the added, those with pages whose text was recognised.
        unchanged: Paths that hold what they held.
    """

    inputs: tuple[Source | Skipped, ...]
    gone: list[str]
    skipped: list[Skipped]
    warnings: list[Skipped] = field(default_factory=list)
    files: Live = field(default_factory=dict)
    touched: Live = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    unchanged: int = 0

    def moved(self, live: Live) -> dict[str, str]:
        """Old path to new path where a text that is gone from one is new at the other."""
        came: dict[str, list[str]] = {}
        for path in self.added:
            came.setdefault(self.files[path].content, []).append(path)
        found: dict[str, str] = {}
        for path in self.gone:
            if new := came.get(live[path].content):
                found[path] = new.pop(0)
        return found


def look(roots: list[Path], live: Live, *, replace: bool, gitignore: bool) -> Changes:
    """List what the roots hold, beside what the index has; nothing is read yet.

    Raises:
        InputUnreadable: A root is missing.
    """
    sources, skipped = find(roots, gitignore=gitignore, whose=_owners(live, roots, replace=replace))
    hidden = _hidden(skipped, live, {source.path for source in sources})
    inputs: tuple[Source | Skipped, ...] = (*sources, *hidden)
    here = {source.path for source in inputs}
    return Changes(
        inputs=inputs,
        gone=_gone(live, roots, here, replace=replace),
        skipped=[skip for skip in skipped if skip not in hidden],
    )


def compare(
    changes: Changes,
    live: Live,
    *,
    roots: list[Path],
    recipe: str,
    max_bytes: int,
    sandbox: Sandbox,
    stored: Callable[[str], Document],
) -> Iterator[tuple[str, Document | None]]:
    """Look at one file after the other, and take down what is found.

    Args:
        changes: What ``look`` listed; the rest of it is filled in.
        live: What the index has.
        roots: Where the files were found.
        recipe: What documents are to be made with.
        max_bytes: Larger files are skipped.
        sandbox: Where files are parsed.
        stored: A document of the index by its path, for files that cannot be read now.

    Yields:
        The path that was looked at, and its document where the index does not have that path
        with that content, made so, and no document with its bytes was seen.
    """
    ocr = sandbox.limits.ocr is not None
    known = {
        (file.sha256, _format(path)): (file.content, _was_recognised(file))
        for path, file in live.items()
        if file.recipe == recipe and not (ocr and _unrecognised(path, file))
    }
    for source in changes.inputs:
        before = live.get(source.path)
        root, seen = _root_of(source, roots), _seen(source)
        current = before is not None and before.recipe == recipe
        recognised = before is not None and _was_recognised(before)
        due = ocr and before is not None and _unrecognised(source.path, before)
        same_file = before and seen and before.seen.removesuffix(_RECOGNISED) == seen
        if before and current and same_file and not due:
            changes.unchanged += 1
            changes.files[source.path] = before
            if before.root != root:
                changes.touched[source.path] = replace_(before, root=root)
            yield source.path, None
            continue
        outcome: Raw | Document | Skipped = (
            load(source, max_bytes=max_bytes) if isinstance(source, Source) else source
        )
        if isinstance(outcome, Raw) and (outcome.sha256, outcome.format) not in known:
            outcome = convert(outcome, sandbox)
        read = isinstance(outcome, Document)
        if isinstance(outcome, Skipped):
            kept = "; its earlier text stays" if before and before.recipe else ""
            changes.skipped.append(Skipped(outcome.path, outcome.reason + kept))
            if not before:
                yield source.path, None
                continue
            root, seen = before.root, ""
            if current or not before.recipe:
                changes.unchanged += current
                changes.files[source.path] = before
                yield source.path, None
                continue
            outcome = replace_(stored(source.path), sha256=before.sha256)
        if isinstance(outcome, Raw):
            content, recognised = known[outcome.sha256, outcome.format]
        else:
            content = content_sum(outcome)
            if read:
                recognised = ocr and outcome.format == "pdf"
            known[outcome.sha256, outcome.format] = content, recognised
            if outcome.warning:
                changes.warnings.append(Skipped(source.path, outcome.warning))
        seen += _RECOGNISED if recognised else ""
        file = IndexedFile(root, outcome.sha256, content, seen, recipe)
        changes.files[source.path] = file
        document = None if isinstance(outcome, Raw) else outcome
        same = before and current and before.content == content
        if same and (document is None or _says_the_same(document, stored(source.path))):
            changes.unchanged += 1
            if before != file:
                changes.touched[source.path] = file
            yield source.path, None
            continue
        (changes.changed if before else changes.added).append(source.path)
        if document and any(place.ocr for place in document.places):
            changes.recognised.append(source.path)
        yield source.path, document


def _was_recognised(file: IndexedFile) -> bool:
    return file.seen.endswith(_RECOGNISED)


def _unrecognised(path: str, file: IndexedFile) -> bool:
    """Whether it is a PDF that was read without OCR, and is to be read again with it."""
    return _format(path) == "pdf" and not _was_recognised(file)


def _format(path: str) -> str:
    return format_of(PurePosixPath(path).name)


def _says_the_same(new: Document, old: Document) -> bool:
    """Whether two documents of one text agree on its pages and on what their formats say of it."""
    stated = ("title", "date", "author", "language")
    return (new.format, new.places) == (old.format, old.places) and all(
        getattr(new, name) in ("", getattr(old, name)) for name in stated
    )


def refuse_mixture(live: Live, recipe: str, settled: set[str]) -> None:
    """Refuse an index of two vector spaces.

    Raises:
        IndexUnusable: Documents that this run does not look at were made otherwise.
    """
    left = {path for path, file in live.items() if file.recipe not in (recipe, "")} - settled
    if left:
        raise IndexUnusable(
            f"the index holds {len(left)} documents of other folders made with another"
            " embedder or splitter",
            hint="refresh all of it: rag index, or keep only what you name: --replace",
        )


def refuse_empty(roots: list[Path], skipped: list[Skipped], staying: list[str]) -> None:
    """Say that there is nothing to index.

    That a folder is empty all at once may be a disk that is away: what was in it stays, and is
    said to.

    Raises:
        InputUnreadable: Always.
    """
    where = ", ".join(str(root) for root in roots) or "nowhere"
    why = ""
    if skipped:
        why = f"; the first of {len(skipped)} skipped: {skipped[0].path}: {skipped[0].reason}"
    hint = "name a folder of documents: rag index FOLDER (formats: docs/formats.md)"
    if staying:
        why += f"; what the index has from there stays ({len(staying)})"
        hint = "to drop it name what is to be kept: rag index FOLDER --replace; or delete the index"
    raise InputUnreadable(f"no document can be read in {where}{why}", hint=hint)


def _seen(source: Source | Skipped) -> str:
    """What the file system says of a file, "" where a change could still hide behind it."""
    if isinstance(source, Skipped):
        return ""
    try:
        state = source.file.stat()
    except OSError:
        return ""
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) < _SETTLED_NS:
        return ""
    return f"{state.st_size}.{state.st_mtime_ns}.{state.st_ctime_ns}.{state.st_ino}"


def _owners(live: Live, roots: list[Path], *, replace: bool) -> Whose:
    """What the index knows of the names of files.

    The name of another file is free again once that is gone, but not while its root is away.
    """

    def whose(path: str, file: Path) -> bool | None:
        before = live.get(path)
        if before is None:
            return None
        root = Path(before.root)
        places = places_of(path, root)
        if file in places:
            return True
        if root not in roots and replace:
            return None
        if root not in roots and not mode_of(root):
            return _holds(file, before.sha256)  # then its folder was moved
        return False if any(map(mode_of, places)) else None

    return whose


def _holds(file: Path, sha256: str) -> bool:
    """Whether a file holds the bytes with that sum."""
    try:
        with file.open("rb") if file.is_file() else io.BytesIO() as data:
            return hashlib.file_digest(data, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _hidden(skipped: list[Skipped], live: Live, readable: set[str]) -> list[Skipped]:
    """Documents of the index that are still there but cannot even be opened now."""
    reasons = {s.path: s for s in skipped if s.path in live}
    for folder in [s for s in skipped if s.path.endswith("/")]:
        for path in live:
            if f"/{folder.path}" in f"/{path}":  # it may be called with the folders above
                reasons.setdefault(path, Skipped(path, f"its folder {folder.reason}"))
    return [reason for path, reason in reasons.items() if path not in readable]


def _gone(live: Live, roots: list[Path], here: set[str], *, replace: bool) -> list[str]:
    """Documents of the index that are to leave it."""
    known = {file.root for file in live.values()}
    mine = {root for root in known if Path(root) in roots or gone_from(Path(root), roots)}
    return [
        path for path, file in live.items() if path not in here and (replace or file.root in mine)
    ]


def gone_from(root: Path, roots: list[Path]) -> bool:
    """Whether a root of the index, a file or a folder within one of these, is there no more."""
    if not any(other in root.parents and stat.S_ISDIR(mode_of(other)) for other in roots):
        return False
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it may be there, and not be looked at
        return False
    return False


def _root_of(source: Source | Skipped, roots: list[Path]) -> str:
    if isinstance(source, Skipped):
        return ""
    return next(str(root) for root in roots if source.file.is_relative_to(root))
