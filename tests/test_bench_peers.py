"""Peers are read and scored by the same rules; the naive mode and the table run without weights."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from command import invoke
from conftest import SEEDS

from bench.peers import naive
from bench.peers import table as peers_table
from bench.peers.common import (
    Offered,
    append,
    claims,
    documents,
    in_order,
    is_refusal,
    place,
    record,
    rows,
    unanswered,
)

QUESTION = {"id": "q1", "question": "Who rebuilt the mill?"}
OFFERED = [Offered(1, "a.txt", 0, 4, "The "), Offered(2, "a.txt", 4, 8, "mill")]


def said(text: str) -> list[tuple[str, list[int]]]:
    return [(claim["text"], claim["labels"]) for claim in claims(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada rebuilt it [1].", [("Ada rebuilt it", [1])]),
        ("Ada rebuilt it. [1] It burned [2].", [("Ada rebuilt it", [1]), ("It burned", [2])]),
        ("It burned [1, 2] in [2][3] May.", [("It burned in May", [1, 2, 3])]),
        ("It burned (Source 2). Rain.", [("It burned", [2]), ("Rain", [])]),
        ("It burned [Source 1, Source 3].", [("It burned", [1, 3])]),
        ("There are (1) mills and (2) dams.", [("There are (1) mills and (2) dams", [])]),
        ("Source 2, line 1, says so.", [("Source 2, line 1, says so", [2])]),
        ("It cost 1.5 million [1].\n\n[2]", [("It cost 1.5 million", [1, 2])]),
        ("It was “old.” [1] Then it burned.", [("It was “old.”", [1]), ("Then it burned", [])]),
    ],
)
def test_labels_belong_to_the_sentence_they_stand_in_or_behind(
    text: str, expected: list[tuple[str, list[int]]]
) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Empty Response",
        "The sources do not provide this.",
        "The provided sources don't mention a price [1].",
        "This is not mentioned in the documents.",
        "There is no information about it.",
        "It cannot be determined from the sources.",
        "I don’t know.",
        "None of the sources are helpful.",
        "The documents do not answer this.",
        "The price is not given in the sources.",
        "The sources you gave do not directly state when.",
    ],
)
def test_prose_refusals_are_seen(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Ada Voss rebuilt it in 1904 [1].",
        "The Parliament did not ratify it [2].",
        "China is not a party to the conflict [1].",
        "China does not provide weapons to Russia [1].",
        "The EU does not have a common position, and Paris did not say why [2].",
        "There is no evidence that the talks failed, he said [1].",
        "He refused to answer reporters [1].",
    ],
)
def test_answers_with_a_not_in_them_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_an_answer_cites_what_it_names_and_invented_labels_are_told() -> None:
    row = record(QUESTION, "Ada did [2][7].", OFFERED, stats={"total_ms": 5}, llm="m")
    assert row["status"] == "answered"
    assert [c["label"] for c in row["citations"]] == [2]
    assert (row["claims"][0]["labels"], row["invented_labels"]) == ([2], [7])
    refused = record(QUESTION, "The sources do not say [1].", OFFERED, stats={}, llm="m")
    assert (refused["status"], refused["citations"]) == ("unanswerable", [])


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    out = tmp_path / "new" / "answers.jsonl"
    gold = [{"id": str(n), "question": "?"} for n in range(3)]
    assert list(unanswered(gold, out)) == gold
    append(out, {"id": "0"})
    with out.open("a") as stream:
        stream.write('{"id": "1", "ans')
    assert list(unanswered(gold, out)) == gold[1:]
    append(out, {"id": "1"})
    assert [row["id"] for row in rows(out)] == ["0", "1"]
    asked, ordered = tmp_path / "gold.jsonl", tmp_path / "ordered.jsonl"
    append(asked, {"id": "1"})
    append(asked, {"id": "0"})
    in_order(asked, out, ordered)
    assert [row["id"] for row in rows(ordered)] == ["1", "0"]
    assert [row["id"] for row in rows(out)] == ["0", "1"], "no answer is touched"


def test_chunks_are_found_where_white_space_differs() -> None:
    text = "One two.\n\nThree  four."
    assert place(text, "Three  four.") == (10, 22)
    assert text[slice(*place(text, "two. Three four."))] == "two.\n\nThree  four."
    assert place(text, "five") == (-1, -1)


def test_documents_are_those_that_the_product_reads() -> None:
    assert set(documents(SEEDS)) == {file.name for file in SEEDS.glob("*.txt")}


def test_the_peer_does_not_need_the_product() -> None:
    for name in ("common", "llamaindex"):
        source = Path(peers_table.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        ours = {module for module in found if module.split(".")[0] in ("rag", "bench")}
        assert ours <= {"bench.peers.common"}
        tops = {module.split(".")[0] for module in found - ours}
        assert tops <= sys.stdlib_module_names | {"llama_index"}
        assert "json" in tops


def test_naive_answers_and_the_table_puts_systems_side_by_side(
    tmp_path: Path,
    shared_index: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RAG_EMBEDDER", "hash")
    monkeypatch.setenv("RAG_LLM", "extractive")
    gold, out = str(SEEDS / "gold.jsonl"), tmp_path / "naive.jsonl"
    run = [gold, "--corpus", str(SEEDS), "--out", str(out)]
    naive.main([*run, "--limit", "2"])
    before = out.read_text()
    naive.main([*run, "--limit", "4"])
    assert out.read_text().startswith(before)
    found = rows(out)
    assert [row["id"] for row in found] == [row["id"] for row in rows(SEEDS / "gold.jsonl")[:4]]
    for row in found:
        assert row["status"] == "answered"
        assert row["citations"]
        for citation in row["citations"]:
            text = (SEEDS / citation["document"]).read_bytes().decode()
            assert text[citation["start"] : citation["end"]] == citation["quote"]
    some = tmp_path / "gold.jsonl"
    lines = (SEEDS / "gold.jsonl").read_text().splitlines()
    some.write_text("\n".join(lines[:4]) + "\n")
    broken = tmp_path / "broken.jsonl"
    made_up = {**found[0], "citations": [{**found[0]["citations"][0], "quote": "made up"}]}
    refused = [{**row, "status": "unanswerable", "claims": [], "citations": []} for row in found]
    broken.write_text("".join(json.dumps(row) + "\n" for row in [made_up, *refused[1:]]))
    reports = []
    for answers in (out, broken):
        shown = invoke(
            "eval", str(some), "--answers", str(answers), "--index", str(shared_index), "--json"
        )
        reports.append(answers.with_suffix(".json"))
        reports[-1].write_text(shown.stdout)
    capsys.readouterr()
    peers_table.main([f"naive={reports[0]}", f"broken={reports[1]}"])
    cells = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert (cells["citation.valid"][1], cells["citation.valid"][5]) == ("1.00", "0.00")
    assert (cells["refusal.false"][1], cells["refusal.false"][5]) == ("0.00", "0.75")
