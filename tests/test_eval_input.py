"""Bad input to ``rag eval``: it says what is wrong and where, before anything is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import invoke, run
from conftest import IndexBuilder
from test_eval import DOCUMENT, QUOTE, asked, reply, sure, write

from rag.errors import RagError, UsageError
from rag.evaluation.calibrate import write_threshold

GOOD = json.dumps(asked("a0"))
QUESTION = '{"id": "q", "question": "Why?", "answer": '


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an index of one document, and a gold set of one question."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(DOCUMENT)
    build(tmp_path / "docs")
    (tmp_path / "gold.jsonl").write_text(GOOD + "\n")
    return tmp_path


def files() -> list[Path]:
    """All but what SQLite keeps beside a database that is open."""
    return sorted(path for path in Path().rglob("*") if "sqlite-" not in path.name)


def refused(*arguments: str) -> RagError:
    """The error of a run that must say nothing else and write nothing."""
    before = files()
    result = invoke("eval", *arguments)
    assert isinstance(result.exception, RagError), result.exception
    assert result.stdout == ""
    assert files() == before
    assert result.exception.hint
    return result.exception


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 4, "gold.jsonl holds no question"),
        ("\ufeff\n  \n", 4, "gold.jsonl holds no question"),
        ("id,question,answer\na,Why?,x\n", 4, "line 1 is not JSON"),
        (GOOD + "\n[1]\n", 4, "line 2 is not a JSON object"),
        (GOOD + "\n\n{}\n", 4, "line 3 has no id and no question and no answer; it has: nothing"),
        ('{"query": "x", "id": 1}', 4, "no question and no answer; it has: query, id"),
        (f"{GOOD}\n{GOOD}\n", 4, "line 2: the id 'a0' is already used in line 1"),
        (QUESTION + '"x"}\n{"id": "", "question": "?", "answer": null}', 4, "line 2: the id must"),
        ('{"id": true, "question": "?", "answer": null}', 4, "line 1: the id must be text or"),
        ('{"id": 7, "question": " ", "answer": null}', 4, "line 1 (id 7): the question must be"),
        (QUESTION + "3}", 4, "line 1 (id q): the answer must be text, or null"),
        (QUESTION + '"x", "facts": ["y"]}', 4, "(id q): the facts must be lists of alternatives"),
        (QUESTION + '"x", "facts": [[]]}', 4, "(id q): the facts must be lists of alternatives"),
        (QUESTION + '"x", "sources": [{"quote": "y"}]}', 4, "each have a document and a quote"),
        (QUESTION + '"x", "type": 1}', 4, "(id q): the type must be text"),
        (QUESTION + 'null, "facts": [["y"]]}', 4, "the answer is null, so there can be no facts"),
        (
            QUESTION + '"x", "sources": [{"document": "b.txt", "quote": "y"}]}', 4,
            "line 1 (id q): the document 'b.txt' is not in the index",
        ),
        (
            GOOD + "\n" + QUESTION + '"x", "sources": [{"document": "a.txt", "quote":'
            ' "The audit found 13 faults in 2019 and none of them mattered"}]}', 4,
            "line 2 (id q): the quote “The audit found 13 faults in 2019 and …” is not in a.txt",
        ),
    ],
)  # fmt: skip
def test_a_bad_gold_set(text: str, code: int, message: str) -> None:
    Path("gold.jsonl").write_text(text, encoding="utf-8")
    for more in ((), ("--retrieval",)):
        error = refused("gold.jsonl", *more)
        assert (error.exit_code, message in error.message) == (code, True), error.message


def test_a_gold_set_that_cannot_be_read(folder: Path) -> None:
    (folder / "bad.jsonl").write_bytes(GOOD.encode() + b'\n{"id": "\xff\xfe"}\n')
    assert "bad.jsonl line 2 is not UTF-8" in refused("bad.jsonl").message
    assert "cannot be read: No such file" in refused("absent.jsonl").message
    assert "cannot be read: Is a directory" in refused("docs").message
    done = run("eval", "absent.jsonl", "--json", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 2)
    assert refused("gold.jsonl", "--index", "nowhere").exit_code == 3


def test_ids_may_be_numbers_and_lines_may_hold_any_separator(folder: Path) -> None:
    rows = [{"id": 7, "question": "Which\u2028one?", "answer": None}]
    write(folder / "gold.jsonl", rows)
    write(folder / "out.jsonl", [reply(rows[0], None)])
    result = invoke("eval", "gold.jsonl", "--answers", "out.jsonl", "--json")
    assert json.loads(result.stdout)["rows"][0]["id"] == "7"


def test_answers_to_something_else(folder: Path) -> None:
    out = folder / "out.jsonl"
    rows = [asked("a0"), asked("a1")]
    write(folder / "gold.jsonl", rows)
    cases: list[tuple[str, str]] = [
        ("{", "out.jsonl line 1 is not JSON"),
        ("{}", "out.jsonl line 1 is not an answer"),
        (json.dumps(reply(rows[1], None)), "answer 1 is to another question ('a1') than line 1"),
        (json.dumps({**reply(rows[0], None), "question": "Else?"}), "answer 1 is to another"),
        ("\n".join(json.dumps(reply(row, None)) for row in [*rows, rows[0]]), "more answers than"),
        (
            "\n".join(json.dumps({**reply(row, None), "citations": [{}]}) for row in rows),
            "answer 1 (to a0) lacks a field or has a wrong one: 'document'",
        ),
    ]
    wrong: list[dict[str, Any]] = [
        {"stats": {}}, {"stats": None}, {"answerability": "x"}, {"dropped": 5}, {"dropped": [{}]},
        {"error": {"kind": "x"}}, {"error": "x"}, {"claims": [{}]}, {"models": None},
        {"status": "sure"},
        {"retrieved": [{"document": None, "start": 0, "end": 1, "score": 1.0}]},
    ]  # fmt: skip
    for more in wrong:
        both = [{**reply(rows[0], None), **more}, reply(rows[1], None)]
        cases.append(("\n".join(map(json.dumps, both)), "answer 1 (to a0) lacks a field or has"))
    for text, message in cases:
        out.write_text(text)
        error = refused("gold.jsonl", "--answers", "out.jsonl")
        assert (error.exit_code, message in error.message) == (4, True), error.message
        assert out.read_text() == text, "nothing is lost"


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("", "holds no threshold"),
        ('"answer.corect" = 0.7', "'answer.corect', which is no metric"),
        ('"answer.correct" = "high"', "threshold of answer.correct in gate.toml is not a number"),
        ('"answer.correct" = true', "is not a number"),
        ('"refusal.false" = 0.1', "the better the smaller"),
        ('"refusal.false" = {maximum = 0.1}', "'refusal.false.maximum', which is no metric"),
        ("answer.correct", "is not TOML"),
    ],
)
def test_a_bad_gate(gate: str, message: str) -> None:
    Path("gate.toml").write_text(gate)
    error = refused("gold.jsonl", "--gate", "gate.toml")
    assert (error.exit_code, message in error.message) == (2, True), error.message
    if "no metric" in message:
        assert "refusal.recall" in error.hint
    assert "cannot be read" in refused("gold.jsonl", "--gate", "absent.toml").message


def test_a_bad_baseline(folder: Path) -> None:
    assert "cannot be read" in refused("gold.jsonl", "--baseline", "absent").message
    (folder / "other.json").write_text("{")
    assert "is not JSON" in refused("gold.jsonl", "--baseline", "other.json").message
    (folder / "other.json").write_text('{"schema": "rag.answer/1"}')
    assert "is not a report" in refused("gold.jsonl", "--baseline", "other.json").message
    row = asked("z9")
    write(folder / "other.jsonl", [row])
    write(folder / "z.jsonl", [reply(row, None)])
    done = invoke("eval", "other.jsonl", "--answers", "z.jsonl", "--report", "other")
    assert done.exit_code == 0
    write(folder / "a.jsonl", [reply(asked("a0"), None)])
    answered = ("gold.jsonl", "--answers", "a.jsonl", "--baseline")
    assert "no question id in common" in refused(*answered, "other").message
    broken: dict[str, Any] = json.loads((folder / "other" / "report.json").read_text())
    broken["rows"] = [{"id": "a0"}]
    (folder / "other.json").write_text(json.dumps(broken))
    assert "the baseline is damaged" in refused(*answered, "other.json").message


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("x")
    error = refused("gold.jsonl", "--report", "file/report")
    assert error.exit_code == 2
    assert "cannot write into file/report: Not a directory" in error.message
    assert "--report" in error.hint
    assert "cannot write into /proc/none" in refused("gold.jsonl", "--report", "/proc/none").message


def test_options_that_do_not_go_together() -> None:
    for more in (("--answers", "x"), ("--calibrate",), ("--failures",)):
        assert refused("gold.jsonl", "--retrieval", *more).exit_code == 2


def test_what_cannot_be_calibrated(folder: Path) -> None:
    calibrate = ("gold.jsonl", "--answers", "out.jsonl", "--calibrate")
    rows = [asked("a0"), asked("u0", None)]
    write(folder / "gold.jsonl", rows)
    withheld = {"text": "x", "labels": [], "verdict": "unsupported", "score": 0.1,
                "reason": "the cited text does not answer exactly this question"}  # fmt: skip
    write(folder / "out.jsonl", [reply(rows[0], None, dropped=[withheld]), reply(rows[1], None)])
    result = invoke("eval", *calibrate)
    assert isinstance(result.exception, UsageError)
    assert "a0 was made with an answer_threshold above 0" in result.exception.message
    write(folder / "gold.jsonl", rows[:1])
    write(folder / "out.jsonl", sure(rows[:1]))
    assert "1 answerable and 0 unanswerable" in str(invoke("eval", *calibrate).exception)
    (folder / "odd.toml").write_text("evidence = ")
    assert "odd.toml" in refused(*calibrate, "--config", "odd.toml").message
    assert not (folder / "rag.toml").exists()


NOTE = "# rag eval --calibrate: new"
LINE = "answer_threshold = 0.4"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{NOTE}\n{LINE}\n"),
        ("evidence = 8", f"evidence = 8\n{NOTE}\n{LINE}\n"),
        ("# a\r\nevidence = 8\r\n", f"# a\r\nevidence = 8\r\n{NOTE}\r\n{LINE}\r\n"),
        ('"answer_threshold" = 0.5\nevidence = 8\n', f"{NOTE}\n{LINE}\nevidence = 8\n"),
        ("a = 1\n  answer_threshold=0.5# x", f"a = 1\n{NOTE}\n{LINE} # x"),
        (
            "# rag eval --calibrate: old\nanswer_threshold = 0.5\n# end\n",
            f"{NOTE}\n{LINE}\n# end\n",
        ),
        ("# answer_threshold = 0.9\n", f"# answer_threshold = 0.9\n{NOTE}\n{LINE}\n"),
    ],
)
def test_a_settings_file_changes_in_one_line_only(before: str, after: str, folder: Path) -> None:
    path = folder / "mine.toml"
    path.write_bytes(before.encode())
    link = folder / "link.toml"
    link.symlink_to(path)
    write_threshold(link, 0.4, NOTE)
    assert path.read_bytes().decode() == after
    assert link.is_symlink()
    write_threshold(path, 0.4, NOTE)
    assert path.read_bytes().decode() == after, "a second time changes nothing"


@pytest.mark.parametrize("text", ['llm = """\nanswer_threshold = 0.5\n"""\n', "[table]\nx = 1\n"])
def test_a_settings_file_that_cannot_be_changed_safely_is_left(text: str, folder: Path) -> None:
    path = folder / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match="cannot be set safely"):
        write_threshold(path, 0.4, NOTE)
    assert path.read_text() == text
    assert sorted(p.name for p in folder.glob("mine*")) == ["mine.toml"]


def test_a_hundred_thousand_questions(folder: Path) -> None:
    rows = [
        {"id": n, "question": f"What did the audit find ({n})?",
         "answer": None if n % 50 else "12 faults",
         "sources": [] if n % 50 else [{"document": "a.txt", "quote": QUOTE}]}
        for n in range(100_000)
    ]  # fmt: skip
    gold = write(folder / "gold.jsonl", rows)
    write(folder / "out.jsonl", [{**reply(row, None), "retrieved": []} for row in rows])
    done = invoke("eval", "gold.jsonl", "--answers", "out.jsonl", "--report", "out")
    assert (done.exit_code, done.stderr) == (0, "report: out/report.html\n")
    assert "100,000" in done.stdout
    with (folder / "out" / "report.json").open() as report:
        assert sum(1 for _ in report) == 100_002
    with gold.open("a") as file:
        file.write(json.dumps(rows[-1]) + "\n")
    error = refused("gold.jsonl", "--answers", "out.jsonl")
    assert "line 100001: the id '99999' is already used in line 100000" in error.message
