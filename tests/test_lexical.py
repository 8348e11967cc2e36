"""Search by words is exact while it is small, and takes bounded time when it is not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from conftest import IndexBuilder

from rag.storage import lexical
from rag.storage.store import Store, open_index


@pytest.fixture
def store(shared_index: Path) -> Store:
    return open_index(shared_index)


def test_scores_are_those_of_fts5(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["china", "russia", "sanction", "xi", "absent"]
    exact = store.lexical_search(words, 10)
    assert len(exact) == 10
    # So little may be scored that only the rarest word chooses, and all words score.
    frequencies = store.passage_frequency(words)
    rarest = min(n for n in frequencies.values() if n)
    monkeypatch.setattr(lexical, "MOST", rarest)
    found = lexical.search(store.rows, frequencies, 10)
    assert 0 < len(found) <= rarest
    known = dict(store.rows(
        "SELECT rowid, -bm25(lexical) FROM lexical WHERE lexical MATCH ?",
        " OR ".join(f'"{word}"' for word in words),
    ))  # fmt: skip
    for passage, score in found:
        assert score == pytest.approx(known[passage], rel=1e-6)
    assert found == sorted(found, key=lambda row: (-row[1], row[0]))
    store.close()


def test_common_words_are_taken_side_by_side(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    frequencies = store.passage_frequency(["china", "russia"])
    monkeypatch.setattr(lexical, "MOST", 1)
    found = lexical.search(store.rows, frequencies, 5)
    both = {row[0] for row in store.rows(
        "SELECT rowid FROM lexical WHERE lexical MATCH ?", '"china" AND "russia"'
    )}  # fmt: skip
    assert found
    assert {passage for passage, _ in found} <= both
    assert lexical.search(store.rows, {"absent": 0}, 5) == []
    store.close()


def test_a_decimal_is_counted_as_it_is_searched(
    tmp_path: Path, build: IndexBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, said in {"a": "grew by 2.5 and then 2.5", "b": "grew by 5.2", "c": "fell"}.items():
        (folder / f"{name}.txt").write_text(f"The yield of the year {said} percent.")
    for number in range(5):
        (folder / f"other{number}.txt").write_text(f"Nothing of that stands in text {number}.")
    build(folder)
    store = open_index(tmp_path / "index")
    frequencies = store.passage_frequency(["2.5", "yield"])
    assert frequencies == {"2.5": 1, "yield": 3}
    exact = store.lexical_search(["2.5", "yield"], 5)
    monkeypatch.setattr(lexical, "MOST", 3)
    (best,) = lexical.search(store.rows, {"2.5": 1, "yield": 3}, 1)
    assert best[0] == exact[0][0]
    assert best[1] == pytest.approx(exact[0][1])
    store.close()


@pytest.fixture
def many() -> lexical.Rows:
    """20,000 passages of which every other says "common", every fifth "some", each tenth "rare"."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE lexical USING fts5(terms)")
    words = {2: "common", 5: "some", 10: "rare", 1999: "unique"}
    database.executemany(
        "INSERT INTO lexical (rowid, terms) VALUES (?, ?)",
        [
            (n, " ".join(["x", *(word for every, word in words.items() if n % every == 0)]))
            for n in range(1000, 21_000)
        ],
    )
    database.commit()
    return lambda query, *values: database.execute(query, values).fetchall()


def test_very_common_words_are_counted_in_part(
    many: lexical.Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lexical.frequency(many, "common") == 10_000
    monkeypatch.setattr(lexical, "MOST", 200)
    assert lexical.frequency(many, "unique") == 10
    assert lexical.frequency(many, "absent") == 0
    assert lexical.frequency(many, "common") == pytest.approx(10_000, rel=0.05)
    assert lexical.frequency(many, "rare") == pytest.approx(2000, rel=0.1)


def test_passages_with_the_most_of_the_rarest_words_are_candidates(
    many: lexical.Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["common", "some", "rare", "unique"]
    exact = lexical.scored(many, " OR ".join(words), 3)
    monkeypatch.setattr(lexical, "MOST", 1500)  # 7,500 passages may be listed: not "common"
    found = lexical.search(many, {word: lexical.frequency(many, word) for word in words}, 3)
    assert [passage for passage, _ in found] == [passage for passage, _ in exact]
