"""The file of answers: one line a question and nothing else, whole after any crash.

    OUT             the answers, in the order of the questions
    OUT.run.json    what they were made with; locked by the one run that writes them

A row is written at once and complete before the next begins, so a process that is killed leaves
at most one torn line, the last. Only that is ever cut off; any other line that is not the expected
one stops the run instead. Rows are synced every second: a loss of power costs what is younger.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.errors import IndexBusy, OutOfResources, UsageError
from rag.files import append, begins, held_by, named, remove_left_over, replace_file, sync
from rag.lists.questions import Question
from rag.terminal import json_text, printable

Form = Literal["jsonl", "csv", "md"]
SCHEMA = "rag.answer/1"
_RUN_SCHEMA = "rag.run/1"
_PID_AT, _PID_WIDTH = len('{"pid": '), 10  # fixed, so that it alone can be written anew
_SYNC_SECONDS = 1.0
_STATUSES = ("answered", "unanswerable", "error")
_OTHER_OUT = "choose another file with -o"


@dataclass(frozen=True, slots=True)
class Files:
    """Where a run writes.

    Attributes:
        out: What the user named.
        answers: The answers as JSONL: ``out`` itself, or beside it where ``out`` is for people.
        run: What the answers were made with.
        again: New answers to rows that failed, until they are put in their places.
    """

    out: Path
    answers: Path
    run: Path
    again: Path

    @staticmethod
    def of(out: Path, form: Form) -> Files:
        """Name the files after ``out``, links followed, so that one output has one lock.

        Raises:
            UsageError: No file can be written there.
        """
        try:
            out = out.resolve()
            kind = out.stat().st_mode if out.exists() else stat.S_IFREG
            if not out.parent.is_dir():
                raise UsageError(
                    f"there is no folder {out.parent}", hint=f"make it, or {_OTHER_OUT}"
                )
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{out} cannot be written: {error}", hint=_OTHER_OUT) from error
        if not stat.S_ISREG(kind):
            raise UsageError(f"{out} is not a file", hint=_OTHER_OUT)
        answers = out if form == "jsonl" else out.with_name(f"{out.name}.jsonl")
        run = run_file(out)
        again = answers.with_name(f"{answers.name}.retry")
        for file in (answers, run, again):
            named(str(file))  # longer than what the user named
        return Files(out, answers, run, again)

    def refuse_to_overwrite(self, question_file: Path) -> None:
        """Raise UsageError if the questions would be written over."""
        for file in (self.out, self.answers, self.run, self.again):
            if file.exists() and file.samefile(question_file):
                raise UsageError(
                    f"the answers would be written over the questions in {question_file}",
                    hint=_OTHER_OUT,
                )


def run_file(out: Path) -> Path:
    """Where it stands what a file of answers was made with."""
    return out.with_name(f"{out.name}.run.json")


@contextlib.contextmanager
def claimed(files: Files, settings: dict[str, object]) -> Iterator[None]:
    """Hold the output alone, after making sure that these settings belong to what it holds.

    Raises:
        IndexBusy: Another process is writing it.
        UsageError: It holds something else, or answers made with other settings.
    """
    if _any_held(files) and not files.run.exists():
        raise UsageError(
            f"{files.out} is there already, and rag batch did not write it (no {files.run.name})",
            hint=f"{_OTHER_OUT}, or delete it",
        )
    try:
        lock = os.open(files.run, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f"{files.run} cannot be written: {error.strerror}", hint=_OTHER_OUT
        ) from error
    try:
        if owner := held_by(lock, lambda: _pid(lock)):
            raise IndexBusy(
                f"{owner} is writing {files.out}",
                hint="wait for it to finish, then run the same command again",
            )
        wanted = {"answers in": files.answers.name, **settings}
        with _out_of_disk(files.run):
            if _any_held(files):
                _refuse_other(files, _settings(lock), wanted)
                os.pwrite(lock, f"{os.getpid():>{_PID_WIDTH}}".encode(), _PID_AT)
            else:
                files.again.unlink(missing_ok=True)
                _write_run(lock, wanted)
                sync(files.run.parent)
            for file in (files.out, files.answers):
                remove_left_over(file)
        yield
    finally:
        os.close(lock)


def _any_held(files: Files) -> bool:
    return any(file.exists() and file.stat().st_size for file in (files.out, files.answers))


def _write_run(lock: int, settings: dict[str, object]) -> None:
    """Written and synced before the first row; torn, it belongs to no rows and is written anew."""
    rest = json_text({"schema": _RUN_SCHEMA, "settings": settings})
    data = f'{{"pid": {os.getpid():>{_PID_WIDTH}}, {rest[1:]}\n'.encode("utf-8", "replace")
    os.ftruncate(lock, 0)
    append(lock, data, synced=True)


def _pid(lock: int) -> str:
    return os.pread(lock, _PID_WIDTH, _PID_AT).decode("ascii", "replace").strip()


def _settings(lock: int) -> dict[str, object] | None:
    """What the answers were made with, or None where that cannot be read."""
    try:
        run = json.loads(os.pread(lock, os.fstat(lock).st_size, 0))
        settings = run["settings"] if run["schema"] == _RUN_SCHEMA else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def _refuse_other(
    files: Files, made_with: dict[str, object] | None, wanted: dict[str, object]
) -> None:
    if made_with is None:
        raise UsageError(
            f"{files.run} is damaged: nobody knows with which settings {files.out} was made",
            hint=f"{_OTHER_OUT}, or delete both",
        )
    now = json.loads(json.dumps(wanted))
    if differing := [key for key in {**made_with, **now} if made_with.get(key) != now.get(key)]:
        what = "; ".join(
            f"{key} was {json.dumps(made_with.get(key))}, is {json.dumps(now.get(key))}"
            for key in differing
        )
        raise UsageError(
            f"{files.out} was made with other settings: {printable(what)}",
            hint=f"use the same again, or {_OTHER_OUT}",
        )


# -- what is there ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What a file of answers holds.

    Attributes:
        count: Complete rows.
        size: Their bytes; what is behind is a torn row.
        statuses: How many rows have each status.
        errors: Places of rows with an error, from 0.
    """

    count: int
    size: int
    statuses: Counter[str]
    errors: tuple[int, ...]


def scan(file: Path, questions: Sequence[Question], *, retry_errors: bool = False) -> Found:
    """Compare a file's rows with the questions, one at a time.

    Args:
        file: May be missing.
        questions: All of them; the file holds answers to the first so many.
        retry_errors: A question whose row is an error may have changed.

    Raises:
        UsageError: A line is no answer, or one to another question.
    """
    size, statuses, errors, at = 0, Counter[str](), list[int](), -1
    if not file.exists():
        return Found(0, 0, statuses, ())
    with file.open("rb") as stream:
        for at, line in enumerate(stream):
            torn = not line.endswith(b"\n")
            if at >= len(questions):
                raise UsageError(
                    f"{file} holds more answers than the {len(questions):,} questions",
                    hint=f"ask all of the earlier questions, or {_OTHER_OUT}",
                )
            if torn and _begins(line, questions[at]):
                return Found(at, size, statuses, tuple(errors))
            row = None if torn else _row(line)
            if row is None:
                raise no_answer(file, at + 1)
            status = row["status"]
            if status == "error":
                errors.append(at)
            if not (retry_errors and status == "error"):
                _refuse_changed(file, row, questions[at])
            statuses[status] += 1
            size += len(line)
    return Found(at + 1, size, statuses, tuple(errors))


def no_answer(file: Path, line: int) -> UsageError:
    """What to raise where a line, counted from 1, is not as ``rag batch`` wrote it."""
    return UsageError(
        f"{file} line {line:,} is no answer of rag batch",
        hint=f"delete it and all behind it to answer these again, or {_OTHER_OUT}",
    )


def scan_again(file: Path, failed: Sequence[Question]) -> Found:
    """The same for new answers to questions that failed; left over from others, they go."""
    try:
        return scan(file, failed)
    except UsageError:
        file.unlink()
        return Found(0, 0, Counter(), ())


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The complete rows of a file of answers."""
    with file.open("rb") as stream:
        for line in stream:
            row = _row(line) if line.endswith(b"\n") else None
            if row:
                yield row


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    sound = isinstance(row, dict) and row.get("schema") == SCHEMA and row.get("status") in _STATUSES
    return row if sound and "id" in row and isinstance(row.get("question"), str) else None


def _begins(torn: bytes, question: Question) -> bool:
    """Whether a line without an end is the beginning of this question's row."""
    head = {"schema": SCHEMA, "id": question.id, "question": question.text}
    return begins(torn, json_text(head)[:-1].encode())


def _refuse_changed(file: Path, row: dict[str, Any], question: Question) -> None:
    kept = (row["id"], row["question"], row.get("input", {}))
    if kept == (question.id, question.text, question.input):
        return
    hint = f"ask the earlier questions in their order, new ones behind them, or {_OTHER_OUT}"
    if row["status"] == "error":
        hint = f"rag batch --retry-errors answers mended questions again; or {_OTHER_OUT}"
    raise UsageError(
        f"question {question.number:,} is “{_short(question.text)}”, but {file} line"
        f" {question.number:,} answers “{_short(row['question'])}”"
        + (" (its id or another field differs)" if row["question"] == question.text else ""),
        hint=hint,
    )


def _short(text: str) -> str:
    text = " ".join(printable(text).split())
    return text if len(text) <= 60 else text[:60].rstrip() + " …"


# -- writing ------------------------------------------------------------------------------------


@contextlib.contextmanager
def appending(file: Path, size: int) -> Iterator[Callable[[bytes], None]]:
    """Open a file of answers to add lines; what is behind ``size`` bytes, a torn row, is cut off.

    Raises:
        OutOfResources: The disk is full; the file ends with the last row that fitted.
    """
    with _out_of_disk(file):
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    last = time.monotonic()

    def add(line: bytes) -> None:
        nonlocal last
        due = time.monotonic() - last > _SYNC_SECONDS
        with _out_of_disk(file):
            append(handle, line, synced=due)
        if due:
            last = time.monotonic()

    try:
        with _out_of_disk(file):
            if os.fstat(handle).st_size > size:
                os.ftruncate(handle, size)
            sync(file.parent)
        yield add
        with _out_of_disk(file):
            os.fsync(handle)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            os.fsync(handle)
        raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _out_of_disk(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutOfResources(
            f"{file} cannot be written: {error.strerror}",
            hint="free some space and run the same command again: it goes on where it stopped",
        ) from error


def put_in_place(files: Files, places: Sequence[int]) -> None:
    """Put the new answers where the rows with errors stand, all at once.

    Args:
        files: ``again`` holds one row for each place, in order.
        places: From 0, ascending.

    Raises:
        OutOfResources: The disk is full; nothing changed.
    """
    wanted = set(places)

    def merged() -> Iterator[bytes]:
        with files.answers.open("rb") as old, files.again.open("rb") as new:
            for at, line in enumerate(old):
                yield next(new) if at in wanted else line

    replace_file(files.answers, merged())
    files.again.unlink()
    sync(files.again.parent)
