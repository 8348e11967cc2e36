"""The gold sets over the seeds are sound."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SEEDS

REWORDED = SEEDS.parent / "bench" / "sets" / "reworded.jsonl"


@pytest.mark.parametrize("gold", [SEEDS / "gold.jsonl", REWORDED], ids=lambda file: file.stem)
def test_every_quote_stands_in_its_document_and_every_answer_meets_its_facts(gold: Path) -> None:
    rows = [json.loads(line) for line in gold.read_text("utf-8").splitlines()]
    texts = {file.name: file.read_bytes().decode("utf-8") for file in SEEDS.glob("*.txt")}
    assert len(texts) == 5
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        if row["answer"] is None:
            assert not row["facts"], row["id"]
            assert not row["sources"], row["id"]
            continue
        assert row["sources"], row["id"]
        for source in row["sources"]:
            assert source["quote"] in texts[source["document"]], row["id"]
        for group in row["facts"]:
            assert any(fact.lower() in row["answer"].lower() for fact in group), row["id"]


def test_it_asks_in_every_way() -> None:
    rows = [json.loads(line) for line in (SEEDS / "gold.jsonl").read_text("utf-8").splitlines()]
    types = Counter(row["type"] for row in rows)
    assert sum(types.values()) >= 100
    assert types["unanswerable"] >= 30
    assert types["two-documents"] >= 15
    assert types["sides"] >= 10
    assert types["paraphrase"] >= 10
