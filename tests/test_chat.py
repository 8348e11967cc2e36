"""``rag chat`` in a real terminal: what a person types, sees, stops and finds again."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from command import ROOT, environment
from conftest import SEEDS

READY = r">.*?\?25h"  # the prompt stands, and the cursor is shown behind it
QUESTION = "Why was the CAI suspended by the European Parliament?"
# The shipped backend, slowed down so that there is something to stop.
SLOW = """
import sys, time
from pathlib import Path
from rag.commands import chat
from rag.answering import Engine
from rag.answers.claims import Limits
from rag.storage.dense import open_dense
from rag.backends.embed import HashEmbedder
from rag.backends.extractive import ExtractiveGenerator
from rag.commands.session import Session
from rag.storage.store import open_index

class Slow(ExtractiveGenerator):
    def sentences(self, opening, *, max_tokens, limit):
        print("WRITING", flush=True)
        if "sleep" in self._prompt.question:
            time.sleep(60)
        yield from super().sentences(opening, max_tokens=max_tokens, limit=limit)

store = open_index(Path(sys.argv[1]))
limits = Limits(12, 5, 120, 3, answer_threshold=0.0, support_threshold=0.5)
session = Session(Engine(store, open_dense(store), HashEmbedder(), Slow(), limits))
chat.converse(session, chat.typed(), chat.Manner(at_terminal=True))
print("LEFT WITH", len(session.turns))
"""


def terminal(home: Path, *arguments: str) -> pexpect.spawn[str]:
    """A program at a terminal of 100 columns."""
    env = environment(
        TERM="xterm",
        PROMPT_TOOLKIT_NO_CPR="1",
        RAG_ANSWER_THRESHOLD="0",
        XDG_STATE_HOME=str(home / "state"),
    )
    return pexpect.spawn(
        sys.executable, list(arguments), env=env, cwd=str(home), encoding="utf-8", timeout=20,
        dimensions=(40, 100),
    )  # fmt: skip


@pytest.fixture
def chat(home: Path, shared_index: Path) -> Iterator[pexpect.spawn[str]]:
    child = terminal(
        home, "-m", "rag", "chat", "--index", str(shared_index), "--save", "talk.jsonl"
    )
    yield child
    child.close(force=True)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["index", str(SEEDS), "--dry-run"], "looking"),
        (["status"], "looking at the index"),
        (["search", "trade"], "loading the index"),
    ],
)
def test_who_waits_at_a_terminal_is_told_for_what(
    command: list[str], told: str, home: Path, shared_index: Path
) -> None:
    for more in ([], ["--json"]):
        child = terminal(home, "-m", "rag", *command, "--index", str(shared_index), *more)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (told in str(child.before)) == (not more or command[0] == "search")


def type_in(child: pexpect.spawn[str], text: str) -> None:
    """Type where the prompt stands."""
    child.expect(READY)
    child.send(text)


def leave(child: pexpect.spawn[str]) -> int | None:
    child.expect(READY)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    status: int | None = child.exitstatus
    return status


def test_a_conversation(chat: pexpect.spawn[str], home: Path) -> None:
    chat.expect("Ctrl-D leaves")
    type_in(chat, f"{QUESTION}\r")
    chat.expect(r"\[1\]\.")
    chat.expect(r"\[1\] Sino-Russian relations")
    chat.expect("5 documents searched")
    type_in(chat, "And when was it signed?\r")
    chat.expect(r"\x1b\[2m→ [^\r\n]*CAI[^\r\n]*\x1b\[0m")
    chat.expect("5 documents searched")
    type_in(chat, "/sources\r")
    chat.expect(r"\[1\] [^\r\n]* · 00\d_\w+\.txt:\d+")
    type_in(chat, "/open 1\r")
    chat.expect(r"\x1b\[7m[^\x1b]{10,}\x1b\[0m")
    type_in(chat, "/open 9\r")
    chat.expect("no source 9")
    type_in(chat, "first line\x1b\r/frob\x15\r")  # Alt-Enter begins another line; Ctrl-U empties it
    chat.expect("documents searched")
    type_in(chat, "half a question")
    chat.expect("question")
    chat.send("\x03")  # Ctrl-C empties the line
    type_in(chat, "/frob\r")
    chat.expect("unknown command /frob")
    assert leave(chat) == 0
    rows = [json.loads(line) for line in (home / "talk.jsonl").read_text().splitlines()]
    assert [row["question"].split()[0] for row in rows] == ["Why", "And", "first"]
    history = home / "state" / "rag" / "chat_history"
    assert QUESTION in history.read_text()
    assert history.stat().st_mode & 0o077 == 0


def test_what_was_typed_is_there_again(
    chat: pexpect.spawn[str], home: Path, shared_index: Path
) -> None:
    type_in(chat, f"{QUESTION}\r")
    chat.expect("documents searched")
    assert leave(chat) == 0
    child = terminal(
        home, "-m", "rag", "chat", "--index", str(shared_index), "--resume", "talk.jsonl"
    )
    child.expect("resumed after 1 turn")
    type_in(child, "\x1b[A\r")  # the arrow up
    child.expect("documents searched")
    assert leave(child) == 0
    rows = [json.loads(line) for line in (home / "talk.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [QUESTION] * 2


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(home: Path, shared_index: Path) -> None:
    child = terminal(home, "-W", "error", "-c", SLOW, str(shared_index))
    type_in(child, f"{QUESTION}\r")
    child.expect("WRITING")
    child.expect("documents searched")
    type_in(child, "Where does Xi Jinping sleep in France?\r")
    child.expect("WRITING")
    child.sendintr()
    child.expect("stopped")
    type_in(child, "What did Xi Jinping say about overcapacity?\r")
    child.expect("documents searched")
    child.expect(READY)
    child.sendeof()
    child.expect("LEFT WITH 2")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_with_json_the_prompt_stays_out_of_stdout(home: Path, shared_index: Path) -> None:
    out = home / "out.jsonl"
    command = f"{sys.executable} -m rag chat --json --index {shared_index} > {out}"
    env = environment(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1", XDG_STATE_HOME=str(home / "state"))
    child = pexpect.spawn(
        "/bin/sh", ["-c", command], env=env, cwd=str(ROOT), encoding="utf-8", timeout=20
    )
    type_in(child, f"{QUESTION}\r")
    type_in(child, "/scope\r")
    child.expect("scope: all documents")
    assert leave(child) == 0
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["question"] == QUESTION
    assert not re.search("\x1b|> ", line)
    assert os.environ.get("RAG_LLM") is None
