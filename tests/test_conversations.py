"""The conversations that ship with the seeds are sound, and so is what their bench counts."""

from __future__ import annotations

import json
from typing import Any

from conftest import SEEDS

from bench.chat import good, summary
from rag.answers.leaning import leans
from rag.evaluation.metrics import says
from rag.records import Answer


def test_every_turn_is_sound() -> None:
    lines = (SEEDS / "conversations.jsonl").read_text("utf-8").splitlines()
    conversations = [json.loads(line) for line in lines]
    texts = {file.name: file.read_bytes().decode("utf-8") for file in SEEDS.glob("*.txt")}
    assert len(conversations) >= 20
    assert len({c["id"] for c in conversations}) == len(conversations)
    followups = missed = refused = 0
    for conversation in conversations:
        assert set(conversation) == {"id", "turns"}
        assert 3 <= len(conversation["turns"]) <= 5
        for number, turn in enumerate(conversation["turns"]):
            assert set(turn) == {"question", "standalone", "answer", "facts", "sources"}
            assert number or turn["question"] == turn["standalone"]
            differs = turn["question"] != turn["standalone"]
            followups += differs
            missed += differs and not leans(turn["question"])
            assert differs or not leans(turn["question"]) or turn["question"].startswith("And")
            refused += turn["answer"] is None
            if turn["answer"] is None:
                assert not turn["facts"]
                assert not turn["sources"]
                continue
            assert turn["facts"]
            assert turn["sources"]
            for source in turn["sources"]:
                assert source["quote"] in texts[source["document"]], turn["question"]
            for group in turn["facts"]:
                assert any(says(turn["answer"], fact) for fact in group), turn["question"]
    assert followups >= 50
    assert missed <= 1, "grammar tells follow-ups from other questions"
    assert refused >= 10
    assert "conversations.jsonl" in (SEEDS / ".ragignore").read_text()


def test_what_the_bench_counts() -> None:
    asked = {"answer": "In 2020.", "facts": [["2020"]]}
    none: dict[str, Any] = {"answer": None, "facts": []}
    said = Answer("?", "?", "answered", "It was in 2020 [1].")
    other = Answer("?", "?", "answered", "It was in 2021 [1].")
    refusal = Answer("?", "?", "unanswerable", "The documents do not answer this.")
    assert [good(asked, answer) for answer in (said, other, refusal)] == [True, False, False]
    assert [good(none, answer) for answer in (said, other, refusal)] == [False, False, True]
    text = summary([(True, True, True), (True, False, True), (False, True, False)])
    assert "right    of   2: chat 0.50 [0.09, 0.91], standalone 1.00 [0.34, 1.00]" in text
    assert "difference -0.50" in text
    assert "refused  of   1: chat 1.00" in text
