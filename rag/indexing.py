"""STORY 1, a document's: read -> split -> embed -> store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as replace_
from pathlib import Path

from rag.documents import language, read, split
from rag.documents.find import mode_of
from rag.documents.sandbox import DEFAULT_LIMITS, ParseLimits, Sandbox
from rag.records import Document, Embedder, Skipped
from rag.storage import dense
from rag.storage.changes import (
    Changes,
    Live,
    compare,
    gone_from,
    look,
    refuse_empty,
    refuse_mixture,
)
from rag.storage.database import is_index
from rag.storage.mending import mend
from rag.storage.similar import near
from rag.storage.staging import Staging
from rag.storage.store import IndexedFile, Store, open_index
from rag.storage.writing import Writer, locked, open_to_write

Progress = Callable[[str, int, int], None]
_EACH = 100  # so many new documents are compared with all others one by one, more all at once


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did to the index, or would do, by document paths.

    Attributes:
        moved: Old and new path of what has the same text at another place.
        warnings: Documents of which this run could not read a part, and why.
        recognised: Of the added and changed, those of which it recognised pages (OCR).
        copies: First path and the others, of each text that stands at several.
        near_duplicates: Two paths and the share of sentences they have in common, of pairs with a
            document that is new or changed.
        mended: What was found damaged and what became of it; "" where all was sound.
        lost: Documents whose rows were damaged and whose files are gone.
        dry_run: Nothing was changed.
    """

    generation: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[Skipped, ...] = ()
    recognised: tuple[str, ...] = ()
    embedded: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    copies: tuple[tuple[str, ...], ...] = ()
    near_duplicates: tuple[tuple[str, str, float], ...] = ()
    mended: str = ""
    lost: tuple[str, ...] = ()
    dry_run: bool = False


def build_index(
    roots: list[Path],
    *,
    folder: Path,
    open_embedder: Callable[[], Embedder],
    embedder_name: str,
    max_bytes: int,
    limits: ParseLimits = DEFAULT_LIMITS,
    replace: bool = False,
    gitignore: bool = True,
    check: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Make the index hold exactly the readable documents under the roots.

    Documents of other roots stay unless ``replace``. Unchanged documents are neither read into
    passages nor embedded again; the embedder is opened only if something is. A killed run goes on
    where it stopped. A file that was indexed before and cannot be read now keeps its old text.
    What is found damaged is mended first.

    Args:
        roots: Folders or files; empty means the roots that the index already has.
        folder: Of the index.
        open_embedder: Called once, and only if there is something to embed.
        embedder_name: Another one than the index was built with re-embeds everything.
        max_bytes: Larger files are skipped.
        limits: What parsing one file may take.
        replace: Drop documents of roots that are not named.
        gitignore: Obey ``.gitignore`` as well as ``.ragignore``.
        check: Look at every byte of the index first, however large it is.
        progress: Called with (path, documents done, documents in all).

    Raises:
        InputUnreadable: A root is missing, or no document can be read at all.
        IndexBusy: Another process is writing.
        IndexUnusable: Documents of other roots were made with another embedder or splitter.
        OutOfResources: The disk is full; the index is as it was.
    """
    tell = progress or (lambda *_: None)
    with locked(folder):
        language.prepare()  # it takes as long as looking for damage
        damage = mend(folder, thorough=check)
        with contextlib.closing(open_to_write(folder)) as store, Sandbox(limits) as sandbox:
            return _run(
                store, roots, sandbox=sandbox, open_embedder=open_embedder,
                embedder_name=embedder_name, max_bytes=max_bytes, replace=replace,
                gitignore=gitignore, tell=tell, damage=damage,
            )  # fmt: skip


def _run(
    store: Writer,
    roots: list[Path],
    *,
    sandbox: Sandbox,
    open_embedder: Callable[[], Embedder],
    embedder_name: str,
    max_bytes: int,
    replace: bool,
    gitignore: bool,
    tell: Progress,
    damage: str,
) -> IndexReport:
    recipe = recipe_of(embedder_name, sandbox.limits)
    live = store.files()
    roots, changes = _listed(roots, live, recipe, replace=replace, gitignore=gitignore)
    # What a killed run with another embedder staged would be published with what this one stages.
    store.discard(c for c, made in store.contents(live=False).items() if made != recipe)
    has = {c for c, made in store.contents(live=True).items() if made == recipe}
    staged = set(store.contents(live=False))
    staging = Staging(store, open_embedder, recipe=recipe)
    looked = compare(
        changes, live, roots=roots, recipe=recipe, max_bytes=max_bytes, sandbox=sandbox,
        stored=store.document_at,
    )  # fmt: skip
    for path, document in _told(looked, changes, sandbox, tell):
        if document is None:
            continue
        content = changes.files[path].content
        if content in staged:
            store.restore(content, document.text)
        elif content not in has or _again(live.get(path), content):
            staging.add(document)
            staged.add(content)
    staging.flush()
    if not changes.files:
        refuse_empty(roots, changes.skipped, changes.gone)
    wanted = {file.content for file in [*live.values(), *changes.files.values()]}
    store.discard(set(store.contents(live=False)) - wanted)
    new = {path: changes.files[path] for path in changes.added + changes.changed}
    if new or changes.gone or not store.generation:
        facts = {"embedder": embedder_name, "recipe": recipe}
        store.publish({**changes.touched, **new}, changes.gone, facts)
    else:
        store.touch(changes.touched)
    dense.refresh(store)
    tell("", len(changes.inputs), len(changes.inputs))
    report = replace_(
        _report(changes, live), generation=store.generation, embedded=staging.embedded
    )
    return replace_(
        report, counts=store.counts(), copies=_copies(store), mended=damage,
        near_duplicates=_near(store, list(new)),
    )  # fmt: skip


def _told(
    looked: Iterator[tuple[str, Document | None]],
    changes: Changes,
    sandbox: Sandbox,
    tell: Progress,
) -> Iterator[tuple[str, Document | None]]:
    """The same, saying how far it is: with each file, and with each page that is recognised."""
    done, inputs = 0, changes.inputs

    def on_page(page: int, pages: int) -> None:
        tell(f"{inputs[done].path}: page {page} of {pages} by OCR", done, len(inputs))

    sandbox.on_page = on_page
    for number, (path, document) in enumerate(looked):
        tell(path, number, len(inputs))
        done = number + 1
        yield path, document


def preview_index(
    roots: list[Path],
    *,
    folder: Path,
    embedder_name: str,
    max_bytes: int,
    limits: ParseLimits = DEFAULT_LIMITS,
    replace: bool = False,
    gitignore: bool = True,
    progress: Progress | None = None,
) -> IndexReport:
    """Say what ``build_index`` would do, and change nothing.

    Raises:
        InputUnreadable: A root is missing, or no document can be read at all.
        IndexUnusable: The index is damaged, or holds documents of other roots that were made
            with another embedder or splitter.
    """
    store = open_index(folder) if is_index(folder) else None
    with contextlib.ExitStack() as stack:
        if store:
            stack.enter_context(contextlib.closing(store))
        live = store.files() if store else {}
        recipe = recipe_of(embedder_name, limits)
        sandbox = stack.enter_context(Sandbox(limits))
        roots, changes = _listed(roots, live, recipe, replace=replace, gitignore=gitignore)
        stored = store.document_at if store else _no_document
        looked = compare(
            changes, live, roots=roots, recipe=recipe, max_bytes=max_bytes, sandbox=sandbox,
            stored=stored,
        )  # fmt: skip
        for _ in _told(looked, changes, sandbox, progress or (lambda *_: None)):
            pass
        if not changes.files:
            refuse_empty(roots, changes.skipped, changes.gone)
        return replace_(
            _report(changes, live), dry_run=True, generation=store.generation if store else 0,
            counts=store.counts() if store else {},
        )  # fmt: skip


def _listed(
    named: list[Path], live: Live, recipe: str, *, replace: bool, gitignore: bool
) -> tuple[list[Path], Changes]:
    """The roots, and what there is to look at, where all of it would be in one vector space.

    A root that nobody named and that is away keeps no other from being looked at, but where what is
    not found is to be dropped.
    """
    known = resolved(named, live)
    there = [root for root in known if mode_of(root)]
    roots = known if named or replace else there or known
    changes = look(roots, live, replace=replace, gitignore=gitignore)
    refuse_mixture(live, recipe, {s.path for s in changes.inputs}.union(changes.gone))
    changes.skipped += [
        Skipped(str(root), "is away; what the index has from there stays (--replace drops it)")
        for root in known
        if root not in roots and not gone_from(root, roots)
    ]
    return roots, changes


def _no_document(path: str) -> Document:
    raise KeyError(path)


def recipe_of(embedder_name: str, limits: ParseLimits) -> str:
    """What names how documents are read, split and embedded."""
    recipe = f"{embedder_name}/read-{read.VERSION}/split-{split.VERSION}"
    named = limits.json_field != DEFAULT_LIMITS.json_field
    return f"{recipe}/{limits.json_field}" if named else recipe


def _again(before: IndexedFile | None, content: str) -> bool:
    """Whether a path held this text already: then its pages, or what its format says, changed."""
    return before is not None and before.content == content


def _report(changes: Changes, live: Live) -> IndexReport:
    moved = changes.moved(live)
    came = set(moved.values())
    return IndexReport(
        generation=0,
        added=tuple(path for path in changes.added if path not in came),
        changed=tuple(changes.changed),
        removed=tuple(p for p in changes.gone if p not in moved and live[p].recipe),
        moved=tuple(sorted(moved.items())),
        unchanged=changes.unchanged,
        skipped=tuple(changes.skipped),
        warnings=tuple(changes.warnings),
        recognised=tuple(changes.recognised),
        lost=tuple(p for p in changes.gone if p not in moved and not live[p].recipe),
    )


def _copies(store: Store) -> tuple[tuple[str, ...], ...]:
    return tuple(d.paths for d in store.documents() if d.also_in)


def _near(store: Store, paths: list[str]) -> tuple[tuple[str, str, float], ...]:
    """Pairs of almost equal documents of which one is at these paths."""
    if not paths:
        return ()
    names = {document.id: document for document in store.documents()}
    wanted = set(paths)
    new = [d.id for d in names.values() if not wanted.isdisjoint(d.paths)]
    pairs = near(store, new if len(new) <= _EACH else None)
    mine = set(new)
    return tuple(
        (names[one].path, names[other].path, alike)
        for one, other, alike in pairs
        if one in names and other in names and (one in mine or other in mine)
    )


def resolved(roots: list[Path], live: Live) -> list[Path]:
    """The named roots, or those that the index has; links followed."""
    if roots:
        return [Path(os.path.realpath(root)) for root in roots]
    return sorted({Path(file.root) for file in live.values()})
