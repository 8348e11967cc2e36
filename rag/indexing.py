"""STORY 1, a document's: read -> split -> embed -> store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag import dense, split
from rag.errors import IndexUnusable, InputUnreadable
from rag.read import Source, find, read
from rag.records import Document, Embedder, Skipped
from rag.split import embedding_text
from rag.store import Store, writing

Progress = Callable[[str, int, int], None]
_BATCH = 256  # texts embedded at a time: bounds memory, and how long Ctrl-C waits


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did to the index, by document paths."""

    generation: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    embedded: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def build_index(
    roots: list[Path],
    *,
    folder: Path,
    open_embedder: Callable[[], Embedder],
    embedder_name: str,
    max_bytes: int,
    replace: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Make the index hold exactly the readable documents under the roots.

    Documents of other roots stay unless ``replace``. Unchanged documents are neither read into
    passages nor embedded again; the embedder is opened only if something is. A killed run goes on
    where it stopped. A file that was indexed before and cannot be read now keeps its old text.

    Args:
        roots: Folders or files; empty means the roots that the index already has.
        folder: Of the index.
        open_embedder: Called once, and only if there is something to embed.
        embedder_name: Another one than the index was built with re-embeds everything.
        max_bytes: Larger files are skipped.
        replace: Drop documents of roots that are not named.
        progress: Called with (path, documents done, documents in all).

    Raises:
        InputUnreadable: A root is missing, or no document can be read at all.
        IndexBusy: Another process is writing.
        OutOfResources: The disk is full; the index is as it was.
    """
    tell = progress or (lambda *_: None)
    with writing(folder) as store:
        roots = [root.resolve() for root in roots] or _known_roots(store)
        sources, skipped = find(roots)
        recipe = f"{embedder_name}/split-{split.VERSION}"
        live, staged = store.fingerprints(live=True), store.fingerprints(live=False)
        found: dict[str, int | None] = {}  # path -> id of the live document to keep, if any
        embedder: Embedder | None = None
        added: list[str] = []
        changed: list[str] = []
        embedded = 0
        for number, source in enumerate(sources):
            tell(source.path, number, len(sources))
            root = str(_root_of(source, roots))
            document = read(source, max_bytes=max_bytes)
            before = live.get(source.path)
            if before and before[1] != root and not replace and Path(before[1]).exists():
                skipped.append(Skipped(source.path, f"same name as a document of {before[1]}"))
                continue
            if isinstance(document, Skipped):
                kept = "; its earlier text stays" if before else ""
                skipped.append(Skipped(document.path, document.reason + kept))
                if before:
                    found[source.path] = before[0]
                continue
            same = (document.sha256, recipe)
            if before and before[2:] == same:
                found[source.path] = before[0]
                continue
            (changed if before else added).append(source.path)
            found[source.path] = None
            if source.path in staged and staged[source.path][2:] == same:
                continue
            embedder = embedder or open_embedder()
            embedded += _stage(store, document, embedder, root=root, recipe=recipe)
        if not found:
            _refuse_empty(roots, skipped)
        stale = [s[0] for path, s in staged.items() if found.get(path, 0) is not None]
        store.discard(stale)
        mine = {str(root) for root in roots}
        gone = [
            path
            for path, (_, root, _, old_recipe) in live.items()
            if path not in found and (replace or root in mine or not Path(root).exists())
        ]
        left = {path for path, row in live.items() if row[3] != recipe} - set(gone) - set(found)
        if left:
            raise IndexUnusable(
                f"the index holds {len(left)} documents of other folders made with another"
                " embedder or splitter",
                hint="refresh all of it: rag index, or keep only what you name: --replace",
            )
        remove = [live[path][0] for path in gone + changed]
        if added or remove or not store.generation:
            facts = {"embedder": embedder_name, "recipe": recipe}
            if embedder:
                facts["dimension"] = str(embedder.dimension)
            store.publish(remove=remove, facts=facts)
        if dense.problem(store):
            dense.build(store)
        tell("", len(sources), len(sources))
        return IndexReport(
            generation=store.generation,
            added=tuple(added),
            changed=tuple(changed),
            removed=tuple(gone),
            unchanged=sum(1 for kept in found.values() if kept is not None),
            skipped=tuple(skipped),
            embedded=embedded,
            counts=store.counts(),
        )


def _stage(store: Store, document: Document, embedder: Embedder, *, root: str, recipe: str) -> int:
    """Split, embed and store one document; returns how many texts were embedded."""
    parts = split.split(document, count=embedder.count, max_tokens=embedder.max_tokens)
    title = parts.description.title
    texts = [embedding_text(passage, title) for passage in parts.passages]
    texts += [s.clean for passage in parts.passages for s in passage.sentences]
    vectors = np.concatenate(
        [np.zeros((0, embedder.dimension), dtype=np.float32)]
        + [embedder.embed(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]
    )
    count = len(parts.passages)
    try:
        store.stage(
            document,
            parts,
            root=root,
            recipe=recipe,
            passage_vectors=vectors[:count],
            sentence_vectors=vectors[count:],
        )
    except sqlite3.DatabaseError as error:
        raise IndexUnusable(
            f"the index cannot be written: {error}", hint="see: rag doctor"
        ) from error
    return len(texts)


def _known_roots(store: Store) -> list[Path]:
    return sorted({Path(row[1]) for row in store.fingerprints(live=True).values()})


def _root_of(source: Source, roots: list[Path]) -> Path:
    return next(root for root in roots if source.file.is_relative_to(root))


def _refuse_empty(roots: list[Path], skipped: list[Skipped]) -> None:
    where = ", ".join(str(root) for root in roots) or "nowhere"
    why = f"; the first of {len(skipped)} skipped: {skipped[0].path}: {skipped[0].reason}"
    raise InputUnreadable(
        f"no document can be read in {where}{why if skipped else ''}",
        hint="name a folder that holds .txt or .md files: rag index FOLDER",
    )
