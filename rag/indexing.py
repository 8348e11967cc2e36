"""STORY 1, a document's: read -> split -> embed -> store."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag import dense, read, split
from rag.errors import IndexUnusable, InputUnreadable
from rag.find import Source, find
from rag.records import Document, Embedder, Skipped
from rag.sandbox import DEFAULT_LIMITS, ParseLimits, Sandbox
from rag.split import embedding_text
from rag.store import Store, writing

Live = dict[str, tuple[int, str, str, str]]  # path -> id, root, SHA-256, recipe
Progress = Callable[[str, int, int], None]
_BATCH = 256  # texts embedded at a time: bounds memory, and how long Ctrl-C waits


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did to the index, by document paths.

    ``warnings`` name documents of which this run could not read a part, and why.
    """

    generation: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[Skipped, ...] = ()
    embedded: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def build_index(
    roots: list[Path],
    *,
    folder: Path,
    open_embedder: Callable[[], Embedder],
    embedder_name: str,
    max_bytes: int,
    limits: ParseLimits = DEFAULT_LIMITS,
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
        limits: What parsing one file may take.
        replace: Drop documents of roots that are not named.
        progress: Called with (path, documents done, documents in all).

    Raises:
        InputUnreadable: A root is missing, or no document can be read at all.
        IndexBusy: Another process is writing.
        IndexUnusable: Documents of other roots were made with another embedder or splitter.
        OutOfResources: The disk is full; the index is as it was.
    """
    tell = progress or (lambda *_: None)
    with writing(folder) as store, Sandbox(limits) as sandbox:
        roots = [Path(os.path.realpath(root)) for root in roots] or _known_roots(store)
        recipe = f"{embedder_name}/read-{read.VERSION}/split-{split.VERSION}"
        if limits.json_field != DEFAULT_LIMITS.json_field:
            recipe += f"/{limits.json_field}"
        live, staged = store.fingerprints(live=True), store.fingerprints(live=False)
        sources, skipped = find(roots)
        taken = [] if replace else _taken(sources, live)
        sources = [s for s in sources if s.path not in {t.path for t in taken}]
        hidden = _hidden(skipped, live, {s.path for s in sources})
        skipped = [s for s in skipped if s not in hidden] + taken
        inputs: list[Source | Skipped] = [*sources, *hidden]
        here = {source.path for source in inputs}
        gone = _gone(live, roots, here, replace=replace)
        _refuse_mixture(live, recipe, here.union(gone))
        found: dict[str, int | None] = {}  # path -> id of the live document to keep, if any
        moved: dict[int, str] = {}  # id of an unchanged document -> the root it has now
        embedder: Embedder | None = None
        added: list[str] = []
        changed: list[str] = []
        warnings: list[Skipped] = []
        embedded = 0
        for number, source in enumerate(inputs):
            tell(source.path, number, len(inputs))
            before = live.get(source.path)
            root = _root_of(source, roots)
            known = [before[2:]] if before else []
            if source.path in staged and staged[source.path][1] == root:
                known.append(staged[source.path][2:])
            outcome: read.Raw | Document | Skipped = (
                read.load(source, max_bytes=max_bytes) if isinstance(source, Source) else source
            )
            if isinstance(outcome, read.Raw) and (outcome.sha256, recipe) not in known:
                outcome = read.convert(outcome, sandbox)
            if isinstance(outcome, Skipped):
                kept = "; its earlier text stays" if before else ""
                skipped.append(Skipped(outcome.path, outcome.reason + kept))
                if not before:
                    continue
                outcome, root = store.document(before[0]), before[1]
            same = (outcome.sha256, recipe)
            if before and before[2:] == same:
                found[source.path] = before[0]
                if before[1] != root:
                    moved[before[0]] = root
                continue
            (changed if before else added).append(source.path)
            found[source.path] = None
            if isinstance(outcome, read.Raw) or (
                source.path in staged and staged[source.path][1:] == (root, *same)
            ):
                continue
            if outcome.warning:
                warnings.append(Skipped(source.path, outcome.warning))
            embedder = embedder or open_embedder()
            embedded += _stage(store, outcome, embedder, root=root, recipe=recipe)
        if not found:
            _refuse_empty(roots, skipped)
        stale = [s[0] for path, s in staged.items() if found.get(path, 0) is not None]
        store.discard(stale)
        store.move(moved)
        remove = [live[path][0] for path in gone + changed]
        if added or remove or not store.generation:
            store.publish(remove=remove, facts={"embedder": embedder_name, "recipe": recipe})
        if dense.problem(store):
            dense.build(store)
        tell("", len(inputs), len(inputs))
        return IndexReport(
            generation=store.generation,
            added=tuple(added),
            changed=tuple(changed),
            removed=tuple(gone),
            unchanged=sum(1 for kept in found.values() if kept is not None),
            skipped=tuple(skipped),
            warnings=tuple(warnings),
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
    store.stage(
        document,
        parts,
        root=root,
        recipe=recipe,
        passage_vectors=vectors[:count],
        sentence_vectors=vectors[count:],
    )
    return len(texts)


def _known_roots(store: Store) -> list[Path]:
    return sorted({Path(row[1]) for row in store.fingerprints(live=True).values()})


def _taken(sources: list[Source], live: Live) -> list[Skipped]:
    """Files with the name of a document that is still there under another root."""
    taken = []
    for source in sources:
        if before := live.get(source.path):
            root = Path(before[1])
            other = root / source.path if root.is_dir() else root
            if other.exists() and other != source.file:
                taken.append(Skipped(source.path, f"same name as a document of {root}"))
    return taken


def _hidden(skipped: list[Skipped], live: Live, readable: set[str]) -> list[Skipped]:
    """Documents of the index that are still there but cannot even be opened now."""
    reasons = {s.path: s for s in skipped if s.path in live}
    for folder in [s for s in skipped if s.path.endswith("/")]:
        for path in live:
            if path.startswith(folder.path):
                reasons.setdefault(path, Skipped(path, f"its folder {folder.reason}"))
    return [reason for path, reason in reasons.items() if path not in readable]


def _gone(live: Live, roots: list[Path], here: set[str], *, replace: bool) -> list[str]:
    """Documents of the index that are to leave it."""
    mine = {str(root) for root in roots}
    return [
        path
        for path, (_, root, _, _) in live.items()
        if path not in here and (replace or root in mine)
    ]


def _refuse_mixture(live: Live, recipe: str, settled: set[str]) -> None:
    if left := {path for path, row in live.items() if row[3] != recipe} - settled:
        raise IndexUnusable(
            f"the index holds {len(left)} documents of other folders made with another"
            " embedder or splitter",
            hint="refresh all of it: rag index, or keep only what you name: --replace",
        )


def _root_of(source: Source | Skipped, roots: list[Path]) -> str:
    if isinstance(source, Skipped):
        return ""
    return next(str(root) for root in roots if source.file.is_relative_to(root))


def _refuse_empty(roots: list[Path], skipped: list[Skipped]) -> None:
    where = ", ".join(str(root) for root in roots) or "nowhere"
    why = ""
    if skipped:
        why = f"; the first of {len(skipped)} skipped: {skipped[0].path}: {skipped[0].reason}"
    raise InputUnreadable(
        f"no document can be read in {where}{why}",
        hint="name a folder of documents: rag index FOLDER (formats: docs/formats.md)",
    )
