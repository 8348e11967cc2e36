"""The promises that scripts rely on: JSON, exit codes, and errors of two lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from command import NO_WEIGHTS, ROOT, environment, invoke, run
from conftest import SEEDS, IndexBuilder
from schemas import ANSWER, SEARCH, STATUS, check

from rag.backends.models import CATALOGUE, SMALL_LLM
from rag.cli import main
from rag.commands.render import answer_json
from rag.errors import IndexUnusable
from rag.records import Answer, Failure
from rag.storage.writing import writing

QUESTION = "What did trade between Russia and China reach in 2023?"


def ask(index: Path, question: str, **env: str) -> dict[str, Any]:
    """The one line of ``rag ask --json``, checked against its schema."""
    result = invoke("ask", question, "--json", "--index", str(index), **env)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    answer: dict[str, Any] = json.loads(result.stdout)
    check(answer, ANSWER)
    return answer


def test_an_answer_in_json(shared_index: Path) -> None:
    answer = ask(shared_index, QUESTION, RAG_ANSWER_THRESHOLD="0")
    assert (answer["status"], answer["error"]) == ("answered", None)
    texts = [f"{c['text']} {''.join(f'[{n}]' for n in c['labels'])}." for c in answer["claims"]]
    assert " ".join(texts) == answer["answer"]
    labels = [int(n) for n in re.findall(r"\[(\d+)\]", answer["answer"])]
    assert list(dict.fromkeys(labels)) == [c["label"] for c in answer["citations"]]
    assert set(labels) == set(range(1, len(answer["citations"]) + 1))
    for citation in answer["citations"]:
        text = (SEEDS / citation["document"]).read_bytes().decode()
        assert text[citation["start"] : citation["end"]] == citation["quote"]
        assert text[: citation["start"]].count("\n") + 1 == citation["line_start"]
    assert answer["models"] == {"embedder": "hash", "llm": "extractive"}


def test_a_refusal_and_a_failure_in_json(shared_index: Path) -> None:
    answer = ask(shared_index, "Flurb zxqv wobblegock snorfle?")
    assert (answer["status"], answer["claims"], answer["citations"]) == ("unanswerable", [], [])
    assert answer["answer"]
    failure = Failure("model", "gone", "rag models pull")
    broken = Answer("Why?", "Why?", status="error", answer="", error=failure, embedder="e", llm="l",
                    index_generation=1)  # fmt: skip
    record = json.loads(answer_json(broken, id_="q1", extra={"input": {"row": 7}}))
    check(record, ANSWER)
    assert (record["status"], record["answer"], record["id"]) == ("error", "", "q1")
    assert record["error"] == {"kind": "model", "message": "gone", "hint": "rag models pull"}


def test_search_and_status_in_json(shared_index: Path) -> None:
    result = invoke("search", QUESTION, "-k", "4", "--json", "--index", str(shared_index))
    found = json.loads(result.stdout)
    check(found, SEARCH)
    assert (found["query"], len(found["results"])) == (QUESTION, 4)
    scores = [row["score"] for row in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(set(row["ranks"]) <= {"dense", "lexical"} for row in found["results"])

    state = json.loads(invoke("status", "--json", "--index", str(shared_index)).stdout)
    check(state, STATUS)
    assert (state["documents"], state["sound"], state["problems"]) == (5, True, [])
    assert state["passages"] >= 5
    assert state["bytes"] > 10_000


@dataclass(frozen=True)
class Case:
    """A command line that goes wrong, and how."""

    arguments: str
    code: int
    message: str
    hint: str = ""
    env: dict[str, str] = field(default_factory=dict)
    config: str = ""
    process: bool = False  # in one of its own: one for each exit code, the rest in this one


SMALL = {"RAG_LLM": SMALL_LLM}
CASES = [
    Case("frobnicate", 2, "frobnicate", "--help", process=True),
    Case("ask Why? --frobnicate", 2, "--frobnicate", "--help"),
    Case("ask", 2, "question", "rag ask --help"),
    Case("ask What is it", 2, "(is it)", 'quotation marks: rag ask "What'),
    Case("chat --save empty", 2, "Is a directory", "may write"),
    Case("batch rag.toml", 2, "--out", "rag batch --help"),
    Case("models pull --frobnicate", 2, "--frobnicate", "rag models pull --help"),
    Case("batch absent.xlsx -o out", 4, "cannot be read: No such file", ".csv"),
    Case("ask  --json", 2, "empty", "rag ask"),
    Case("ask {long} --json", 2, "10,000 words", "short"),
    Case("ask Why? --config absent.toml", 2, "absent.toml", "--config"),
    Case("status", 2, "RAG_BOGUS in environment", "known settings", env={"RAG_BOGUS": "1"}),
    Case("status", 2, "bogus in rag.toml", "known settings", config="bogus = 1"),
    Case("ask Why? --index nowhere --json", 3, "no index in nowhere", "rag index"),
    Case("status --index nowhere --json", 3, "no index in nowhere", "rag index", process=True),
    Case("search Why? --json", 3, "embedder hash, not all-minilm", "RAG_EMBEDDER=hash",
         env={"RAG_EMBEDDER": "all-minilm-l6-v2"}),
    Case("index nowhere --index new --json", 4, "no such file or folder", "rag index",
         process=True),
    Case("index empty --index new", 4, "no document can be read", "rag index"),
    Case("ask Why? --json", 5, f"{SMALL_LLM}: not in", f"rag models pull {SMALL_LLM}", env=SMALL),
    Case("ask Why? --json", 5, "SHA-256", f"rag models pull {SMALL_LLM}",
         env={**SMALL, "RAG_MODELS": "wrong"}),
    Case("ask Why? --llm junk.gguf", 5, "junk.gguf", "rag models", process=True),
    Case("batch absent.txt -o out", 4, "absent.txt cannot be read", "questions"),
    Case("batch rag.toml -o out", 4, ".txt, .csv, .jsonl", "save it as .csv"),
    Case("batch junk.txt -o out --format tsv", 2, "--format", "--help"),
    Case("index seeds", 6, "is writing the index", "wait", process=True),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code} {case.arguments}")
def test_an_error_is_two_lines_and_its_exit_code(
    case: Case,
    shared_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rag.toml").write_text(case.config)
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + bytes(8000))
    if "SHA-256" in case.message:
        model = CATALOGUE[SMALL_LLM]
        (tmp_path / "wrong" / model.name).mkdir(parents=True)
        with (tmp_path / "wrong" / model.name / model.files[0].name).open("wb") as file:
            file.truncate(model.files[0].size)  # the right size, and nothing but zeros
    words = {"{long}": "word " * 10_000, "seeds": str(SEEDS)}
    arguments = [words.get(part, part) for part in case.arguments.split(" ")]
    env = {"RAG_INDEX": str(shared_index), **case.env}
    code: object
    if case.process:
        with contextlib.ExitStack() as stack:
            if case.code == 6:
                env["RAG_INDEX"] = str(tmp_path / "busy")
                stack.enter_context(writing(tmp_path / "busy"))
            done = run(*arguments, cwd=tmp_path, **env)
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        for name, value in (NO_WEIGHTS | env).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["rag", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code, (out, err) = ended.value.code, capfd.readouterr()
    assert (code, out) == (case.code, ""), err
    error, hint, *more = err.split("\n")
    assert more == [""], err
    assert error.startswith("error: ")
    assert case.message in error
    assert hint.startswith("hint: ")
    assert case.hint in hint


def test_a_full_disk_and_a_reader_that_left(shared_index: Path, tmp_path: Path) -> None:
    def to(stdout: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rag", "status"], cwd=tmp_path,
            env=environment(RAG_INDEX=str(shared_index)), stdout=stdout, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip

    with Path("/dev/full").open("w") as full:
        done = to(full)
    assert (done.returncode, done.stderr.count("\n")) == (7, 2)
    assert done.stderr.startswith("error: out of disk\nhint: ")
    reader, writer = os.pipe()
    os.close(reader)
    done = to(writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, ""), "as with: rag ask ... | head -0"
    reader, writer = os.pipe()
    os.close(reader)
    for code, index in ((0, shared_index), (3, tmp_path / "nowhere")):
        ended = subprocess.run(
            [sys.executable, "-m", "rag", "search", "trade"], cwd=tmp_path, stderr=writer,
            env=environment(RAG_INDEX=str(index)), stdout=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert ended.returncode == code, "nobody has to read what is told beside an answer"
    os.close(writer)


def test_an_interrupted_run_says_so_and_leaves_no_half_index(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(300):
        words = [f"Sentence {n} {k} tells of something else entirely." for k in range(300)]
        (docs / f"{n:03}.txt").write_text(" ".join(words))
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "index", "docs"], cwd=tmp_path, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 30
    database = tmp_path / "index" / "rag.sqlite"
    while not database.exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert [line.split(":")[0] for line in err.split("\n")] == ["error", "hint", ""], err
    state = invoke("status", "--json", "--index", str(tmp_path / "index"))
    assert isinstance(state.exception, IndexUnusable)
    assert "never finished" in state.exception.message


def test_strict_and_unsound_fail_after_they_have_told(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.txt").write_text("Pandas eat bamboo in the mountains of China.")
    (docs / "bad.txt").write_bytes(b"\x7fELF\x00\x00\x01")
    index = str(tmp_path / "index")
    lax = invoke("index", str(docs), "--index", index, "--json")
    strict = run("index", "docs", "--index", index, "--json", "--strict", cwd=tmp_path)
    for output in (lax.stdout, strict.stdout):
        assert [skip["path"] for skip in json.loads(output)["skipped"]] == ["bad.txt"]
    assert (lax.exit_code, lax.stderr) == (0, "")
    assert (strict.returncode, strict.stderr.count("\n")) == (4, 2)
    (tmp_path / "index" / "dense.faiss").unlink()
    done = run("status", "--json", "--index", index, cwd=tmp_path)
    state = json.loads(done.stdout)
    check(state, STATUS)
    assert (done.returncode, state["sound"], len(state["problems"])) == (3, False, 1)
    assert re.fullmatch(r"error: .*dense\.faiss.*\nhint: .*rag index --check\n", done.stderr)
    assert invoke("index", "--index", index).exit_code == 0
    assert json.loads(invoke("status", "--json", "--index", index).stdout)["sound"]


def test_the_contract_names_every_exit_code() -> None:
    source = (ROOT / "rag" / "errors.py").read_text()
    codes = set(map(int, re.findall(r"exit_code = (\d+)", source)))
    assert codes == {1, 2, 3, 4, 5, 6, 7, 130}
    tried = {case.code for case in CASES if case.process}
    assert codes - {1, 130, 7} == tried, "7 and 130 have tests of their own"
