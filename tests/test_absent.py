"""Names of a question that no document mentions, and what is only put in other words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.retrieval.absent import absent_names
from rag.retrieval.retrieve import make_query, retrieve
from rag.storage.dense import open_dense
from rag.storage.store import open_index

TEXT = """The harbour of Oslebo was built by the Northern Ferry Board in 1912. Its first director
was Ingrid Vangen. The mayor opened it in spring. Finland sent two ships.
"""
Absent = Callable[[str], tuple[str, ...]]


@pytest.fixture
def absent(tmp_path: Path, build: IndexBuilder) -> Iterator[Absent]:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "port-of-Kvale.txt").write_text(TEXT)
    build(folder)
    store = open_index(tmp_path / "index")
    dense = open_dense(store)

    def of(question: str) -> tuple[str, ...]:
        query = make_query(question, embedder=HashEmbedder(), acronyms=[])
        return absent_names(question, retrieve(query, store=store, dense=dense, limit=5), store)

    yield of
    store.close()


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("When was the harbour of Tromvik built?", ("Tromvik",)),
        ("The harbour is old. Who built the one of Tromvik?", ("Tromvik",)),
        ("Who was the father of Ingrid Solberg?", ("Ingrid Solberg",)),
        ("How long is the pier of Upper Tromvik at the port?", ("Upper Tromvik",)),
    ],
)
def test_a_name_that_no_document_mentions(
    absent: Absent, question: str, names: tuple[str, ...]
) -> None:
    assert absent(question) == names


@pytest.mark.parametrize(
    "question",
    [
        "When was the harbour of Oslebo built?",
        "When was the harbor of Oslebu built?",  # misspelt
        "Who is the CEO of the port?",  # an abbreviation has words of its own
        "What does Regulation 5 say of the port?",
        "What is told in the Handbook of the port?",
        "What is the Finnish share of the ships?",  # an adjective
        "What is Helsinki's share of the ships?",  # where a government sits
        "What does the White House say of the ships of the port?",  # likewise
        "Who is the owner of the port at Kvale?",  # the file's name alone has it
        "What did Mayor Tromvik open in the spring?",  # who goes by a title may have no name there
        "What was built by the Board on a Monday in March?",
        "Which other Asian country is among the senders of ships?",
        "I am from Tromvik. Who is the owner of the harbour?",
        "Can I moor my boat at the harbour with a Tromvik permit?",  # a rule says so of any permit
        "What Was The First Director Of Tromvik Called?",  # a title has capitals everywhere
        "Wann wurde der Hafen gebaut, und welche Reederei hat den Vertrag?",
    ],
)
def test_what_may_go_by_another_name_is_not_absent(absent: Absent, question: str) -> None:
    assert absent(question) == ()
