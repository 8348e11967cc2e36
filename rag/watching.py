"""An index that stays fresh while its folders change."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rag.documents.find import mode_of
from rag.errors import RagError
from rag.indexing import IndexReport, resolved
from rag.storage.store import IndexedFile, open_index

_QUIET_MS = 500  # so long nothing must change before a run begins
_MOST_MS = 10_000  # but so long at most it is waited for
_AGAIN_MS = 5_000  # after which a run that failed is tried again


def watch_roots(
    folder: Path,
    named: list[Path],
    run: Callable[[list[Path]], IndexReport],
    *,
    quiet_ms: int = _QUIET_MS,
    again_ms: int = _AGAIN_MS,
) -> Iterator[IndexReport | RagError]:
    """Refresh the index after each burst of changes, until the process is interrupted.

    The first run begins once the roots are watched, whether or not anything changes then: nothing
    that changed before is missed.

    A run that fails (another writer, a full disk, a root that is away) is tried again; the index
    stays as it was meanwhile.

    Args:
        folder: Of the index.
        named: The roots to watch; none means those that the index has.
        run: Indexes the roots.
        quiet_ms: How long nothing must change before a run begins, in milliseconds.
        again_ms: How long after a failed run the next begins, in milliseconds.

    Yields:
        What each run that changed something did, or why it failed.
    """
    from watchfiles import watch

    failed, owed = False, True
    ours = Path(os.path.realpath(folder))

    def theirs(_change: object, path: str) -> bool:
        return not Path(path).is_relative_to(ours)

    while True:
        # Resolved as well, or what changes in the index would not be told from a document.
        roots = resolved(named, {} if named else _files(folder))
        there = [bool(mode_of(root)) for root in roots]
        changes = watch(
            *[root for root in roots if os.access(root, os.R_OK)] or [folder],
            watch_filter=theirs,
            debounce=_MOST_MS,
            step=quiet_ms,
            rust_timeout=again_ms,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        for found in changes:
            came_or_went = [bool(mode_of(root)) for root in roots] != there
            if not (found or owed or came_or_went):
                continue
            try:
                report = run(named)
            except RagError as error:
                if not failed:  # said once
                    yield error
                failed = owed = True
                break  # a root may have gone: begin anew with those that are there
            failed = owed = False
            if report.added or report.changed or report.removed or report.moved:
                yield report
            if came_or_went:
                break


def _files(folder: Path) -> dict[str, IndexedFile]:
    with contextlib.closing(open_index(folder)) as store:
        return store.files()
