"""Many questions to one file of answers, in order; stopped at any moment, it goes on there.

The next question's retrieval runs in a thread of its own while this one is answered.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rag.answering import Engine, Prepared
from rag.commands.render import answer_json
from rag.errors import IndexBusy, Interrupted, OutOfResources, RagError
from rag.files import replace_file
from rag.lists.questions import Question, read_questions
from rag.lists.rows import (
    Files,
    Form,
    Found,
    appending,
    claimed,
    no_answer,
    put_in_place,
    rows,
    run_file,
    scan,
    scan_again,
)
from rag.lists.sheets import csv_parts, markdown_parts
from rag.records import Answer, BatchReport, Failure

__all__ = ["BatchReport", "Form", "Question", "read_questions", "run_batch", "run_file"]

Progress = Callable[[str, int, int], None]


def run_batch(
    questions: Sequence[Question],
    *,
    out: Path,
    settings: dict[str, object],
    open_engine: Callable[[], Engine],
    progress: Progress = lambda *_: None,
    form: Form = "jsonl",
    retry_errors: bool = False,
    question_file: Path | None = None,
) -> BatchReport:
    """Answer what the output does not answer yet; a question that fails becomes a row that says so.

    Args:
        questions: All of them, in order; new ones may have been appended since an earlier run.
        out: Where the answers go. In a ``form`` for people the JSONL that it is made of is kept
            beside it, as ``OUT.jsonl``.
        settings: Everything that changes answers, as plain JSON (``opening.fingerprint``). It
            holds at least ``embedder``, ``llm`` and ``index_generation``.
        open_engine: Called when the first question is to be answered, and not before.
        progress: Called with ("", rows there, rows in all), first when the engine is open.
        form: ``jsonl``, or ``csv`` or ``md`` for people.
        retry_errors: Answer again what failed before this run.
        question_file: Never written over.

    Raises:
        UsageError: The output cannot be written, or holds something else.
        IndexBusy: Another process writes the output, or the index has changed meanwhile.
        OutOfResources: Disk or memory is used up; what was answered is kept.
    """
    started = time.monotonic()
    files = Files.of(out, form)
    if question_file:
        files.refuse_to_overwrite(question_file)
    with claimed(files, settings):
        found = scan(files.answers, questions, retry_errors=retry_errors)
        again = found.errors if retry_errors else ()
        kept = found.count - len(again)
        run = _Run(settings, open_engine, progress, done=kept, total=len(questions))
        try:
            statuses = found.statuses + run.fill(files.answers, questions, found)
            while again:
                failed = [questions[at] for at in again]
                earlier = scan_again(files.again, failed)
                run.fill(files.again, failed, run.resumed(earlier))
                put_in_place(files, again)
                statuses = scan(files.answers, questions).statuses
                # What failed again in a run that was cut short is asked by this one, too.
                again = tuple(again[at] for at in earlier.errors)
        except KeyboardInterrupt:
            _show(files, form)
            raise
        _show(files, form)
    return BatchReport(
        total=len(questions),
        resumed=kept,
        answered=statuses["answered"],
        unanswerable=statuses["unanswerable"],
        failed=statuses["error"],
        seconds=round(time.monotonic() - started, 3),
    )


def _show(files: Files, form: Form) -> None:
    """Write what people read, from the answers that are there.

    Raises:
        UsageError: A row is none that this program wrote; nothing is changed.
    """
    if form == "jsonl" or not files.answers.exists():
        return
    parts = csv_parts if form == "csv" else markdown_parts
    line = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal line
        for row in rows(files.answers):
            line += 1
            yield row

    try:
        replace_file(files.out, parts(counted()))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise no_answer(files.answers, line) from error


class _Run:
    """One engine, opened when it is first needed, and how far it has come."""

    def __init__(
        self,
        settings: dict[str, object],
        open_engine: Callable[[], Engine],
        progress: Progress,
        *,
        done: int,
        total: int,
    ) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._progress = progress
        self._done, self._total = done, total
        self._engine: Engine | None = None

    def resumed(self, found: Found) -> Found:
        """Count the rows with an answer that an earlier run left, beside those of ``done``."""
        self._done += found.count - len(found.errors)
        return found

    def fill(self, file: Path, questions: Sequence[Question], found: Found) -> Counter[str]:
        """Append a row for each question that a file does not answer yet; counts their statuses."""
        todo = questions[found.count :]
        statuses: Counter[str] = Counter()
        with appending(file, found.size) as append, ThreadPoolExecutor(1, "retrieval") as pool:
            coming = self._prepared(pool, todo[0]) if todo else None
            for at, question in enumerate(todo):
                prepared = coming
                coming = self._prepared(pool, todo[at + 1]) if at + 1 < len(todo) else None
                answer = self._answer(question, prepared)
                extra = {"input": question.input} if question.input else None
                row = answer_json(answer, id_=question.id, extra=extra)
                append(f"{row}\n".encode("utf-8", "replace"))
                statuses[answer.status] += 1
                self._done += 1
                self._progress("", self._done, self._total)
        return statuses

    def _prepared(self, pool: ThreadPoolExecutor, question: Question) -> Future[Prepared] | None:
        """What is being found for a question, or None for one that cannot be asked."""
        return None if question.problem else pool.submit(self._opened().prepare, question.text)

    def _answer(self, question: Question, prepared: Future[Prepared] | None) -> Answer:
        failure = question.problem
        if prepared:
            try:
                return self._opened().answer(question.text, prepared=prepared.result())
            except (OutOfResources, Interrupted, MemoryError):
                raise
            except RagError as error:
                failure = Failure(error.kind, error.message, error.hint)
            except Exception as error:  # one question's bug is no reason to lose the others
                what, hint = f"{type(error).__name__}: {error}", "report it, with the question"
                failure = Failure(RagError.kind, what, hint)
        stamp: dict[str, Any] = self._settings
        return Answer(
            question=question.text,
            standalone_question=question.text,
            status="error",
            answer="",
            error=failure,
            embedder=stamp["embedder"],
            llm=stamp["llm"],
            index_generation=stamp["index_generation"],
        )

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = self._open_engine()
            if self._engine.store.generation != self._settings["index_generation"]:
                raise IndexBusy(
                    "the index was changed while this run began", hint="run the same command again"
                )
            self._progress("", self._done, self._total)
        return self._engine
