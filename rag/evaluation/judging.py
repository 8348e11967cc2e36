"""What a judge says of the answers of a report, kept line by line as it says it.

It stands apart from all other metrics: a model's opinion of an answer is no measurement. Only
answers to questions with a reference answer are judged. Judgements are kept in a file beside the
answers, each with the digest of all that the judge saw, so that none is asked for twice; what
failed is not kept, and asked for again by the next run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.errors import IndexBusy, ModelUnusable, UsageError
from rag.evaluation.judges import Judge, Judgement
from rag.evaluation.metrics import answerable, judged, kappa, unlabelled
from rag.files import begins, hold
from rag.lists.rows import appending

Row = dict[str, Any]
Key = tuple[str, str, str]  # id of the question, digest of what was judged, who judged

SCHEMA = "rag.judgement/1"
NOTE = "This is a language model's opinion of the answers, not a measurement."
_HEAD = json.dumps({"schema": SCHEMA})[:-1].encode()  # of every line
_HOPELESS = 5  # failures before the first judgement: it is the judge, not the answers


def judgements_file(answers: Path) -> Path:
    """Where the judgements of a file of answers are kept."""
    return answers.with_name(f"{answers.name}.judgements.jsonl")


def judge_rows(
    rows: list[Row], judge: Judge, *, file: Path, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Judge the answers of a report: each row gets ``judge``, None where there is nothing to judge.

    Args:
        rows: Of the report; changed in place.
        judge: Whom to ask.
        file: Where judgements are kept.
        progress: Called with how many are judged, and how many there are to judge.

    Returns:
        The part of the report that holds what the judge said: ``model``, ``prompt``, ``note``,
        ``metrics``, ``kappa``, ``judged`` and ``failed`` (how many).

    Raises:
        UsageError: The file holds something else, or cannot be written.
        IndexBusy: Another process is judging these answers.
        ModelUnusable: The judge cannot be asked, or says nothing that can be understood.
        OutOfResources: Disk or memory is used up; what was judged is kept.
    """
    asked = [row for row in rows if row["status"] == "answered" and answerable(row)]
    for row in rows:
        row["judge"] = None
    if asked:
        with _alone(file):
            known, size = _kept(file)
            _judge(asked, judge, known, file, size, progress)
    return {
        "model": judge.name,
        "prompt": judge.prompt,
        "note": NOTE,
        "metrics": {name: estimate.record() for name, estimate in judged(rows).items()},
        "kappa": kappa(rows),
        "judged": len(asked),
        "failed": sum(bool(row["judge"]["failed"]) for row in asked),
    }


def _judge(
    asked: list[Row],
    judge: Judge,
    known: dict[Key, Judgement],
    file: Path,
    size: int,
    progress: Callable[[int, int], None],
) -> None:
    todo = []
    for row in asked:
        if kept := known.get(_key(row, judge)):
            _put(row, judge, kept)
        else:
            todo.append(row)
    if not todo:
        return
    there = len(asked) - len(todo)
    heard = bool(there)
    grade = judge.open()
    progress(there, len(asked))
    with appending(file, size) as append:
        for done, row in enumerate(todo, there + 1):
            found = grade(row["question"], row["gold_answer"], unlabelled(row["answer"]))
            _put(row, judge, found)
            if found.failed:
                if not heard and done == _HOPELESS:
                    raise ModelUnusable(
                        f"the first {done} judgements all failed; the last: {found.failed}",
                        hint="name another judge: --judge local, or --judge URL --judge-model NAME",
                    )
            else:
                heard = True
                append(_line(_key(row, judge), found))
            progress(done, len(asked))


def _put(row: Row, judge: Judge, found: Judgement) -> None:
    row["judge"] = {**asdict(found), "model": judge.name}


def _key(row: Row, judge: Judge) -> Key:
    seen = json.dumps([row["question"], row["gold_answer"], unlabelled(row["answer"])])
    return row["id"], hashlib.sha256(seen.encode()).hexdigest(), judge.identity


# -- the file -----------------------------------------------------------------------------------


def _line(key: Key, found: Judgement) -> bytes:
    id_, digest, identity = key
    line = {"schema": SCHEMA, "id": id_, "digest": digest, "judge": identity,
            "correct": found.correct, "score": found.score}  # fmt: skip
    return f"{json.dumps(line)}\n".encode()


def _kept(file: Path) -> tuple[dict[Key, Judgement], int]:
    """The judgements of a file, and the bytes of its complete lines."""
    known: dict[Key, Judgement] = {}
    size = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n") and begins(line, _HEAD):
                break  # torn by a kill: it is cut off before the next one is written
            try:
                found = json.loads(line)
                if found["schema"] != SCHEMA:
                    raise ValueError("another schema")
                key = (str(found["id"]), str(found["digest"]), str(found["judge"]))
                known[key] = Judgement(bool(found["correct"]), float(found["score"]))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UsageError(
                    f"{file} line {number:,} is no judgement of rag eval",
                    hint="delete that file, and the answers are judged anew",
                ) from error
            size += len(line)
    return known, size


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}",
            hint="judgements are kept beside the answers: put those where you may write",
        ) from error
    try:
        if not hold(lock):
            raise IndexBusy(
                f"another process is writing {file}",
                hint="wait for it to finish, then run the same command again",
            )
        yield
    finally:
        os.close(lock)
