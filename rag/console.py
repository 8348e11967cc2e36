"""What a person at a terminal sees beside the answer: progress, waiting, questions.

Answers go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rag.opening import Consent


def consent(*, quiet: bool) -> Consent:
    """Ask before fetching a model where somebody can answer; show how far it is."""
    from rag.opening import Consent

    def may_fetch(name: str, size: int) -> bool:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return True
        note("\r\x1b[K", end="")
        return typer.confirm(
            f"The model {name} is not here. Fetch {size / 1e6:,.0f} MB?", default=True, err=True
        )

    def tell(label: str, done: int, total: int) -> None:
        if quiet or not sys.stderr.isatty():
            return
        note(f"\rfetching {label}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB ", end="")
        if done >= total:
            note("")

    return Consent(may_fetch=may_fetch, progress=tell, say=note)


@contextmanager
def progress(
    what: str, *, quiet: bool, unit: str = "files"
) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; elsewhere a line now and then, so that logs show life."""
    if quiet:
        yield lambda *_: None
        return
    if not sys.stderr.isatty():
        yield _plain_progress(what, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, state="")

        def tell(_label: str, done: int, total: int) -> None:
            state = f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB" if unit == "bytes" else (
                f"{done:,}/{total:,} {unit}")  # fmt: skip
            bar.update(task, completed=done, total=total, state=state)

        yield tell


def _plain_progress(what: str, unit: str) -> Callable[[str, int, int], None]:

    last = time.monotonic()

    def tell(_label: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 5:
            last = time.monotonic()
            scale, name = (1e6, "MB") if unit == "bytes" else (1, unit)
            note(f"{what}: {done / scale:,.0f} of {total / scale:,.0f} {name}")

    return tell


@contextmanager
def busy(what: str, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Say on a terminal what is being waited for; yields what takes it away again."""
    shown = not quiet and sys.stderr.isatty()

    def clear() -> None:
        nonlocal shown
        if shown:
            note("\r\x1b[K", end="")
        shown = False

    if shown:
        note(what, end="")
    try:
        yield clear
    finally:
        clear()


def width() -> int:
    """Columns to wrap text to."""
    return min(shutil.get_terminal_size((100, 24)).columns, 110)


def out(text: str, end: str = "\n") -> None:
    """Print to stdout: answers only."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:  # typer would make it exit code 1: a bug
        hang_up()
        raise typer.Exit from None


def hang_up() -> None:
    """Whoever read our output is gone: let what is still buffered go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str, end: str = "\n") -> None:
    """Print to stderr: all that is not an answer."""
    sys.stderr.write(text + end)
    sys.stderr.flush()
