"""What a person at a terminal sees beside the answer: progress, waiting, questions.

Answers go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import typer

from rag.terminal import printable

_LABEL = 60  # columns

if TYPE_CHECKING:
    from rag.commands.opening import Consent


def consent(*, quiet: bool) -> Consent:
    """Ask before fetching a model where somebody can answer; show how far it is."""
    from rag.commands.opening import Consent

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
    what: str, *, quiet: bool, unit: str = "files", pace: bool = False, named: bool = False
) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal; elsewhere a line now and then, so that logs show life.

    The bar appears with the first report, so that what comes before it may ask and say things.
    With ``pace`` rate and time left are told too, counted from the first report on: what an
    earlier run did says nothing of this one's speed. With ``named`` what each report is about is
    told as well.
    """
    if quiet:
        yield lambda *_: None
        return
    speed = _Pace() if pace else None
    if not sys.stderr.isatty():
        yield _plain_progress(what, unit, speed, named=named)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    ]
    if not pace:
        columns.append(TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None, state="")

    def tell(label: str, done: int, total: int) -> None:
        state = f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB" if unit == "bytes" else (
            f"{done:,}/{total:,} {unit}")  # fmt: skip
        state += speed(done, total, time.monotonic()) if speed else ""
        state += _named(label) if named else ""
        bar.start()
        bar.update(task, completed=done, total=total, state=state)

    try:
        yield tell
    finally:
        bar.stop()


def _named(label: str) -> str:
    """What a report is about, its end where it is long: there stand file name and page."""
    label = " ".join(printable(label).split())
    return f" · {label if len(label) <= _LABEL else f'…{label[-_LABEL:]}'}" if label else ""


def _plain_progress(
    what: str, unit: str, speed: _Pace | None, *, named: bool
) -> Callable[[str, int, int], None]:
    last = time.monotonic()

    def tell(label: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        pace = speed(done, total, now) if speed else ""
        if now - last > 5:
            last = now
            scale, name = (1e6, "MB") if unit == "bytes" else (1, unit)
            about = _named(label) if named else ""
            note(f"{what}: {done / scale:,.0f} of {total / scale:,.0f} {name}{pace}{about}")

    return tell


class _Pace:
    """How fast something goes, and how long the rest takes at that rate."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int, total: int, now: float) -> str:
        """What to say after so many; ``now`` in seconds of any steady clock."""
        self._first = self._first or (done, now)
        count, seconds = done - self._first[0], now - self._first[1]
        if count <= 0 or seconds <= 0:
            return ""
        rate = count / seconds
        shown = f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.1f} a minute"
        return f" · {shown} · {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """A time as a person says it: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


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


def is_conversation() -> bool:
    """Whether somebody types at a terminal that shows what is typed."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())


def lines() -> Iterator[str]:
    """What is piped in, line by line."""
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def styled(stream: Literal["stdout", "stderr"]) -> bool:
    """Whether bold and dim text can be shown there (https://no-color.org)."""
    shown = sys.stdout if stream == "stdout" else sys.stderr
    return shown.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def streams() -> bool:
    """Whether answers appear while they are made."""
    return sys.stdout.isatty()


def dim(text: str) -> None:
    """Print to stderr, less bright than the rest."""
    note(f"\x1b[2m{text}\x1b[0m" if styled("stderr") else text)


def note(text: str, end: str = "\n") -> None:
    """Print to stderr: all that is not an answer, so that nobody has to read it."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(text + end)
        sys.stderr.flush()
