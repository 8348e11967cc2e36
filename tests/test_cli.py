"""The command line as a person uses it: help, plain text, layers of settings, bad documents."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from command import NO_WEIGHTS, invoke, run, run_bound
from conftest import SEEDS
from typer.testing import CliRunner

from rag.cli import app
from rag.commands import opening, session
from rag.errors import IndexUnusable, InputUnreadable, UsageError

QUESTION = "What did trade between Russia and China reach in 2023?"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of the program."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def test_every_command_and_flag_explains_itself() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert {("index",), ("status",), ("search",), ("ask",), ("doctor",), ("models", "pull")} <= set(
        found
    )
    for path, command in found.items():
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)
        shown = invoke(*path, "--help")
        assert shown.exit_code == 0
        if len(path) == 1 and path[0] != "models":
            common = {"--index", "--config", "--json"}
            assert common <= {option for p in command.params for option in p.opts}, path
    assert invoke().stdout == invoke("--help").stdout, "alone it helps"
    assert invoke("--version").stdout.startswith("rag ")


def test_an_answer_as_text(shared_index: Path) -> None:
    index = ("--index", str(shared_index))
    answered = {"RAG_ANSWER_THRESHOLD": "0"}
    result = invoke("ask", QUESTION, *index, **answered)
    assert result.exit_code == 0
    answer, _, sources = result.stdout.partition("\n\n")
    record = json.loads(invoke("ask", QUESTION, "--json", *index, **answered).stdout)
    assert " ".join(answer.split()) == record["answer"]
    citation = record["citations"][0]
    assert sources.startswith(f"[1] {citation['title']} · {citation['document']}:")
    assert f":{citation['line_start']}" in sources.split("\n")[0]
    assert "5 documents searched" in result.stderr
    assert invoke("ask", QUESTION, "--quiet", *index, **answered).stderr == ""

    withheld = invoke(
        "ask", QUESTION, "--show-dropped", *index, **answered, RAG_SUPPORT_THRESHOLD="1"
    )
    assert withheld.exit_code == 0
    assert "withheld: " in withheld.stdout
    assert "[1]." not in withheld.stdout
    refused = invoke("ask", "Flurb zxqv wobblegock?", *index)
    assert refused.exit_code == 0, "a refusal is a correct outcome"
    assert "Nearest passages:" in refused.stdout


def test_search_explains_each_stage(shared_index: Path) -> None:
    index = ("--index", str(shared_index))
    text = invoke("search", QUESTION, "-k", "3", "--explain", *index).stdout
    for part in (f"searched: {QUESTION}", "1. ", "3. ", "dense rank", "lexical rank", "fused"):
        assert part in text
    assert "4. " not in text.split("searched")[1].split("\n\n")[0]
    assert "rank" not in invoke("search", QUESTION, *index).stdout


def test_settings_come_from_file_environment_and_flags(
    shared_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rag.toml").write_text(f'index = "{shared_index}"')
    assert invoke("status").exit_code == 0
    refused = invoke("status", RAG_INDEX="elsewhere")
    assert isinstance(refused.exception, IndexUnusable)
    assert "elsewhere" in refused.exception.message
    assert invoke("status", "--index", str(shared_index), RAG_INDEX="elsewhere").exit_code == 0
    Path("mine.toml").write_text("index = 'mine'")
    mine = invoke("status", "--config", "mine.toml")
    assert "mine" in str(mine.exception)
    for question in ("", " \t\n"):
        assert isinstance(invoke("ask", question).exception, UsageError)


def test_signs_alone_are_no_question_and_load_no_model(
    shared_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = ("--index", str(shared_index))
    asked = ("?", "... !", "\u200b", "\x01", "—", "🤔")
    (tmp_path / "q.txt").write_text("\n".join(asked) + "\nTrade with 中国?\n")
    done = invoke("batch", str(tmp_path / "q.txt"), "-o", str(tmp_path / "out"), *index)
    assert done.exit_code == 0
    *rows, last = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert ["its question holds no word" in row["error"]["message"] for row in rows] == [True] * 6
    assert last["status"] != "error"
    with monkeypatch.context() as patched:
        patched.setattr(opening, "open_engine", None)
        for question in asked:
            for command in ("ask", "search"):
                error = invoke(command, question, *index).exception
                assert isinstance(error, UsageError), error
                assert error.message == "the question holds no word"
                assert error.hint
    monkeypatch.setattr(session, "standalone", None)
    talk = CliRunner().invoke(app, ["chat", "--json", *index], input="?\n", env=NO_WEIGHTS)
    assert json.loads(talk.stdout)["error"]["message"] == "the question holds no word"


def test_names_that_no_file_can_have(
    shared_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.txt").write_text("Why?")
    (tmp_path / "a.md").write_text("The harbour was built in 1890.")
    gold = str(SEEDS / "gold.jsonl")
    places = [
        ("index", "{}", "--index", "new"), ("index", "a.md", "--index", "{}"),
        ("index", "--index", "{}"), ("status", "--index", "{}"), ("status", "--config", "{}"),
        ("ask", "Why?", "--llm", "{}"), ("ask", "Why?", "--embedder", "{}"),
        ("batch", "{}", "-o", "out"), ("batch", "q.txt", "-o", "{}"),
        ("chat", "--save", "{}"), ("chat", "--resume", "{}"),
        *(("eval", gold, option, "{}") for option in ("--answers", "--report", "--baseline")),
        ("eval", gold, "--gate", "{}"), ("eval", "{}"),
    ]  # fmt: skip
    for name, what in (("x" * 300, "too long a name"), ("", "is empty"), ("x/" * 3000, "too long")):
        for place in places:
            index = () if "--index" in place else ("--index", str(shared_index))
            error = invoke(*(part.format(name) for part in place), *index).exception
            assert isinstance(error, UsageError), (place, error)
            assert what in error.message, place
            assert len(error.message) < 100
            assert error.hint
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.md", "home", "q.txt"]
    Path("rag.toml").write_text('index = "in\\u0000dex"')
    assert "no file can be called" in str(invoke("status").exception)
    Path("rag.toml").unlink()
    for command in (("batch", "-", "-o", "out"), ("batch", "q.txt", "-o", "-"), ("index", "-")):
        assert "standard" in str(invoke(*command, "--index", "new").exception)
    Path("rag.toml").write_text('index = "~/inner/index"')
    assert invoke("index", "~/../a.md").exit_code == 0
    assert (tmp_path / "home" / "inner" / "index" / "rag.sqlite").is_file()
    assert not (tmp_path / "~").exists()
    Path("rag.toml").unlink()
    long = "y" * 250  # what is kept beside it has a longer name
    error = invoke("batch", "q.txt", "-o", long, "--index", str(shared_index)).exception
    assert isinstance(error, UsageError)
    assert "too long" in error.message
    for name in ("RAG_CORPUS", "RAG_JSON_TEXT_FIELD"):
        assert f"{name} in environment is empty" in str(invoke("status", **{name: " "}).exception)


@pytest.mark.skipif(not os.geteuid() and not shutil.which("setpriv"), reason="no setpriv")
def test_what_may_not_be_read_is_no_bug(shared_index: Path, tmp_path: Path) -> None:
    index, closed = tmp_path / "index", tmp_path / "closed"
    shutil.copytree(shared_index, index)
    closed.mkdir()

    def told(*arguments: str) -> tuple[int, str]:
        done = run_bound(*arguments, cwd=tmp_path)
        assert (done.stdout, done.stderr.count("\n")) == ("", 2), done.stderr
        return done.returncode, done.stderr

    closed.chmod(0)
    index.chmod(0)
    try:
        for command in (["status"], ["ask", "Why?"], ["index"], ["index", "--dry-run", str(SEEDS)]):
            code, said = told(*command)
            assert (code, "the index in index cannot be read: Permission denied" in said) == (
                3, True,
            ), said  # fmt: skip
        index.chmod(0o311)
        assert told("status")[0] == 3
        index.chmod(0o755)
        (index / "rag.sqlite").chmod(0)
        code, said = told("index")
        assert (code, "cannot be read" in said, "damaged" in said) == (3, True, False)
        (index / "rag.sqlite").chmod(0o644)
        gold = str(SEEDS / "gold.jsonl")
        for code, *command in (
            (2, "ask", "Why?", "--llm", "closed/m.gguf"),
            (2, "ask", "Why?", "--embedder", "closed/e"),
            (2, "eval", gold, "--answers", "closed/a.jsonl"),
            (4, "eval", gold, "--baseline", "closed/report"),
            (2, "chat", "--save", "closed/talk.jsonl"),
            (2, "status", "--config", "closed/rag.toml"),
        ):
            found, said = told(*command)
            assert (found, "Permission denied" in said) == (code, True), said
    finally:
        closed.chmod(0o755)
        index.chmod(0o755)


@pytest.mark.skipif(not os.geteuid() and not shutil.which("setpriv"), reason="no setpriv")
def test_a_folder_that_may_not_be_entered_keeps_its_documents(tmp_path: Path) -> None:
    docs, closed = tmp_path / "docs", tmp_path / "docs" / "closed"
    (closed / "inner").mkdir(parents=True)
    (docs / "a.md").write_text("The harbour was built in 1890.")
    (closed / "inner" / "b.md").write_text("The crane lifts nine tons.")
    assert run("index", "docs/a.md", "docs/closed/inner", cwd=tmp_path).returncode == 0
    closed.chmod(0)
    try:
        for command in (["index"], ["index", "docs"], ["index", "docs/a.md"]):
            done = run_bound(*command, "--json", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["removed"] == []
    finally:
        closed.chmod(0o755)
    again = run("index", "docs/closed/inner", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["unchanged"] == 1


def test_bad_documents_are_skipped_with_a_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    fact = "Pandas eat bamboo in the mountains of Sichuan, and they sleep at noon."
    (docs / "good.txt").write_text(fact)
    (docs / "wide.txt").write_bytes(fact.replace("Pandas", "Tigers").encode("utf-16"))
    (docs / "latin.txt").write_bytes(("Le café est fermé à midi. " * 8).encode("latin-1"))
    (docs / "program.txt").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20)
    (docs / "wide_broken.txt").write_bytes(b"\xff\xfe" + b"a" * 7)
    (docs / "empty.txt").write_bytes(b"\xef\xbb\xbf \r\n")
    (docs / "dangling.txt").symlink_to("nowhere.txt")
    (docs / "outside.txt").symlink_to("/etc/passwd")
    (docs / "slides.pdf").write_bytes(b"%PDF-1.7")
    line = docs / "line.txt"
    line.write_bytes(b"a" * 100_000_000)
    started = time.monotonic()
    done = run("index", str(docs), "--json", cwd=tmp_path)
    took = time.monotonic() - started
    line.unlink()
    assert (done.returncode, done.stderr) == (0, "")
    assert took < 30
    report = json.loads(done.stdout)
    assert report["added"] == ["good.txt", "latin.txt", "wide.txt"]
    reasons = {skip["path"]: skip["reason"] for skip in report["skipped"]}
    for path, reason in {
        "program.txt": "binary",
        "wide_broken.txt": "utf-16",
        "empty.txt": "empty",
        "dangling.txt": "cannot be read",
        "outside.txt": "leads out",
        "slides.pdf": "damaged, or no PDF",
        "line.txt": "100.0 MB, over the limit of 50 MB (max_file_mb)",
    }.items():
        assert reason in reasons.pop(path)
    assert not reasons

    index = str(tmp_path / "index")
    for animal in ("Pandas", "Tigers"):
        question = f"{animal} eat bamboo in the mountains of Sichuan and sleep at noon?"
        result = invoke("ask", question, "--json", "--index", index, RAG_ANSWER_THRESHOLD="0")
        (citation,) = json.loads(result.stdout)["citations"]
        assert citation["quote"] == fact.replace("Pandas", animal)


@pytest.mark.parametrize("what", ["file", "link", "loop"])
def test_a_root_that_is_no_folder(what: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    index = str(tmp_path / "index")
    if what == "file":
        root = tmp_path / "one.md"
        root.write_text("# A title\n\nPandas eat bamboo, and they sleep at noon.\n")
        report = json.loads(invoke("index", str(root), "--index", index, "--json").stdout)
        assert report["added"] == ["one.md"]
        return
    root.symlink_to("absent" if what == "link" else "root")
    assert isinstance(invoke("index", str(root), "--index", index).exception, InputUnreadable)


def test_a_question_in_broken_utf8_is_still_asked(shared_index: Path, tmp_path: Path) -> None:
    question = b"Trade with China\xff\xfe?".decode("utf-8", "surrogateescape")
    strict = {"PYTHONIOENCODING": "utf-8:strict", "RAG_INDEX": str(shared_index)}
    done = run("ask", question, "--json", cwd=tmp_path, **strict)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["question"].startswith("Trade with China")
    narrow = {"PYTHONIOENCODING": "ascii", "RAG_INDEX": str(shared_index)}
    done = run("search", "China", "-k", "1", cwd=tmp_path, **narrow)
    assert (done.returncode, done.stderr) == (0, ""), "a terminal without such characters"


def test_a_first_run_that_failed_is_gone_on_with(tmp_path: Path) -> None:
    docs, index = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    again = ("index", "--index", str(index), "--json")
    failed = invoke(*again, RAG_CORPUS=str(docs))
    assert isinstance(failed.exception, InputUnreadable)
    assert (index / "rag.sqlite").is_file()
    (docs / "a.txt").write_text("The harbour was built in 1890.")
    assert json.loads(invoke(*again, RAG_CORPUS=str(docs)).stdout)["added"] == ["a.txt"]
    (docs / "b.txt").write_text("The crane lifts nine tons.")
    more = json.loads(invoke(*again, RAG_CORPUS=str(tmp_path / "absent")).stdout)
    assert more["added"] == ["b.txt"], "what is indexed goes before the setting"
    (index / "rag.sqlite").write_bytes(b"")
    assert json.loads(invoke(*again, RAG_CORPUS=str(docs)).stdout)["added"] == ["a.txt", "b.txt"]


def test_an_index_among_the_documents_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The harbour was built in 1890.")
    again = ("index", str(tmp_path), "--index", str(tmp_path / "index"), "--strict", "--json")
    for _ in range(2):
        done = invoke(*again)
        assert done.exit_code == 0
        assert json.loads(done.stdout)["skipped"] == []
    (tmp_path / "index" / "notes.xyz").write_text("of somebody else")
    assert isinstance(invoke(*again).exception, InputUnreadable)
