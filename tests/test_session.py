"""A conversation's state, its file, and its commands, without a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from command import environment, invoke
from conftest import SEEDS, IndexBuilder
from schemas import ANSWER, check

from rag.answering import Before, Engine
from rag.answers.claims import Limits
from rag.answers.followup import quotes
from rag.backends.embed import HashEmbedder
from rag.backends.extractive import ExtractiveGenerator
from rag.commands import slash
from rag.commands.chat import Manner, converse
from rag.commands.session import Session, kept_in
from rag.errors import IndexBusy, IndexUnusable, OutOfResources, UsageError
from rag.records import Prompt
from rag.storage.dense import open_dense
from rag.storage.store import open_index

LIMITS = Limits(12, 5, 120, 3, answer_threshold=0.0, support_threshold=0.5)
FIRST = "Why was the CAI suspended by the European Parliament?"
SECOND = "And when was it signed?"


def engine(index: Path) -> Engine:
    store = open_index(index)
    return Engine(store, open_dense(store), HashEmbedder(), ExtractiveGenerator(), LIMITS)


@pytest.fixture
def session(shared_index: Path) -> Iterator[Session]:
    opened = engine(shared_index)
    yield Session(opened)
    opened.store.close()


def ask(session: Session, *questions: str) -> None:
    for question in questions:
        session.ask(question, session.understood(question))


def do(session: Session, line: str, *, styled: bool = False) -> str:
    return slash.run(line, session, width=100, styled=styled)


def test_a_follow_up_is_searched_as_it_is_understood(session: Session) -> None:
    ask(session, FIRST, SECOND)
    first, second = session.turns
    assert first.question == first.standalone_question == FIRST
    assert second.question == SECOND
    assert second.standalone_question != SECOND
    assert "CAI" in second.standalone_question
    session.reset()
    ask(session, "When was the CAI signed?", "Why was it suspended?")
    assert session.turns[1].standalone_question == "Why was the CAI suspended?"
    alone = session.engine.answer(session.turns[1].standalone_question)
    assert alone.retrieved == session.turns[1].retrieved, "and as nothing else"
    session.reset()
    assert session.understood(SECOND) == SECOND


def test_a_follow_up_that_quotes_the_question_before_goes_on_from_its_answer(
    session: Session,
) -> None:
    ask(session, FIRST, SECOND)
    first, second = session.turns
    quoted = quotes(second.standalone_question)
    assert quoted
    assert quoted[0].lower() == FIRST.rstrip("?").lower()
    before = Before(quoted[0], tuple(claim.text for claim in first.claims), quoted[1])
    asked: list[Prompt] = []

    class Noted(ExtractiveGenerator):
        def read(self, prompt: Prompt) -> int:
            asked.append(prompt)
            return super().read(prompt)

    going_on = replace(session.engine, generator=Noted()).answer(SECOND, before=before)
    assert going_on.claims == second.claims
    (prompt,) = asked
    assert prompt.question.endswith(" by the European Parliament, and when was it signed?")
    # Where nothing was answered there is nothing to go on from.
    session.turns[0] = replace(first, claims=(), status="unanswerable")
    session.turns.pop()
    ask(session, SECOND)
    alone = session.engine.answer(session.turns[-1].standalone_question)
    assert alone.retrieved == session.turns[-1].retrieved


def test_a_follow_up_that_would_grow_too_long_is_asked_as_it_is(session: Session) -> None:
    long = " ".join(["Why did the parliament of the old republic in the north suspend it?"] * 8)
    ask(session, long)
    assert session.understood(SECOND) != SECOND
    most = session.engine.embedder.count(long)

    class Short(HashEmbedder):
        max_tokens = most

    session.engine = replace(session.engine, embedder=Short())
    assert session.understood(SECOND) == SECOND
    ask(session, SECOND)
    assert session.turns[-1].standalone_question == SECOND


def test_an_answer_that_cannot_be_kept_is_printed_first(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        session = Session(session.engine, file=full.fileno())
        with pytest.raises(OutOfResources, match="cannot be written"):
            converse(session, iter([FIRST]), Manner(at_terminal=False, as_json=True, quiet=True))
    assert json.loads(capsys.readouterr().out)["question"] == FIRST


def test_commands_on_the_last_answer(session: Session) -> None:
    for command in ("/sources", "/open 1", "/why", "/save x.md"):
        with pytest.raises(UsageError):
            do(session, command)
    ask(session, FIRST)
    citation = session.turns[-1].citations[0]
    assert do(session, "/sources").startswith(f"[1] {citation.title} · {citation.document}:")
    opened = do(session, "/open 1")
    within = " ".join(opened.split())
    quote = " ".join(citation.quote.split())
    assert f"»{quote}«" in within
    text = (SEEDS / citation.document).read_text("utf-8")
    paragraph = next(p for p in re.split(r"\n\s*\n", text) if citation.quote in p)
    assert within.replace("»", "").replace("«", "").endswith(" ".join(paragraph.split()))
    assert do(session, "/open [1]") == opened
    styled = do(session, "/open 1", styled=True)
    assert re.sub(r"\x1b\[[07]m", "", styled) == opened.replace("»", "").replace("«", "")
    for row in styled.split("\n"):
        assert row.count("\x1b[7m") == row.count("\x1b[0m"), "no style leaks out of its line"
    why = do(session, "/why")
    for part in ("asked as:", "answerability", "support ", "evidence:", "dense rank", "lexical"):
        assert part in why, part
    assert "/open" in do(session, "/help")
    for command in ("/open", "/open 99", "/open 0", "/open one", "/open 1 2"):
        with pytest.raises(UsageError, match="no source") as caught:
            do(session, command)
        assert "/open 1" in caught.value.hint
    for command in ("/frob", "/", "/'frob", "/open1"):
        with pytest.raises(UsageError, match="unknown command"):
            do(session, command)


def test_what_was_withheld_is_said(session: Session) -> None:
    ask(session, "Flurb zxqv wobblegock snorfle?")
    turn = session.turns[-1]
    assert bool(turn.citations) == bool(turn.claims) == (turn.status == "answered")
    strict = Session(engine(session.engine.store.folder))
    strict.engine = Engine(
        strict.engine.store, strict.engine.dense, strict.engine.embedder, strict.engine.generator,
        Limits(12, 5, 120, 3, answer_threshold=0.0, support_threshold=1.0),
    )  # fmt: skip
    ask(strict, FIRST)
    assert strict.turns[-1].status == "unanswerable"
    assert "withheld: " in do(strict, "/why")
    assert do(strict, "/sources").startswith("nearest passages:\n[1]")
    assert do(strict, "/open 1")
    strict.engine.store.close()


def test_the_scope_of_a_conversation(session: Session) -> None:
    assert do(session, "/scope").split("\n")[0] == "scope: all documents"
    assert do(session, "/scope 003* '000*'").split("\n")[0] == "scope: 000* 003*"
    ask(session, FIRST)
    assert {p.document[:3] for p in session.turns[-1].retrieved} <= {"000", "003"}
    assert session.turns[-1].scope == ("000*", "003*")
    with pytest.raises(UsageError, match=r"absent"):
        do(session, "/scope absent*")
    assert do(session, "/scope").startswith("scope: 000* 003*"), "it stays as it was"
    assert "scope stays" in do(session, "/reset")
    assert "scope: all documents" in do(session, "/scope *")
    ask(session, FIRST)
    assert not session.turns[-1].scope


def test_saving_for_people_and_to_go_on(session: Session, tmp_path: Path) -> None:
    ask(session, FIRST, SECOND)
    markdown, lines = tmp_path / "a talk.md", tmp_path / "talk.jsonl"
    assert "saved 2 turns" in do(session, f"/save '{markdown}'")
    assert markdown.read_text().count("## ") == 2
    assert "saved 2 turns" in do(session, f"/save {lines}")
    ask(session, "Why?")
    do(session, f"/save {lines}")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["turn"] for row in rows] == [1, 2, 3]
    for row in rows:
        check(row, ANSWER)
    other = tmp_path / "mine.md"
    other.write_text("mine")
    for name, what in (("x.pdf", "neither"), ("mine.md", "there already"), ("", "name one")):
        with pytest.raises(UsageError, match=what):
            do(session, f"/save {tmp_path / name if name else ''}")
    assert other.read_text() == "mine"
    with kept_in(lines, resume=True) as (_, turns):
        said = [replace(turn, documents_searched=0) for turn in session.turns]
        assert turns == said, "everything that its JSON holds comes back"


def test_each_turn_is_kept_and_a_torn_line_is_cut_off(shared_index: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    opened = engine(shared_index)
    with kept_in(file, resume=False) as (handle, turns):
        session = Session(opened, turns=turns, file=handle)
        ask(session, "Who is Xi Jinping?")
        session.reset()
        ask(session, FIRST, SECOND)
        assert file.read_bytes().count(b"\n") == 3, "on disk before the next is asked"
        with pytest.raises(IndexBusy), kept_in(file, resume=True):
            pass
    assert file.stat().st_mode & 0o077 == 0, "questions are private"
    whole = file.read_bytes()
    ends = [0, *(m.end() for m in re.finditer(b"\n", whole))]
    for cut in [*range(ends[2] + 1, ends[3], 97), ends[3]]:
        file.write_bytes(whole[:cut] + b"\x00" * (cut % 2))
        if cut == ends[3] and cut % 2:
            file.write_bytes(whole)
        with kept_in(file, resume=True) as (handle, turns):
            left = 2 if cut == ends[3] else 1
            assert [turn.question for turn in turns] == [FIRST, SECOND][:left]
            assert file.read_bytes() == whole[: ends[left + 1]]
            if cut < ends[3]:
                ask(Session(opened, turns=turns, file=handle), SECOND)
                assert file.read_bytes().count(b"\n") == 3
    opened.store.close()


@pytest.mark.parametrize(
    "content",
    [
        b"my notes",
        b"my notes\n",
        b'{"schema": "rag.answer/1"}\n',
        b"[]\n",
        b"\xff\xfe\n",
        b"[" * 99,
    ],
)
def test_a_file_of_something_else_is_never_touched(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(content)
    for resume in (True, False):
        with pytest.raises(UsageError), kept_in(file, resume=resume):
            pass
        assert file.read_bytes() == content
    with pytest.raises(UsageError), kept_in(tmp_path / "absent", resume=True):
        pass
    assert not (tmp_path / "absent").exists()


def test_hostile_documents_reach_neither_the_terminal_nor_markdown(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\ue000\ue001"
    (docs / "bad.txt").write_text(
        f"Pandas {evil}eat bamboo in the mountains of Sichuan.\n\x1b[31mThey sleep {evil} at noon. "
        + "Other animals eat grass and leaves. " * 40
    )
    build(docs)
    session = Session(engine(tmp_path / "index"))
    ask(session, f"Where do pandas eat bamboo {evil}<|im_start|>?")
    assert session.turns[-1].citations
    commands = ["/sources", "/open 1", "/why", "/scope"]
    shown = "\n".join(do(session, command) for command in commands)
    shown += re.sub(r"\x1b\[[07]m", "", do(session, "/open 1", styled=True))
    assert "Pandas" in shown
    assert not set(shown) & set("\x1b\x07\u202e\ue000\ue001")
    for command in (f"/{evil}", f"/open {evil}", f"/scope {evil}"):
        with pytest.raises(UsageError) as caught:
            do(session, command)
        assert "\x1b" not in caught.value.message
    session.engine.store.close()


def test_a_document_that_has_changed_is_said_to_have(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("Pandas eat bamboo in the mountains of Sichuan.")
    build(docs)
    session = Session(engine(tmp_path / "index"))
    ask(session, "Where do pandas eat bamboo?")
    turns = session.turns
    session.engine.store.close()
    (docs / "a.txt").write_text("Nowadays pandas eat bamboo in the mountains of Sichuan.")
    build(docs)
    session = Session(engine(tmp_path / "index"), turns=turns)
    with pytest.raises(IndexUnusable, match=r"a\.txt has changed"):
        do(session, "/open 1")
    assert "index has changed" in do(session, "/why")
    session.engine.store.close()


def piped(text: str, index: Path, *arguments: str) -> Any:
    """``rag chat`` with lines from a pipe."""
    from typer.testing import CliRunner

    from rag.cli import app

    env = {"RAG_EMBEDDER": "hash", "RAG_LLM": "extractive", "RAG_ANSWER_THRESHOLD": "0"}
    return CliRunner().invoke(app, ["chat", "--index", str(index), *arguments], input=text, env=env)


def test_questions_from_a_pipe_as_json(shared_index: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    long = "word " * 1000
    lines = [FIRST, "", SECOND, "/scope 003*", "/frob", long, "Why?"]
    done = piped("\n".join(lines) + "\n", shared_index, "--json", "--save", str(file))
    assert done.exit_code == 0, done.exception
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        check(row, ANSWER)
    assert [row["question"].strip() for row in rows] == [FIRST, SECOND, long.strip(), "Why?"]
    assert [row["status"] == "error" for row in rows] == [False, False, True, False]
    assert "CAI" in rows[1]["standalone_question"]
    assert rows[0]["scope"] == []
    assert rows[3]["scope"] == ["003*"]
    assert "unknown command /frob" in done.stderr
    assert "scope: 003*" in done.stderr

    again = piped("When?\n", shared_index, "--json", "--resume", str(file))
    row = json.loads(again.stdout)
    assert row["standalone_question"] != "When?"
    assert row["scope"] == ["003*"], "it goes on in the scope it was in"
    assert "resumed after 3 turns" in again.stderr
    kept = [json.loads(line)["turn"] for line in file.read_text().splitlines()]
    assert kept == [1, 2, 3, 4]
    both = piped("", shared_index, "--save", "x", "--resume", str(file))
    assert isinstance(both.exception, UsageError)


def test_questions_from_a_pipe_as_text(shared_index: Path) -> None:
    done = piped(f"{FIRST}\n{SECOND}\n/open 7\n/sources\n", shared_index)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    asked = invoke("ask", FIRST, "--index", str(shared_index), RAG_ANSWER_THRESHOLD="0")
    assert done.stdout.startswith(asked.stdout), "the same as rag ask shows"
    assert re.search(r'^→ Regarding "why was the CAI suspended', done.stderr, re.MULTILINE)
    assert "no source 7" in done.stderr


def test_json_goes_on_from_the_answer_before_as_the_chat_does(
    session: Session, shared_index: Path
) -> None:
    ask(session, FIRST, SECOND)
    done = piped(f"{FIRST}\n{SECOND}\n", shared_index, "--json")
    second = json.loads(done.stdout.splitlines()[1])
    # Understood alone, but for the quotation of what it goes on from, it is another question.
    alone = session.engine.answer(SECOND, standalone=session.turns[1].standalone_question)
    found = session.turns[1].retrieved
    assert alone.retrieved != found
    assert second["retrieved"] == [asdict(passage) for passage in found]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (("claims", 0, "text"), 5), (("claims", 0, "score"), "high"), (("claims", 0), None),
        (("citations", 0, "start"), "x"), (("citations", 0, "quote"), None),
        (("citations", 0, "title"), ["A"]), (("answerability",), None), (("scope",), [1]),
        (("where",), {}), (("status",), "sure"), (("turn",), 1e400), (("turn",), "2"),
        (("question",), "half \ud800"), (("error",), "none"), (("models",), "hash"),
    ],
)  # fmt: skip
def test_a_conversation_that_was_changed_by_hand_names_its_line(
    part: tuple[Any, ...], value: object, shared_index: Path, tmp_path: Path
) -> None:
    file = tmp_path / "talk.jsonl"
    assert piped(f"{FIRST}\n{FIRST}\n", shared_index, "--save", str(file)).exit_code == 0
    first, second = file.read_text().splitlines()
    row = json.loads(second)
    place = row
    for name in part[:-1]:
        place = place[name]
    place[part[-1]] = value
    file.write_text(f"{first}\n{json.dumps(row)}\n")
    error = piped("/why\n/sources\nWhen?\n", shared_index, "--resume", str(file)).exception
    assert isinstance(error, UsageError), error
    assert "talk.jsonl line 2 is no turn of a conversation" in error.message
    assert "deleted" in error.hint
    file.write_text(f"{first}\n")
    assert piped("/why\n", shared_index, "--resume", str(file)).exit_code == 0


def test_a_name_that_nothing_can_be_saved_under_ends_no_chat(shared_index: Path) -> None:
    for name in ("~nosuchuser/x.md", f"{'x' * 300}.md", "x\0.md"):
        done = piped(f"{FIRST}\n/save {name}\n/sources\n", shared_index)
        assert done.exit_code == 0
        assert "cannot be written" in done.stderr
        assert "suspended" in done.stdout


def test_broken_utf8_from_a_pipe(shared_index: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "rag", "chat", "--json", "-q", "--index", str(shared_index)],
        input=b"Trade with China\xff\xfe?\n", capture_output=True, cwd=tmp_path, check=False,
        env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["question"].startswith("Trade with China")
