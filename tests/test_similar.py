"""Documents that are almost the same are found by the sentences they share."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import IndexBuilder

from rag.storage.similar import SIZE, near, sketch
from rag.storage.store import open_index

SENTENCES = [f"The town number {n} has a bridge of its own." for n in range(60)]


def test_a_sketch_does_not_depend_on_order_case_or_repeats() -> None:
    assert len(sketch(SENTENCES)) == SIZE
    assert sketch([s.upper() for s in reversed(SENTENCES)] + SENTENCES) == sketch(SENTENCES)
    assert sketch([]) == []
    assert all(0 <= value < 2**63 for value in sketch(SENTENCES))


def test_an_edited_document_is_near_and_boilerplate_is_not(
    tmp_path: Path, build: IndexBuilder
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text(" ".join(SENTENCES))
    (docs / "b.txt").write_text(" ".join(["An entirely new beginning.", *SENTENCES[2:]]))
    (docs / "c.txt").write_text(" ".join(SENTENCES[:20]) + " Nothing else is here to read.")
    for n in range(30):
        (docs / f"page{n}.txt").write_text(f"Page {n} of the town is here. All rights reserved.")
    report = build(docs)
    assert [pair[:2] for pair in report.near_duplicates] == [("a.txt", "b.txt")]
    assert report.near_duplicates[0][2] == pytest.approx(58 / 61, abs=0.12)
    store = open_index(tmp_path / "index")
    ids = {document.path: document.id for document in store.documents()}
    assert near(store, [ids["b.txt"]]) == near(store)
    assert near(store, [ids["c.txt"]]) == []
    store.close()
