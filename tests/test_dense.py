"""The derived file: trusted only as it was written, rebuilt from the store when in doubt."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import SEEDS, IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.storage import dense
from rag.storage.dense import FILE, open_dense, problem, refresh
from rag.storage.store import Store, open_index

QUESTIONS = ["Russia and China trade", "sanctions over Xinjiang", "Xi Jinping in France"]


@pytest.fixture
def store(shared_index: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of the index of the seeds, where ``build`` looks for it."""
    opened = open_index(shutil.copytree(shared_index, tmp_path / "index"))
    yield opened
    opened.close()


def search(store: Store) -> list[list[tuple[int, float]]]:
    dense = open_dense(store)
    return [dense.search(vector, 10) for vector in HashEmbedder().embed(QUESTIONS)]


def test_search_is_exact(store: Store) -> None:
    assert problem(store) == ""
    ids, vectors = store.passage_vectors()
    for vector, found in zip(HashEmbedder().embed(QUESTIONS), search(store), strict=True):
        cosines = vectors @ vector
        best = np.sort(cosines)[::-1][:10]
        np.testing.assert_allclose([score for _, score in found], best, rtol=1e-5)
        for passage_id, score in found:
            assert score == pytest.approx(cosines[ids.tolist().index(passage_id)], rel=1e-5)
    dense = open_dense(store)
    assert len(dense) == len(ids)
    everything = dense.search(HashEmbedder().embed(["China"])[0], 10_000)
    assert sorted(passage_id for passage_id, _ in everything) == list(ids)


def flip(data: bytes, share: float) -> bytes:
    at = int(len(data) * share)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def reheaded(data: bytes, **changes: object) -> bytes:
    line, _, payload = data.partition(b"\n")
    return json.dumps(json.loads(line) | changes).encode() + b"\n" + payload


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "a bit at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "a bit in the middle": lambda data: flip(data, 0.5),
    "a bit in the header": lambda data: flip(data, 0.0),
    "truncated": lambda data: data[: len(data) // 2],
    "a byte too many": lambda data: data + b"\x00",
    "another generation": lambda data: reheaded(data, generation=2),
    "another index": lambda data: reheaded(data, identity="0" * 32),
    "a list for a header": lambda data: b"[1]\n",
    "a deep header": lambda data: b"[" * 200_000,
    "not UTF-8": lambda data: b"\xff\xfe\n" + data,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_noticed_and_mended_without_embedding(
    store: Store, build: IndexBuilder, damage: Callable[[bytes], bytes | None]
) -> None:
    file = store.folder / FILE
    sound, expected = file.read_bytes(), search(store)
    damaged = damage(sound)
    file.unlink()
    if damaged is not None:
        file.write_bytes(damaged)
    assert "rag index" in problem(store)
    assert search(store) == expected
    assert file.exists() == (damaged is not None), "a reader writes nothing"
    report = build(SEEDS)
    assert (report.embedded, report.generation) == (0, 1)
    assert file.read_bytes() == sound
    assert problem(store) == ""


def test_header_names_what_it_was_built_from(store: Store) -> None:
    line, _, payload = (store.folder / FILE).read_bytes().partition(b"\n")
    assert json.loads(line) == {
        "identity": store.meta("identity"),
        "generation": 1,
        "segment": 0,
        "passages": store.counts()["passages"],
        "exact": True,
        "sha256": hashlib.sha256(payload).hexdigest(),
    }


def test_an_index_without_passages_is_sound(tmp_path: Path, build: IndexBuilder) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.txt").write_text("2\n")
    report = build(tmp_path / "docs")
    assert report.counts == {"documents": 1, "passages": 0, "sentences": 0}
    store = open_index(tmp_path / "index")
    assert problem(store) == ""
    assert open_dense(store).search(HashEmbedder().embed(["two"])[0], 5) == []
    store.close()


def test_refreshing_writes_what_is_missing_and_nothing_else(store: Store) -> None:
    before = (store.folder / FILE).read_bytes()
    assert refresh(store) == 0
    (store.folder / FILE).unlink()
    assert len(open_dense(store)) == store.counts()["passages"]
    assert not (store.folder / FILE).exists()
    (store.folder / "dense-0007.faiss").write_bytes(before)
    assert refresh(store) == 1
    assert (store.folder / FILE).read_bytes() == before
    assert not (store.folder / "dense-0007.faiss").exists(), "of passages that are not there"


@pytest.mark.parametrize("many", [False, True], ids=["bytes", "cells"])
def test_a_large_index_finds_what_exact_search_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    exact = search(store)
    monkeypatch.setattr(dense, "SPAN", 40)
    monkeypatch.setattr(dense, "_ALWAYS", 1)
    monkeypatch.setattr(dense, "_CELL", 4)
    monkeypatch.setattr(dense, "SCANNED", 0 if many else 10**9)
    (store.folder / FILE).unlink()
    assert refresh(store) == store.last_passage() // 40 + 1
    assert problem(store) == ""
    for found, best in zip(search(store), exact, strict=True):
        scores = dict(best)
        kept = [passage_id for passage_id, _ in found if passage_id in scores]
        assert len(kept) >= (6 if many else 10)
        for passage_id, score in found:
            assert score == pytest.approx(scores.get(passage_id, score), rel=1e-5)
    some, vector = store.live_passages()[::7], HashEmbedder().embed(QUESTIONS[:1])[0]
    among = open_dense(store).search(vector, 10_000, among=np.array(some))
    assert sorted(passage_id for passage_id, _ in among) == some, "all of a few are searched"
