"""The retrieval bench measures what the product ranks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.retrieval import METRICS, best_ranks, index, measure, ndcg, recall, table, weighted
from bench.sets.records import BenchSet, Question
from rag.backends.embed import HashEmbedder
from rag.storage.store import open_index

DOCUMENTS = {
    "bridge.md": "# The bridge\n\nThe bridge was closed in March. Its cables had cracks.\n",
    "dairy.md": "# The dairy\n\nThe dairy employs 300 people. It was founded in 1920.\n",
    "long.md": "# The harbour\n\n" + "The harbour was dredged again and again. " * 80 + "\n",
}
QUESTIONS = (
    Question("1", "q", "Why was the bridge closed?", None, relevant=("bridge.md",)),
    Question("2", "q", "How often was the harbour dredged?", None, relevant=("long.md",)),
    Question("3", "q", "When was the dairy founded?", None, relevant=("bridge.md", "dairy.md")),
)


def test_metrics_are_those_of_the_books() -> None:
    ranked = ["a", "b", "c", "d"]
    assert ndcg(ranked, ["a"]) == 1.0
    assert ndcg(ranked, ["c"]) == 1 / math.log2(4)
    assert ndcg(ranked, ["b", "x"]) == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert ndcg(ranked, ["d"], k=3) == 0.0
    assert recall(ranked, ["b", "x"], 2) == 0.5
    assert recall(ranked, ["b"], 1) == 0.0
    assert best_ranks([7, 8, 9], {7: "x", 8: "x", 9: "y"}) == ["x", "y"]


def test_a_weight_moves_the_fusion_towards_its_stage() -> None:
    assert weighted([(1.0, [1, 2]), (1.0, [2, 3])])[0] == 2
    assert weighted([(3.0, [1, 2, 4]), (1.0, [3, 4])])[:2] == [4, 1]
    assert weighted([(3.0, [1]), (1.0, [2])]) == [1, 2]
    assert weighted([(1.0, [1]), (3.0, [2])]) == [2, 1]


def test_stages_are_measured_over_an_index_that_is_made_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, embedder = tmp_path / "small", HashEmbedder()
    index(DOCUMENTS, folder, embedder)
    store = open_index(folder)
    counts, generation = store.counts(), store.generation
    store.close()
    assert counts["documents"] == 3
    assert counts["passages"] > 3, "the long document has several"
    index(DOCUMENTS, folder, embedder)
    store = open_index(folder)
    assert store.generation == generation
    store.close()
    with pytest.raises(SystemExit, match="holds other documents"):
        index({"bridge.md": DOCUMENTS["bridge.md"]}, folder, embedder)

    found = measure(BenchSet("small", DOCUMENTS, QUESTIONS), folder, embedder, weights=[1.0])
    assert set(found) == {"lexical", "dense", "fused", "ranks x1"}
    values = dict(zip(METRICS, found["lexical"], strict=True))
    assert values["recall@5"] < 1.0, "no word of the third question leads to its first document"
    assert values["ndcg@10"] > 0.8
    text = table({"small": found}, {"small": {"lexical": (0.5, None, None, None)}})
    assert f"{values['ndcg@10']:.3f} (0.500, {values['ndcg@10'] - 0.5:+.3f})" in text
