"""The sentences that are shown: each brings what it leans on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import IndexBuilder

from rag.dense import open_dense
from rag.embed import HashEmbedder
from rag.evidence import select_evidence
from rag.records import Evidence
from rag.retrieve import make_query, retrieve
from rag.store import open_index

Show = Callable[[str, str], Evidence]
SPEECH = """Li answered the council at length. On the harbour, she defended the old company,
saying: “We did not start the quarrel. Our third envoy is on a tour of the islands. The harbour
stays open to every ship.”

Mayor Oda spoke about the winter market. “We will rely on lanterns, not on floodlights,” he said.

The market opens in the first week of December and closes in January.

--lantern-volume=<number> [default: 20000]
"""


@pytest.fixture
def shown(tmp_path: Path, build: IndexBuilder) -> Show:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "speech.txt").write_text(SPEECH, encoding="utf-8")
    build(folder)

    def find(question: str, words: str) -> Evidence:
        store = open_index(tmp_path / "index")
        query = make_query(question, embedder=HashEmbedder(), acronyms=[])
        hits = retrieve(query, store=store, dense=open_dense(store), limit=5)
        found = select_evidence(query, hits, store=store, limit=5)
        store.close()
        return next(item for item in found if words in item.clean)

    return find


def test_within_a_quotation_the_sentence_that_opens_it_is_shown(shown: Show) -> None:
    item = shown("Which envoy is on a tour of the islands?", "third envoy")
    assert item.shown == (
        "On the harbour, she defended the old company, saying: “We did not start the quarrel. "
        "Our third envoy is on a tour of the islands."
    )
    later = shown("To which ship does the harbour stay open?", "stays open")
    assert later.shown.startswith("On the harbour, she defended")
    assert " … The harbour stays open" in later.shown, "what was left out between them shows"


def test_a_speaker_who_is_a_pronoun_brings_the_sentence_before(shown: Show) -> None:
    item = shown("Who will rely on lanterns?", "lanterns")
    assert item.shown.startswith("Mayor Oda spoke about the winter market. “We will rely")


def test_a_sentence_that_stands_alone_is_shown_alone(shown: Show) -> None:
    item = shown("When does the market open and close?", "first week")
    assert item.lead is None


def test_a_line_of_few_spaces_counts_by_its_words(shown: Show) -> None:
    assert shown("What is the default of --lantern-volume?", "[default: 20000]")


def test_what_is_asked_of_a_document_is_at_its_head(tmp_path: Path, build: IndexBuilder) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    head_ = "Harbour Paper\nno. 12\n26 March 2024\n\nThe quarrel of the islands\n\nAda LIND"
    paper = f"{head_}\n\n{SPEECH}"
    (folder / "paper.txt").write_text(paper, encoding="utf-8")
    build(folder)
    store = open_index(tmp_path / "index")

    def best(question: str) -> Evidence:
        query = make_query(question, embedder=HashEmbedder(), acronyms=[])
        hits = retrieve(query, store=store, dense=open_dense(store), limit=5)
        return select_evidence(query, hits, store=store, limit=5)[0]

    head = best("Who wrote Harbour Paper no. 12 on the quarrel of the islands?")
    assert head.clean == (
        "Harbour Paper; no. 12; 26 March 2024; The quarrel of the islands; Ada LIND"
    )
    assert paper[head.start : head.end] == head_
    assert "Ada LIND" not in best("Which envoy is on a tour of the islands?").clean
    store.close()
