"""Nothing in a document, a file name or a question can drive the terminal."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from command import invoke, run

from rag.commands.render import claim_text, dropped_text, sources_text, summary_text
from rag.records import Answer, Citation, Claim, Stats
from rag.terminal import json_text, printable

EVIL = "\x1b]0;evil\x07\x1b[31m\u202e\u2066\u200b\u200d\ufeff\xad\u061c\x9b2J\x00\ue000\U000e0041"
FILE_EVIL = "\x1b[2J\u202e\u200b\x07"
FACT = f"Pandas{EVIL[:10]} eat bamboo\u202e in the \u200bmountains of Sichuan, and sleep at noon."
QUESTION = "Do pandas eat bamboo in the mountains of Sichuan and sleep at noon?"


def unsafe(text: str) -> set[str]:
    """Characters that a terminal obeys or that a reader cannot see."""
    bad = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    return {hex(ord(c)) for c in text if unicodedata.category(c) in bad and c != "\n"}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with one document whose name, title and text are hostile."""
    docs = tmp_path / "docs"
    docs.mkdir()
    filler = "They are calm animals that climb trees and rest for most of the day.\n" * 30
    text = f"# A title{EVIL[8:12]}\u202e of pandas\n\n{FACT}\n\n{filler}"
    (docs / f"pan{FILE_EVIL}da.md").write_text(text, encoding="utf-8")
    (docs / f"skip{FILE_EVIL}.pd\x1bf").write_text("x")
    return docs


def test_a_terminal_never_gets_control_characters(hostile: Path, tmp_path: Path) -> None:
    index = ("--index", str(tmp_path / "index"))
    asked = QUESTION + EVIL
    threshold = {"RAG_ANSWER_THRESHOLD": "0"}
    outputs = [
        invoke("index", str(hostile), *index),
        invoke("ask", asked, *index, **threshold),
        invoke("ask", asked, "--show-dropped", *index, **threshold, RAG_SUPPORT_THRESHOLD="1"),
        invoke("ask", "Flurb zxqv wobblegock?", *index),
        invoke("search", asked, "--explain", *index),
        invoke("status", *index),
    ]
    for result in outputs:
        assert result.exit_code == 0
        assert not unsafe(result.output), result.output
    skipped, answer, withheld, refusal, found, _ = [result.output for result in outputs]
    assert "skipped skip" in skipped
    assert "eat bamboo in the mountains" in answer
    assert "da.md:3" in answer
    assert "withheld: " in withheld
    assert "Nearest passages" in refusal
    assert "searched: Do pandas" in found


def test_json_keeps_the_quote_as_it_stands_in_the_file(hostile: Path, tmp_path: Path) -> None:
    index = ("--index", str(tmp_path / "index"))
    invoke("index", str(hostile), *index)
    result = invoke("ask", QUESTION, "--json", *index, RAG_ANSWER_THRESHOLD="0")
    (citation,) = json.loads(result.stdout)["citations"]
    (file,) = hostile.glob("*.md")
    text = file.read_bytes().decode()
    assert citation["quote"] == text[citation["start"] : citation["end"]] == FACT
    assert citation["line_start"] == 3
    assert not unsafe(citation["document"])


def test_json_never_holds_what_a_terminal_obeys(hostile: Path, tmp_path: Path) -> None:
    index = ("--index", str(tmp_path / "index"))
    asked, questions, out = QUESTION + EVIL, tmp_path / "q.jsonl", tmp_path / "out.jsonl"
    questions.write_text(json.dumps({"question": asked, "more": EVIL}))
    threshold = {"RAG_ANSWER_THRESHOLD": "0"}
    told = [
        invoke(*command, "--json", *index, **threshold).stdout
        for command in (
            ["index", str(hostile)], ["status"], ["ask", asked], ["search", asked],
            ["show", "pan[2Jda.md"],
            ["batch", str(questions), "-o", str(out), "--docs", "[!\u202e]*"],
        )
    ]  # fmt: skip
    told += [out.read_text("utf-8"), (tmp_path / "out.jsonl.run.json").read_text("utf-8")]
    gold, report = tmp_path / "gold.jsonl", tmp_path / "report"
    gold.write_text(json.dumps({"id": "a", "question": asked, "answer": EVIL}))
    told.append(
        invoke("eval", str(gold), "--report", str(report), "--json", *index, **threshold).stdout
    )
    told += [
        (report / name).read_text("utf-8")
        for name in ("report.json", "answers.jsonl", "answers.jsonl.run.json")
    ]
    for text in told:
        assert text
        assert not unsafe(text), text
    row = json.loads(out.read_text())
    assert (row["question"], row["input"]["more"]) == (asked, EVIL), "and it is the same"
    assert FACT in json.loads(told[4])["text"]
    for value in ({"a": [EVIL, "é中\U0001f600"]}, "\x7f\x80\U000e0041\u2028"):
        assert json.loads(json_text(value)) == value
        assert not unsafe(json_text(value))
    assert json_text(["é中\U0001f600\u00a0"]) == '["é中\U0001f600\u00a0"]', "what can be seen stays"


def test_an_error_line_never_gets_control_characters(tmp_path: Path) -> None:
    name = FILE_EVIL + "gone\u2028error: forged\nhint: forged"
    for arguments in (
        ["status", "--index", name],
        [f"x{name}"],
        ["status", f"--{name}"],
    ):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode in (2, 3, 4)
        assert not unsafe(done.stderr), done.stderr
        assert len(done.stderr.splitlines()) == 2, "one error cannot forge another"
        assert "forged" in done.stderr


def test_what_is_safe_is_left_alone() -> None:
    assert printable("Zoë, 中国, שלום — naïve “ok”\t\r\nnext") == (
        "Zoë, 中国, שלום — naïve “ok”   next"
    )
    assert not unsafe(printable(EVIL))
    assert unsafe(EVIL)


def test_records_are_made_safe_and_short() -> None:
    claim = Claim(f"It{EVIL} is so", (1, 2), "supported", 0.9)
    assert not unsafe(claim_text(claim))
    assert claim_text(claim).endswith(" is so [1][2].")
    long = Citation(1, f"a{EVIL}.txt", f"T{EVIL}", None, 0, 9, 3, 7, f"word{EVIL} " * 200)
    shown = sources_text((long,), width=60)
    assert not unsafe(shown)
    assert ".txt:3-7" in shown
    assert "…" in shown
    assert len(shown) < 500
    assert max(map(len, shown.split("\n")[1:])) <= 60
    answer = Answer(
        "Why?", "Why?", "answered", "x", claims=(claim,), dropped=(claim,), documents_searched=1,
        stats=Stats(first_token_ms=1234, total_ms=2000, evidence_dropped=3),
    )  # fmt: skip
    assert not unsafe(dropped_text(answer, width=60))
    summary = summary_text(answer)
    for part in (
        "1 claim,",
        "1 withheld",
        "3 pieces of evidence left out",
        "1 document s",
        "1.2 s",
    ):
        assert part in summary
