"""Converted public sets: quotes are verbatim, answers are gone where they must be, halves apart."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from bench.sets import convert as converter
from bench.sets.records import (
    BenchSet,
    Question,
    Source,
    choose,
    half_of,
    sentence_at,
    sentence_with,
    unanswerable,
    write,
)

_ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("BENCH_DATA", _ROOT / converter.DATA))
needs_data = pytest.mark.skipif(
    not (DATA / "xquad").is_dir(),
    reason=f"the public sets are not at {DATA}: name their folder in BENCH_DATA",
)
SIZES = {"musique": (1890, 100), "xquad": (240, 1190), "chunking": (5, 472), "scifact": (5183, 300)}

TEXT = "The mill burned in 1904. Ada Voss rebuilt it. The mill was sold twice."


def question(id_: str, answer: str, document: str, *, asks: str = "Who?") -> Question:
    return Question(id_, "span", asks, answer, ((answer,),), (Source(document, TEXT),), (document,))


@needs_data
@pytest.mark.parametrize("name", SIZES)
def test_every_question_is_there_once_and_every_quote_verbatim(name: str, tmp_path: Path) -> None:
    whole = converter.LOADERS[name](DATA)
    assert (len(whole.documents), len(whole.questions)) == SIZES[name]
    assert len({q.id for q in whole.questions}) == len(whole.questions)
    folder = write(whole, tmp_path)
    texts = {
        file.relative_to(folder / "documents").as_posix(): file.read_bytes().decode()
        for file in (folder / "documents").rglob("*")
    }
    assert set(texts) == set(whole.documents)
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    assert len(queries) == len(whole.questions)
    assert all(set(row["documents"]) <= set(texts) for row in queries)
    if name == "scifact":
        assert not (folder / "gold.jsonl").exists(), "retrieval only"
        return
    gold = [json.loads(line) for line in (folder / "gold.jsonl").read_text().splitlines()]
    assert len(gold) == len(whole.questions)
    for row in gold:
        assert row["sources"], row["id"]
        for source in row["sources"]:
            assert source["quote"] in texts[source["document"]], row["id"]
        quotes = " ".join(source["quote"] for source in row["sources"]).casefold()
        for group in row["facts"]:
            assert any(fact.casefold() in quotes for fact in group), row["id"]


@needs_data
def test_quotes_of_musique_are_sentences_of_each_step() -> None:
    whole = converter.LOADERS["musique"](DATA)
    hops = {"2hop": 2, "3hop": 3, "4hop": 4}
    shorter = 0
    for q in whole.questions:
        assert len({source.document for source in q.sources}) == hops[q.type], q.id
        assert {source.document for source in q.sources} == set(q.relevant), q.id
        shorter += sum(len(s.quote) < len(whole.documents[s.document]) // 2 for s in q.sources)
    assert shorter > 100, "most quotes are a sentence, not a paragraph"


@needs_data
@pytest.mark.parametrize("name", ["musique", "xquad"])
def test_unanswerable_variants_lack_the_passage_and_the_answer(name: str) -> None:
    whole = converter.LOADERS[name](DATA)
    variant = converter.without_answers(whole)
    assert variant is not None
    assert len(variant.questions) >= 50
    assert set(variant.documents) < set(whole.documents)
    before = {q.id: q for q in whole.questions}
    for q in variant.questions:
        asked = before[q.id.removesuffix("-unanswerable")]
        assert (q.answer, q.facts, q.sources) == (None, (), ())
        answers = [re.escape(fact.casefold()) for group in asked.facts for fact in group]
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(answers)})(?!\w)")
        holding = {s.document for s in asked.sources if pattern.search(s.quote.casefold())}
        assert holding, q.id
        assert not holding & set(variant.documents), q.id


@needs_data
@pytest.mark.parametrize("name", ["musique", "xquad", "chunking"])
def test_halves_are_disjoint_whole_and_the_same_each_time(name: str) -> None:
    dev, test = (converter.convert(name, DATA, split=half) for half in ("dev", "test"))
    for first, second in zip(dev, test, strict=True):
        ids = [{q.id for q in part.questions} for part in (first, second)]
        assert min(map(len, ids)) > 20
        assert not ids[0] & ids[1]
    whole = {q.id for q in converter.LOADERS[name](DATA).questions}
    assert whole == {q.id for part in (dev[0], test[0]) for q in part.questions}
    if len(dev) > 1:  # a question that is tuned on is not reported on without its passage either
        asked = {q.id.removesuffix("-unanswerable") for q in dev[1].questions}
        assert asked <= {q.id for q in dev[0].questions}
    few = converter.convert(name, DATA, split="dev", limit=7, seed=3)
    assert few == converter.convert(name, DATA, split="dev", limit=7, seed=3)
    assert few[0].questions != converter.convert(name, DATA, split="dev", limit=7)[0].questions


@needs_data
def test_a_small_choice_of_musique_needs_few_documents() -> None:
    part = choose(converter.LOADERS["musique"](DATA), limit=5)
    assert len(part.questions) == 5
    assert 50 <= len(part.documents) <= 100
    assert all(s.document in part.documents for q in part.questions for s in q.sources)


def test_the_half_depends_on_the_id_alone() -> None:
    halves = {id_: half_of(id_) for id_ in map(str, range(200))}
    assert 70 < sum(half == "dev" for half in halves.values()) < 130
    assert all(half_of(f"{id_}-unanswerable") == half for id_, half in halves.items())


def test_a_question_is_not_unanswerable_while_another_document_may_answer_it() -> None:
    documents = {
        "a.txt": TEXT,
        "b.txt": "Ada Voss rebuilt the mill with her sister.",
        "c.txt": "In 1904 a comet was seen. 11904 people saw it.",
        "d.txt": "Rain fell.",
    }
    whole = BenchSet(
        "small",
        documents,
        (
            question("said-elsewhere", "Ada Voss", "a.txt", asks="Who rebuilt the mill?"),
            question("other-matter", "1904", "a.txt", asks="When did the mill burn?"),
            question("same-word", "1904", "a.txt", asks="When was the mill seen to burn?"),
            question("gone", "twice", "a.txt", asks="How often was the mill sold?"),
        ),
    )
    variant = unanswerable(whole)
    assert set(variant.documents) == {"b.txt", "c.txt", "d.txt"}
    assert [q.id for q in variant.questions] == ["other-matter-unanswerable", "gone-unanswerable"]
    assert unanswerable(whole, remove=["d.txt"]).questions == ()


def test_the_quote_is_the_sentence_that_answers() -> None:
    start = TEXT.index("Voss")
    assert sentence_at(TEXT, start, start + 4) == "Ada Voss rebuilt it."
    assert sentence_at(TEXT, TEXT.index("1904"), start) == (
        "The mill burned in 1904. Ada Voss rebuilt it."
    )
    assert sentence_with(TEXT, "MILL", question="How often was it sold?") == (
        "The mill was sold twice."
    )
    assert sentence_with(TEXT, "mil", question="") == TEXT, "not part of a word"


def test_writing_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    old = BenchSet("s", {"old.txt": TEXT}, (question("q", "Ada Voss", "old.txt"),))
    folder = write(old, tmp_path)
    assert (folder / "gold.jsonl").is_file()
    write(BenchSet("s", {"sub/new.txt": "a\r\nb"}), tmp_path)
    assert [f.name for f in (folder / "documents").rglob("*.txt")] == ["new.txt"]
    assert (folder / "documents/sub/new.txt").read_bytes() == b"a\r\nb"
    assert not (folder / "gold.jsonl").exists()


def test_the_command_line_names_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        converter.main(["--data", str(tmp_path / "none")])
    assert stopped.value.code == 2
    assert "name the public sets with --data DIR" in capsys.readouterr().err
