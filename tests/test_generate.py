"""Sentences close when they are over, never before; the generator without weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag.backends.extractive import ExtractiveGenerator
from rag.backends.generate import _closed, cores, lookup, open_generator
from rag.documents.split import sentence_spans
from rag.records import DocumentInfo, Evidence, Prompt
from rag.storage.store import open_index

TRICKY = [
    "It grew 26.3% to $2.5 billion. Trade fell by 1.5 points.",
    "Kestrel Foods Co. bought the U.S. dairy. Then it closed.",
    "The U.S. Senate voted. The U.S. said no. It ended.",
    'Dr. Jones said "We will not." Then Mr. Smith left at 5 p.m. on Monday.',
    "What? Yes! No… He works at Apple Inc. The firm is big, e.g. in China.",
    "One line\nAnother one. And a third, of 3.5 parts",
    "中国说不。欧盟同意。它结束了。",
]


def fed(text: str, size: int) -> list[list[str]]:
    """The sentences closed after each piece; the last are those that the end closes."""
    steps: list[list[str]] = []
    pending = ""
    for at in range(0, len(text), size):
        closed, pending = _closed(pending + text[at : at + size])
        steps.append(closed)
    return [*steps, [pending.strip()] if pending.strip() else []]


def whole(text: str) -> list[str]:
    return [line[a:b] for line in text.split("\n") for a, b in sentence_spans(line)]


@pytest.mark.parametrize("text", TRICKY)
def test_sentences_that_grow_are_those_of_the_whole_text(text: str) -> None:
    assert [s for closed in fed(text, 1) for s in closed] == whole(text)
    assert len(whole(text)) > 1


def test_so_are_those_of_the_seeds(shared_index: Path) -> None:
    store = open_index(shared_index)
    texts = [
        " ".join(s.clean for s in store.hit(int(id_), 0.0, {}, {}).passage.sentences)
        for id_ in store.passage_vectors()[0][::3]
    ]
    store.close()
    assert len(texts) > 10
    for text in texts:
        assert [s for closed in fed(text, 1) for s in closed] == whole(text)


def test_a_sentence_is_handed_over_as_soon_as_the_next_begins_or_the_line_ends() -> None:
    text = "Trade grew by 2.5 percent. It fell later.\nThen it rose."
    steps = fed(text, 1)
    when = {sentence: at for at, closed in enumerate(steps) for sentence in closed}
    assert when["Trade grew by 2.5 percent."] <= text.index("It") + 2
    assert when["It fell later."] == text.index("\n")
    assert _closed("Trade grew by 2.") == ([], "Trade grew by 2.")


def test_the_generator_without_weights_quotes_the_best_evidence() -> None:
    document = DocumentInfo(1, "a.txt", "", "", "")
    items = tuple(
        Evidence(document, n, n + 1, f"Sentence {n}.", None, 1, score, cosine)
        for n, (score, cosine) in enumerate([(0.3, 0.9), (0.8, 0.1)])
    )
    generator = open_generator("extractive", Path(), context_tokens=900, threads=0)
    assert isinstance(generator, ExtractiveGenerator)
    assert generator.context_tokens == 900
    assert generator.log_odds(" yes", " no") < 0
    assert list(generator.sentences("", max_tokens=9, limit=3)) == []
    generator.read(Prompt((), "", items))
    assert next(generator.sentences("", max_tokens=9, limit=3)) == "Sentence 1."
    assert generator.written
    assert generator.first_token_at
    near = generator.log_odds(" yes", " no")
    generator.read(Prompt((), "", items[1:]))
    assert (generator.written, generator.first_token_at) == (0, 0.0)
    assert generator.log_odds(" yes", " no") < near


def test_a_draft_is_what_followed_the_last_words_where_they_stood_before() -> None:
    grams = (3, 2)
    assert lookup([1, 2, 3, 4, 5, 6, 7, 1, 2], 0, 3, grams) == [3, 4, 5]
    assert lookup([1, 2, 3, 4, 5, 6, 7, 1, 2], 0, 2, grams) == [3, 4], "no more than asked for"
    assert lookup([1, 2, 3, 4, 5, 6, 7, 1, 2], 0, 3, (3,)) == [], "two tokens are too few for three"
    assert lookup([8, 2, 3, 9, 1, 2, 3, 4, 1, 2, 3], 0, 3, grams) == [4, 1, 2], "three before two"
    assert lookup([1, 2, 3, 5, 1, 2, 4, 1, 2], 0, 3, grams) == [4, 1, 2], "the last place first"
    assert lookup([1, 2, 3, 4, 5, 1, 2], 1, 3, grams) == [], "nothing before the start"
    assert lookup([1, 2, 3], 0, 3, grams) == lookup([], 0, 3, grams) == []


def test_processors_are_counted_where_affinity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()
