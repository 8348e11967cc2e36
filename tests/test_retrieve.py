"""Question to passages: expansion, two searches, one ranking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SEEDS, IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.errors import UsageError
from rag.records import Acronym, Hit
from rag.retrieval.retrieve import Query, expand, fuse, make_query, retrieve
from rag.storage.dense import DenseIndex, open_dense
from rag.storage.store import Store, open_index

CAI = Acronym("CAI", "Comprehensive Agreement on Investment")
PRC = Acronym("PRC", "People's Republic of China")
ROC = Acronym("ROC", "Republic of China")


@pytest.fixture(scope="module")
def opened(shared_index: Path) -> Iterator[tuple[Store, DenseIndex]]:
    store = open_index(shared_index)
    yield store, open_dense(store)
    store.close()


def query(question: str, acronyms: list[Acronym] | None = None) -> Query:
    return make_query(question, embedder=HashEmbedder(), acronyms=acronyms or [])


def hits(opened: tuple[Store, DenseIndex], question: str, limit: int = 8) -> list[Hit]:
    store, dense = opened
    return retrieve(query(question, store.acronyms()), store=store, dense=dense, limit=limit)


@pytest.mark.parametrize(
    ("question", "expanded"),
    [
        ("What is the CAI?", "What is the Comprehensive Agreement on Investment (CAI)?"),
        (
            "Is the comprehensive agreement on investment dead?",
            "Is the comprehensive agreement on investment (CAI) dead?",
        ),
        (
            "Is the Comprehensive Agreement on Investment (CAI) dead?",
            "Is the Comprehensive Agreement on Investment (CAI) dead?",
        ),
        ("Does the PRC like CAIs?", "Does the People's Republic of China (PRC) like CAIs?"),
        (
            "Is the People's Republic of China large?",
            "Is the People's Republic of China (PRC) large?",
        ),
        (
            "The PRC and the ROC?",
            "The People's Republic of China (PRC) and the Republic of China (ROC)?",
        ),
        ("Nothing to expand", "Nothing to expand"),
    ],
)
def test_acronyms_are_expanded_both_ways(question: str, expanded: str) -> None:
    assert expand(question, [CAI, PRC, ROC]) == expanded
    assert expand(question, [ROC, PRC, CAI]) == expanded


def test_a_short_form_with_two_meanings_is_left_as_it_is() -> None:
    other = Acronym("CAI", "Computer-Aided Instruction")
    assert expand("What is the CAI?", [CAI, other]) == "What is the CAI?"
    long = "What is the comprehensive agreement on investment?"
    assert "(CAI)" in expand(long, [CAI, other])
    again = Acronym("CAI", "comprehensive agreement on investments")
    assert "Agreement" in expand("What is the CAI?", [CAI, again]), "the same in the plural"


def test_both_forms_find_the_same_passage(opened: tuple[Store, DenseIndex]) -> None:
    store, _ = opened
    assert {a.short for a in store.acronyms()} == {"BRI", "CAI", "EU", "PRC"}
    for name in ("CAI", "comprehensive agreement on investment"):
        question = f"Why was the {name} suspended?"
        found = hits(opened, question, 3)
        assert any("Agreement on Investment (CAI)" in hit.passage.clean for hit in found), question
    assert "cai" in query("comprehensive agreement on investment", [CAI]).terms


def test_too_little_and_too_much_is_refused() -> None:
    for question in ("", " \n\t "):
        with pytest.raises(UsageError, match="the question is empty"):
            query(question)
    for question in ("word " * 10_000, "x" * 30_000, "word " * 255):
        with pytest.raises(UsageError, match="the question is too long"):
            query(question)
    assert len(query("word " * 254).vector) == 384
    # Where only the expansion is too long, the question is searched as it was asked.
    assert query("CAI " + "word " * 253, [CAI]).text.startswith("CAI word")


def test_query_is_one_line_of_unit_length() -> None:
    asked = query("What\n did  Russia's trade trade do?")
    assert asked.text == "What did Russia's trade trade do?"
    assert asked.terms == ("russia", "trade")
    assert float(asked.vector @ asked.vector) == pytest.approx(1.0)


def test_what_one_stage_alone_found_has_its_place() -> None:
    assert fuse([], []) == []
    for dense, lexical, wanted in (
        ([(1, 0.9), (2, 0.5)], [], {1: 0.72, 2: 0.4}),
        ([], [(3, 8.0), (4, 2.0)], {3: 0.2, 4: 0.05}),
        # Of 3 the least cosine that was found is taken.
        ([(1, 0.9), (2, 0.5)], [(3, 8.0), (2, 4.0)], {1: 0.72, 3: 0.6, 2: 0.5}),
    ):
        found = fuse(dense, lexical)
        assert [id_ for id_, _ in found] == list(wanted)
        assert dict(found) == pytest.approx(wanted)
    assert [id_ for id_, _ in fuse([(7, 0.5), (6, 0.5)], [])] == [6, 7], "a tie goes by number"


@pytest.mark.parametrize(
    "question", ["What did Xi say about overcapacity?", "trade between Russia and China", "zxqv"]
)
def test_fusion_follows_from_the_scores(opened: tuple[Store, DenseIndex], question: str) -> None:
    store, dense = opened
    everything = hits(opened, question, 1000)
    assert [hit.score for hit in everything] == sorted(
        (hit.score for hit in everything), reverse=True
    )
    assert len({hit.passage_id for hit in everything}) == len(everything)
    asked = query(question, store.acronyms())
    for stage, found in (
        ("dense", dense.search(asked.vector, 100)),
        ("lexical", store.lexical_search(asked.terms, 100)),
    ):
        told = {
            hit.ranks[stage]: (hit.passage_id, hit.stage_scores[stage])
            for hit in everything
            if stage in hit.ranks
        }
        assert [told[rank] for rank in sorted(told)] == found
        assert sorted(told) == list(range(1, len(found) + 1))
    least = min(h.stage_scores["dense"] for h in everything if "dense" in h.ranks)
    most = max((h.stage_scores.get("lexical", 0.0) for h in everything), default=0.0) or 1.0
    for hit in everything:
        cosine = hit.stage_scores.get("dense", least)
        words = hit.stage_scores.get("lexical", 0.0) / most
        assert hit.score == pytest.approx(0.8 * cosine + 0.2 * words)
        assert hit.ranks.keys() == hit.stage_scores.keys()
    for limit in (1, 3, 8):
        assert hits(opened, question, limit) == everything[:limit]


@pytest.mark.parametrize(
    ("question", "document", "words"),
    [
        ("By how much did European exports to China rise in 2022?", "003", "3.2%"),
        ("What does Xi say about Chinese overcapacity?", "004", "does not exist"),
        ("Who met at the 17+1 summit with Lithuania?", "001", "“almost no benefits”"),
    ],
)
def test_seeds_answer_what_they_say(
    opened: tuple[Store, DenseIndex], question: str, document: str, words: str
) -> None:
    store, _ = opened
    found = [hit for hit in hits(opened, question) if words in hit.passage.clean]
    assert found
    assert found[0].document.path.startswith(document)
    text = store.text(found[0].document.id)
    assert words in text[found[0].passage.start : found[0].passage.end]


def test_chinese_finds_chinese(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "zh.txt").write_text("欧盟对中国电动汽车征收关税。北京表示反对，并威胁采取报复措施。\n")
    (docs / "zh2.txt").write_text("俄罗斯的天然气出口在冬季下降。\n")
    build(docs, SEEDS)
    store = open_index(tmp_path / "index")
    found = retrieve(query("电动汽车的关税"), store=store, dense=open_dense(store), limit=3)
    assert found[0].document.path == "zh.txt"
    assert found[0].ranks["lexical"] == 1
    quote = found[0].passage.sentences[0]
    assert store.text(found[0].document.id)[quote.start : quote.end] == quote.clean
    assert "zh2.txt" not in {hit.document.path for hit in found if "lexical" in hit.ranks}
    store.close()
