"""Many questions through the real command line: every one answered once, whatever happens."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import QUIET, environment, invoke
from conftest import SEEDS, IndexBuilder
from schemas import ANSWER, BATCH, check

from rag.answering import Engine
from rag.answers.claims import Limits
from rag.backends.embed import HashEmbedder
from rag.backends.extractive import ExtractiveGenerator
from rag.commands.batch import run_batch
from rag.commands.console import _Pace, duration
from rag.commands.render import answer_json
from rag.errors import IndexBusy, Interrupted, OutOfResources, RagError, UsageError
from rag.lists.questions import Question, read_questions
from rag.lists.rows import scan
from rag.records import Answer, BatchReport, FloatMatrix
from rag.storage.dense import open_dense
from rag.storage.store import open_index

ANSWERED = (
    "On 6 May, to mark the 50th anniversary of diplomatic relations between China and the EU, what"
    " letters did the two sides exchange?"
)
UNANSWERABLE = "Flurb zxqv wobblegock snorfle?"
STRANGE = "What will\u202e Xi\x9b discuss?"
TEXTS = [ANSWERED, UNANSWERABLE, "Why did the CAI stall?", ANSWERED, STRANGE]
EASY = {"RAG_ANSWER_THRESHOLD": "0.1"}


def batch(index: Path, questions: Path, out: Path, *more: str, **env: str) -> Any:
    """``rag batch`` in this process."""
    arguments = ["batch", str(questions), "-o", str(out), "--index", str(index), *more]
    return invoke(*arguments, **EASY, **env)


def refusal(result: Any) -> RagError:
    """The error that a command ended with."""
    assert isinstance(result.exception, RagError), (result.output, result.exception)
    return result.exception


def rows(out: Path) -> list[dict[str, Any]]:
    """The answers in a file, each checked against the schema, without what it cost."""
    found = [json.loads(line) for line in out.read_bytes().decode().split("\n")[:-1]]
    for row in found:
        check(row, ANSWER)
        del row["stats"]
    return found


def texts(file: Path, questions: list[str]) -> Path:
    file.write_text("\n".join(questions) + "\n")
    return file


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Five questions, one of them twice."""
    return texts(tmp_path / "q.txt", TEXTS)


def test_each_question_has_its_row_in_order(
    shared_index: Path, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    result = batch(shared_index, asked, out)
    assert result.exit_code == 0, result.exception
    assert "5 questions: " in result.stdout
    found = rows(out)
    assert [row["question"] for row in found] == TEXTS
    assert [found[0]["status"], found[1]["status"]] == ["answered", "unanswerable"]
    assert found[0] == found[3], "asked twice, answered twice, and alike"
    alone = json.loads(
        invoke("ask", ANSWERED, "--json", "--index", str(shared_index), **EASY).stdout
    )
    del alone["stats"]
    assert found[0] == alone, "the same as: rag ask --json"
    stats = json.loads(out.read_text().split("\n")[0])["stats"]
    assert 0 < stats["retrieve_ms"] <= stats["first_token_ms"] <= stats["total_ms"]
    assert sorted(f.name for f in tmp_path.iterdir() if "out" in f.name) == [
        "out.jsonl", "out.jsonl.run.json",
    ]  # fmt: skip
    before = out.stat().st_mtime_ns, out.read_bytes()
    again = batch(shared_index, asked, out, RAG_MODELS=str(tmp_path / "absent"))
    assert "all 5 answered already" in again.stdout
    assert (out.stat().st_mtime_ns, out.read_bytes()) == before


def test_rows_carry_what_came_with_the_question(shared_index: Path, tmp_path: Path) -> None:
    given = [{"id": 1, "question": ANSWERED, "topic": {"a": [1.5, None]}},
             {"id": "x", "question": UNANSWERABLE}, {"question": ANSWERED}]  # fmt: skip
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, given)))
    (tmp_path / "q.csv").write_text(f'id,question,topic\n1,"{ANSWERED}",=a\n')
    assert batch(shared_index, tmp_path / "q.jsonl", tmp_path / "a").exit_code == 0
    assert batch(shared_index, tmp_path / "q.csv", tmp_path / "b").exit_code == 0
    found = rows(tmp_path / "a") + rows(tmp_path / "b")
    assert [row["id"] for row in found] == [1, "x", None, "1"]
    assert [row.get("input") for row in found] == [
        {"topic": {"a": [1.5, None]}}, None, None, {"topic": "=a"},
    ]  # fmt: skip


def test_a_bad_row_is_a_row_and_a_mended_one_is_answered_on_demand(
    shared_index: Path, tmp_path: Path
) -> None:
    good = json.dumps({"id": "a", "question": ANSWERED})
    bad = ['{"question": "torn', '{"question": ""}', good, json.dumps({"question": "why " * 9000})]
    file, out = tmp_path / "q.jsonl", tmp_path / "out"
    file.write_text("\n".join([good, *bad]))
    result = batch(shared_index, file, out, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    check(summary, BATCH)
    assert (summary["total"], summary["answered"], summary["failed"]) == (5, 1, 4)
    found = rows(out)
    assert [row["status"] for row in found] == ["answered", "error", "error", "error", "error"]
    errors = [row["error"] for row in found[1:]]
    assert [error["kind"] for error in errors] == ["input", "input", "input", "usage"]
    assert "9,000 words" in errors[3]["message"]
    assert all(row["answer"] == "" and row["error"]["hint"] for row in found[1:])

    file.write_text("\n".join([good, json.dumps({"question": UNANSWERABLE}), *bad[1:]]))
    refused = refusal(batch(shared_index, file, out))
    assert "question 2" in refused.message
    assert "--retry-errors" in refused.hint
    retried = json.loads(batch(shared_index, file, out, "--json", "--retry-errors").stdout)
    assert (retried["resumed"], retried["unanswerable"], retried["failed"]) == (1, 1, 3)
    assert [row["question"] for row in rows(out)][:2] == [ANSWERED, UNANSWERABLE]
    assert rows(out)[0] == found[0]
    assert rows(out)[2:] == found[2:]
    assert not (tmp_path / "out.retry").exists()


def test_a_retry_goes_on_where_it_was_killed(shared_index: Path, tmp_path: Path) -> None:
    file, out, again = tmp_path / "q.jsonl", tmp_path / "out", tmp_path / "out.retry"
    file.write_text("\n".join(["{}"] * 3))
    batch(shared_index, file, out)
    asked = [json.dumps({"question": text}) for text in TEXTS[:3]]
    file.write_text("\n".join(asked))
    batch(shared_index, file, tmp_path / "all")
    lines = (tmp_path / "all").read_bytes().splitlines(keepends=True)
    marked = lines[0].replace(b'"answered"', b'"unanswerable"', 1)
    again.write_bytes(marked + lines[1][:50])
    assert batch(shared_index, file, out, "--retry-errors").exit_code == 0
    assert [row["question"] for row in rows(out)] == TEXTS[:3]
    assert rows(out)[0]["status"] == "unanswerable", "taken from the run that was killed"
    # What lies there from other errors is of no use, and does no harm.
    file.write_text("\n".join([*asked, "{}"]))
    batch(shared_index, file, out)
    file.write_text("\n".join([*asked, asked[1]]))
    again.write_bytes(lines[0])
    assert batch(shared_index, file, out, "--retry-errors").exit_code == 0
    assert [row["question"] for row in rows(out)] == [*TEXTS[:3], TEXTS[1]]


def test_what_failed_again_before_a_kill_is_asked_once_more(
    shared_index: Path, tmp_path: Path
) -> None:
    file, out, again = tmp_path / "q.jsonl", tmp_path / "out", tmp_path / "out.retry"
    file.write_text("\n".join(["{}"] * 3))
    batch(shared_index, file, out)
    failed = json.loads(out.read_bytes().splitlines()[0])
    file.write_text("\n".join(json.dumps({"question": text}) for text in TEXTS[:3]))
    batch(shared_index, file, tmp_path / "all")
    good = [json.loads(line) for line in (tmp_path / "all").read_bytes().splitlines()]
    error = {**good[0], "status": "error", "error": failed["error"]}
    again.write_text("".join(f"{json.dumps(row)}\n" for row in (error, good[1])))
    retried = json.loads(batch(shared_index, file, out, "--json", "--retry-errors").stdout)
    assert (retried["failed"], [row["status"] for row in rows(out)]) == (
        0, [row["status"] for row in good]
    )  # fmt: skip
    assert not again.exists()


def test_a_name_that_promises_a_table_is_pointed_out(
    shared_index: Path, asked: Path, tmp_path: Path
) -> None:
    note = "will hold JSON lines; for people: --format csv"
    assert note in batch(shared_index, asked, tmp_path / "out.CSV").stderr
    table = batch(shared_index, asked, tmp_path / "table.csv", "--format", "csv")
    assert "JSON lines" not in table.stderr
    assert batch(shared_index, asked, tmp_path / "more.md", "--quiet").stderr == ""


@pytest.mark.parametrize("form", ["csv", "md"])
def test_a_row_that_was_changed_by_hand_is_named(
    form: str, shared_index: Path, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"out.{form}"
    assert batch(shared_index, asked, out, "--format", form).exit_code == 0
    shown, answers = out.read_bytes(), tmp_path / f"out.{form}.jsonl"
    lines = answers.read_text().splitlines()
    changes: list[dict[str, Any]] = [
        {"citations": [{}]}, {"citations": None}, {"error": {}}, {"error": "x"},
    ]  # fmt: skip
    for more in changes:
        lines[1] = json.dumps({**json.loads(lines[1]), **more})
        answers.write_text("\n".join(lines) + "\n")
        error = batch(shared_index, asked, out, "--format", form).exception
        assert isinstance(error, UsageError), error
        assert f"out.{form}.jsonl line 2 is no answer of rag batch" in error.message
        assert out.read_bytes() == shown
    answers.write_text(lines[0] + "\n")
    assert batch(shared_index, asked, out, "--format", form).exit_code == 0, "as the hint says"
    assert out.read_bytes() == shown


def test_a_torn_last_row_is_answered_again(shared_index: Path, asked: Path, tmp_path: Path) -> None:
    """At every byte: found as torn; and through the command line at some of them."""
    out = tmp_path / "out"
    assert batch(shared_index, asked, out).exit_code == 0
    data, expected, questions = out.read_bytes(), rows(out), read_questions(asked)
    start = data[:-1].rindex(b"\n") + 1
    assert len(data) - start > 1000
    for end in range(start, len(data)):
        for torn in (data[:end], data[:end] + bytes(7)):
            out.write_bytes(torn)
            found = scan(out, questions)
            assert (found.count, found.size) == (4, start), end
    for end in (start, start + 1, (start + len(data)) // 2, len(data) - 1):
        out.write_bytes(data[:end] + bytes(end % 2))
        result = batch(shared_index, asked, out, "--json")
        assert (result.exit_code, json.loads(result.stdout)["resumed"]) == (0, 4)
        assert rows(out) == expected


def test_a_line_that_is_not_ours_is_never_destroyed(
    shared_index: Path, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    batch(shared_index, asked, out)
    lines = out.read_bytes().splitlines(keepends=True)
    for damaged, message in (
        ([*lines[:2], b"my notes\n", *lines[3:]], "line 3 is no answer"),
        ([*lines[:2], bytes(90) + b"\n", *lines[3:]], "line 3 is no answer"),
        ([*lines[:4], b"my notes"], "line 5 is no answer"),
        ([*lines, b"my notes"], "more answers than the 5 questions"),
        (lines + lines[:1], "more answers than the 5 questions"),
        (lines[1:], "question 1 is"),
        ([b'{"schema": "rag.search/1"}\n'], "line 1 is no answer"),
    ):
        out.write_bytes(b"".join(damaged))
        refused = refusal(batch(shared_index, asked, out))
        assert isinstance(refused, UsageError)
        assert message in refused.message
        assert out.read_bytes() == b"".join(damaged)
    stranger = texts(tmp_path / "letter.txt", ["Dear all,"])
    refused = refusal(batch(shared_index, asked, stranger))
    assert "rag batch did not write it" in refused.message
    assert stranger.read_text() == "Dear all,\n"
    assert not (tmp_path / "letter.txt.run.json").exists()
    out.write_bytes(b"".join(lines))
    (tmp_path / "out.run.json").write_text('{"pid": 1, "schema')
    assert "is damaged" in refusal(batch(shared_index, asked, out)).message


def test_other_settings_index_or_questions_are_refused(
    tmp_path: Path, build: IndexBuilder, asked: Path
) -> None:
    docs, index, out = tmp_path / "docs", tmp_path / "index", tmp_path / "out"
    shutil.copytree(SEEDS, docs)
    build(docs)
    batch(index, asked, out)
    expected = out.read_bytes()

    def refused() -> str:
        error = refusal(batch(index, asked, out, **env))
        assert isinstance(error, UsageError)
        assert error.hint
        assert out.read_bytes() == expected
        return error.message

    env: dict[str, str] = {"RAG_MAX_CLAIMS": "2", "RAG_PASSAGES": "5"}
    assert refused().endswith("other settings: passages was 12, is 5; max_claims was 3, is 2")
    env = {"RAG_LLM": "smollm2-135m-instruct-q4_k_m"}
    assert 'llm was "extractive", is "smollm2' in refused()
    env = {}
    changed = [*TEXTS[:2], "Why did the CAI fall?", *TEXTS[3:]]
    texts(asked, changed)
    assert "question 3 is “Why did the CAI fall?”" in refused()
    assert "line 3 answers “Why did the CAI stall?”" in refused()
    texts(asked, TEXTS[:3])
    assert "more answers than the 3 questions" in refused()
    texts(asked, [*TEXTS, "Who?"])
    assert batch(index, asked, out).exit_code == 0, "questions may be added behind"
    assert out.read_bytes().startswith(expected)
    expected = out.read_bytes()
    (docs / "new.txt").write_text("Pandas eat bamboo, and they sleep at noon in China.")
    build(docs)
    assert "index_generation was 1, is 2" in refused()
    out.unlink()
    assert batch(index, asked, out).exit_code == 0, "where nothing is there, nothing is lost"
    shutil.rmtree(index)
    build(docs)
    expected = out.read_bytes()
    assert "index was" in refused()


def test_an_output_that_cannot_be_written_is_refused_before_a_model_is_opened(
    shared_index: Path, asked: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.txt").symlink_to(asked)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "q.csv").hardlink_to(asked)
    twice = texts(tmp_path / "out.csv.jsonl", ['{"question": "Why?"}'])
    for file, out, message, more in (
        (asked, "absent/out", "there is no folder", []),
        (asked, "q.txt/out", "there is no folder", []),
        (asked, "folder", "is not a file", []),
        (asked, "/dev/full", "is not a file", []),
        (asked, "self", "cannot be written", []),
        (asked, "q.txt", "over the questions", []),
        (asked, "link.txt", "over the questions", []),
        (asked, "q.csv", "over the questions", []),
        (twice, "out.csv", "over the questions", ["--format", "csv"]),
    ):
        refused = refusal(batch(shared_index, file, tmp_path / out, *more, RAG_LLM="absent.gguf"))
        assert isinstance(refused, UsageError)
        assert message in refused.message
    assert asked.read_text().splitlines() == TEXTS
    assert not [f for f in tmp_path.rglob("*.run.json")]


def test_one_run_at_a_time(shared_index: Path, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    batch(shared_index, asked, out)
    with (tmp_path / "out.run.json").open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        started = time.monotonic()
        refused = refusal(batch(shared_index, asked, out))
        assert time.monotonic() - started < 1
    assert isinstance(refused, IndexBusy)
    assert f"process {os.getpid()} (since " in refused.message
    assert batch(shared_index, asked, out).exit_code == 0


def start(index: Path, questions: Path, out: Path, **more: Any) -> subprocess.Popen[str]:
    """``rag batch`` in a process of its own."""
    command = [sys.executable, "-W", "error", *QUIET, "-m", "rag", "batch", str(questions),
               "-o", str(out), "--index", str(index), "--json"]  # fmt: skip
    return subprocess.Popen(
        command, cwd=out.parent, env=environment(**EASY), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def grown(process: subprocess.Popen[str], out: Path, size: int) -> bool:
    """Wait until a file is larger than that; False if the process ends before."""
    while process.poll() is None:
        if out.exists() and out.stat().st_size > size:
            return True
        time.sleep(0.001)
    return False


def test_killed_ten_times_every_question_is_answered_once(
    shared_index: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    asked = [*TEXTS, *(f"What about China, the EU and number {n % 40}?" for n in range(115))]
    questions, out = texts(tmp_path / "q.txt", asked), tmp_path / "out"
    kills = 0
    while kills < 10:
        process = start(shared_index, questions, out)
        if grown(process, out, out.stat().st_size if out.exists() else 0):
            time.sleep(draw.random() * 0.08)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the questions lasted for all kills"
        kills += 1
    process = start(shared_index, questions, out)
    summary, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert 0 < json.loads(summary)["resumed"] < len(asked)
    assert [row["question"] for row in rows(out)] == asked
    batch(shared_index, questions, tmp_path / "straight")
    assert rows(out) == rows(tmp_path / "straight")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_ctrl_c_keeps_what_is_done(shared_index: Path, tmp_path: Path, form: str) -> None:
    asked = [f"What about China, the EU and number {n}?" for n in range(400)]
    questions, out = texts(tmp_path / "q.txt", asked), tmp_path / "out"
    arguments = ["batch", str(questions), "-o", str(out), "--format", form]
    answers = out if form == "jsonl" else tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", *arguments], cwd=tmp_path, text=True,
        env=environment(RAG_INDEX=str(shared_index)), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert grown(process, answers, 10_000)
    process.send_signal(signal.SIGINT)
    stdout, err = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, "")
    assert err == "error: stopped\nhint: run the same command again to go on\n"
    kept = rows(answers)
    assert 0 < len(kept) < 400
    if form == "csv":
        with out.open(newline="") as stream:
            assert [row["question"] for row in csv.DictReader(stream)] == asked[: len(kept)]


def test_a_full_disk_loses_nothing(shared_index: Path, tmp_path: Path) -> None:
    """The same as ENOSPC, without a disk of one's own: no file may grow beyond a size."""
    whole, out, asked = tmp_path / "whole", tmp_path / "out", tmp_path / "q.jsonl"
    given = [json.dumps({"question": text, "x": "x" * 40_000}) for text in TEXTS]
    asked.write_text("\n".join(given))  # rows larger than any other file that is written
    batch(shared_index, asked, whole)
    lines = whole.read_bytes().splitlines(keepends=True)
    room = len(lines[0]) + len(lines[1]) + len(lines[2]) // 2

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = start(shared_index, asked, out, preexec_fn=limit)
    stdout, err = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (7, "")
    assert err.count("\n") == 2
    assert "cannot be written" in err
    assert "goes on where it stopped" in err
    assert [row["question"] for row in rows(out)] == TEXTS[:2], "no torn row is left"
    assert json.loads(batch(shared_index, asked, out, "--json").stdout)["resumed"] == 2
    assert rows(out) == rows(whole)


def test_a_table_and_a_text_for_people(shared_index: Path, tmp_path: Path) -> None:
    asked = [ANSWERED, '=HYPERLINK("http://x")', "# <b>Why</b> ![x](http://y) `a` *b*?", "- 1?"]
    questions = tmp_path / "q.jsonl"
    questions.write_text(
        "\n".join(json.dumps({"id": f"@{n}", "question": q}) for n, q in enumerate(asked)) + "\n{}"
    )
    table, text = tmp_path / "out.csv", tmp_path / "out.md"
    assert batch(shared_index, questions, table, "--format", "csv").exit_code == 0
    with table.open(newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    answers = rows(tmp_path / "out.csv.jsonl")
    assert len(found) == len(answers) == 5
    assert list(found[0]) == ["id", "question", "status", "answer", "sources", "error"]
    citation = answers[0]["citations"][0]
    where = f"{citation['document']}:{citation['line_start']}"
    assert found[0]["sources"].startswith(f"[1] {where}")
    assert found[0]["answer"] == answers[0]["answer"]
    assert found[1]["question"] == "'" + asked[1]
    assert [row["id"] for row in found] == ["'@0", "'@1", "'@2", "'@3", ""]
    assert (found[4]["status"], found[4]["error"]) == ("error", "line 5: it has no question")

    assert batch(shared_index, questions, text, "--format", "md").exit_code == 0
    page = text.read_text(encoding="utf-8")
    assert page.startswith(f"## {ANSWERED}\n")
    assert f"· {where}" in page
    assert citation["quote"] in page
    assert r"## \# \<b\>Why\</b\> \!\[x\](http://y) \`a\` \*b\*?" in page
    assert "## \\- 1?" in page
    for name in ("out.csv", "out.md"):
        refused = refusal(batch(shared_index, questions, tmp_path / name))
        assert "answers in" in refused.message, "the table is not taken for the answers"
    page_before = text.read_bytes()
    text.unlink()
    left, mine = tmp_path / ".out.md.0123abcd.tmp", tmp_path / ".out.md.notes.tmp"
    left.touch()
    mine.touch()
    again = batch(shared_index, questions, text, "--format", "md")
    assert "all 5 answered already" in again.stdout
    assert text.read_bytes() == page_before
    assert (left.exists(), mine.exists()) == (False, True), "what a killed run left is removed"


def test_progress_tells_rate_and_time_left() -> None:
    pace = _Pace()
    assert pace(40, 100, 10.0) == "", "what an earlier run did says nothing"
    assert pace(50, 100, 15.0) == " · 2.0 a second · 25 s left"
    assert pace(60, 100, 1210.0) == " · 1.0 a minute · 40 min left"
    assert [duration(s) for s in (9.6, 150, 3600 * 5 + 300)] == ["10 s", "2 min", "5 h 05 min"]


def test_a_terminal_shows_how_far_it_is(shared_index: Path, tmp_path: Path) -> None:
    import pty

    questions = texts(tmp_path / "q.txt", TEXTS * 20)
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "batch", str(questions), "-o", str(tmp_path / "out")],
        env=environment(RAG_INDEX=str(shared_index), COLUMNS="100"), stderr=writer,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    shown = b""
    with os.fdopen(reader, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    stdout, _ = process.communicate(timeout=60)
    assert "100 questions: " in stdout
    assert "/100 questions · " in shown.decode()
    assert " s left" in shown.decode()


# -- from inside: what the command line cannot bring about ---------------------------------------

LIMITS = Limits(passages=12, evidence=7, max_answer_tokens=120, max_claims=3,
                answer_threshold=1.0, support_threshold=0.5)  # fmt: skip
SETTINGS: dict[str, object] = {"embedder": "hash", "llm": "extractive", "index_generation": 1}


class Picky(HashEmbedder):
    """Fails, or stops the run, at some questions; notes when each is searched."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        self.failures = failures
        self.searched: list[str] = []

    def embed(self, texts: list[str]) -> FloatMatrix:
        for text in texts:
            if text.endswith("?"):
                self.searched.append(text)
            if text in self.failures:
                raise self.failures[text]
        return super().embed(texts)


class Noting(ExtractiveGenerator):
    """Notes what had been searched when each question was read."""

    def __init__(self, embedder: Picky, wait: Callable[[], None]) -> None:
        super().__init__()
        self.embedder, self.wait = embedder, wait
        self.seen: list[list[str]] = []

    def log_odds(self, yes: str, no: str) -> float:
        self.wait()
        self.seen.append(list(self.embedder.searched))
        return -30.0


def run_inside(
    index: Path, out: Path, questions: list[Question], embedder: Picky, **more: Any
) -> BatchReport:
    store = open_index(index)
    try:
        engine = Engine(
            store=store, dense=open_dense(store), embedder=embedder,
            generator=more.pop("generator", ExtractiveGenerator()), limits=LIMITS,
        )  # fmt: skip
        return run_batch(questions, out=out, settings=SETTINGS, open_engine=lambda: engine, **more)
    finally:
        store.close()


def test_one_failure_is_one_row_unless_it_concerns_all(shared_index: Path, tmp_path: Path) -> None:
    asked = [Question(n, None, text) for n, text in enumerate(["A?", "B?", "C?"], 1)]
    out = tmp_path / "out"
    report = run_inside(shared_index, out, asked, Picky({"B?": ZeroDivisionError("oh \ud800")}))
    assert replace(report, seconds=0) == BatchReport(3, 0, 0, 2, 1, 0)
    failed = rows(out)[1]
    assert failed["error"]["kind"] == "bug"
    assert failed["error"]["message"] == "ZeroDivisionError: oh ?"
    for stop in (OutOfResources("no memory"), MemoryError(), Interrupted("stopped")):
        out.unlink()
        with pytest.raises(type(stop)):
            run_inside(shared_index, out, asked, Picky({"B?": stop}))
        assert [row["question"] for row in rows(out)] == ["A?"]
    told: list[tuple[int, int]] = []
    report = run_inside(
        shared_index,
        out,
        asked,
        Picky({}),
        progress=lambda _, done, total: told.append((done, total)),
    )
    assert (report.resumed, report.unanswerable) == (1, 3)
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(IndexBusy, match="changed"):
        run_batch(
            asked, out=tmp_path / "other", settings={**SETTINGS, "index_generation": 2},
            open_engine=lambda: Engine(open_index(shared_index), None, None, None, LIMITS),  # type: ignore[arg-type]
        )  # fmt: skip


def test_the_next_question_is_searched_while_this_one_is_answered(
    shared_index: Path, tmp_path: Path
) -> None:
    asked = [Question(n, None, text) for n, text in enumerate(["A?", "B?", "C?"], 1)]
    embedder = Picky({})

    def wait() -> None:
        until = time.monotonic() + 5
        while len(embedder.searched) < min(len(generator.seen) + 2, 3):
            assert time.monotonic() < until, "nobody searches meanwhile"
            time.sleep(0.001)

    generator = Noting(embedder, wait)
    run_inside(shared_index, tmp_path / "out", asked, embedder, generator=generator)
    assert generator.seen == [["A?", "B?"], ["A?", "B?", "C?"], ["A?", "B?", "C?"]]


def test_a_hundred_thousand_answers_are_resumed_fast_and_not_held(tmp_path: Path) -> None:
    count, out = 100_000, tmp_path / "out"
    script = f"""
import resource, sys, time
from pathlib import Path
from rag.commands.batch import run_batch
from rag.lists.questions import Question

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

questions = [Question(n, n, f"Why is it {{n}}?") for n in range(1, {count} + 1)]
before, started = peak(), time.process_time()
report = run_batch(questions, out=Path({str(out)!r}), settings={SETTINGS!r},
                   open_engine=lambda: sys.exit("an engine was opened"))
print(report.resumed, time.process_time() - started, peak() - before)
"""
    first = [Question(1, 1, "Why is it 1?")]
    quotation = "A sentence of the documents that is long enough. " * 30
    row = Answer("QQQ", "QQQ", "answered", quotation, embedder="hash", llm="extractive",
                 index_generation=1)  # fmt: skip
    start, end = answer_json(row, id_="III").replace('"III"', "III").split("QQQ", 1)
    with out.open("w") as stream:
        for n in range(1, count + 1):
            line = (start.replace("III", str(n)) + "QQQ" + end).replace("QQQ", f"Why is it {n}?")
            stream.write(line + "\n")
    size = out.stat().st_size
    assert scan(out, [replace(first[0], number=n, id=n, text=f"Why is it {n}?")
                      for n in range(1, count + 1)]).count == count  # fmt: skip
    made = {"answers in": "out", **SETTINGS}
    run_file = {"pid": 1, "schema": "rag.run/1", "settings": made}
    (tmp_path / "out.run.json").write_text(json.dumps(run_file).replace("1", "         1", 1))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    resumed, seconds, grew = done.stdout.split()
    assert int(resumed) == count
    assert float(seconds) < 20
    assert int(grew) < 30e6 < size / 5, "bytes of memory, bytes of answers"
