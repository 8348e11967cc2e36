"""The sentences that are shown: each brings what it leans on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.records import Evidence
from rag.retrieval.evidence import best_of, select_evidence
from rag.retrieval.retrieve import make_query, retrieve
from rag.storage.dense import open_dense
from rag.storage.store import open_index

Show = Callable[[str, str], Evidence]
Ask = Callable[[str, str], Callable[[str], list[Evidence]]]
SPEECH = """Li answered the council at length. On the harbour, she defended the old company,
saying: “We did not start the quarrel. Our third envoy is on a tour of the islands. The harbour
stays open to every ship.”

Mayor Oda spoke about the winter market. “We will rely on lanterns, not on floodlights,” he said.

The market opens in the first week of December and closes in January.

--lantern-volume=<number> [default: 20000]
"""

LISTS = """# Harbour rules

## Ropes

The following ropes must be replaced each spring:

- Ropes of the north pier, whatever their age.
- Ropes that were wet all winter.

They are sold afterwards.

## Hooks

Replacement costs nine euros.

| Hook | 2023 | 2022 |
|------|------|------|
| small hook of brass | 7 | 9 |
"""


@pytest.fixture
def evidence(tmp_path: Path, build: IndexBuilder) -> Iterator[Ask]:
    """Indexes one document; then what of it is shown for a question, best first."""
    with contextlib.ExitStack() as opened:

        def indexed(name: str, text: str) -> Callable[[str], list[Evidence]]:
            folder = tmp_path / "docs"
            folder.mkdir()
            (folder / name).write_text(text, encoding="utf-8")
            build(folder)
            store = opened.enter_context(contextlib.closing(open_index(tmp_path / "index")))

            def ask(question: str) -> list[Evidence]:
                query = make_query(question, embedder=HashEmbedder(), acronyms=[])
                hits = retrieve(query, store=store, dense=open_dense(store), limit=5)
                return select_evidence(query, hits, store=store, limit=5)

            return ask

        yield indexed


@pytest.fixture
def shown(evidence: Ask) -> Show:
    return having(evidence("speech.txt", SPEECH))


@pytest.fixture
def rules(evidence: Ask) -> Show:
    return having(evidence("rules.md", LISTS))


def having(ask: Callable[[str], list[Evidence]]) -> Show:
    """The evidence for a question that has some words."""
    return lambda question, words: next(item for item in ask(question) if words in item.clean)


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


def test_a_question_gives_way_to_what_answers_it(evidence: Ask) -> None:
    faq = """## Does the lantern company accept payment by cheque? {#cheque}

Only from customers of the islands, and never for more than ninety euros a year.
"""
    found = evidence("faq.md", faq)("Is payment by cheque accepted from customers?")
    assert [item.clean[:4] for item in found][:1] == ["Only"]
    assert not any("{#" in f"{item.shown} {item.section}" for item in found)


def test_what_introduces_a_list_brings_its_short_entries(evidence: Ask) -> None:
    text = """# Keys

You can choose how long the harbour keeps a key:

- 7 days
- **30 days** (usual)

Lost keys are replaced in spring.

The keeper has further duties:

- He winds every clock of the harbour on the first morning of the year, whatever the weather is.
- He greets ships.
"""
    ask = evidence("keys.md", text)
    item = ask("How long can the harbour keep a key?")[0]
    assert item.clean == "You can choose how long the harbour keeps a key: 7 days; 30 days (usual)"
    assert text[item.start : item.end].endswith("- **30 days** (usual)")
    found = ask("When does the keeper wind every clock of the harbour?")
    assert found[0].clean.startswith("He winds every clock"), "a long entry is shown by itself"
    assert found[0].lead
    assert not any("further duties: He winds" in item.clean for item in found), "and once only"


def test_a_line_of_few_spaces_counts_by_its_words(shown: Show) -> None:
    assert shown("What is the default of --lantern-volume?", "[default: 20000]")


def test_what_is_asked_of_a_document_is_at_its_head(evidence: Ask) -> None:
    head_ = "Harbour Paper\nno. 12\n26 March 2024\n\nThe quarrel of the islands\n\nAda LIND"
    paper = f"{head_}\n\n{SPEECH}"
    ask = evidence("paper.txt", paper)

    def best(question: str) -> Evidence:
        return ask(question)[0]

    head = best("Who wrote Harbour Paper no. 12 on the quarrel of the islands?")
    assert head.clean == (
        "Harbour Paper; no. 12; 26 March 2024; The quarrel of the islands; Ada LIND"
    )
    assert paper[head.start : head.end] == head_
    assert "Ada LIND" not in best("Which envoy is on a tour of the islands?").clean


def test_an_entry_of_a_list_brings_the_sentence_that_introduces_it(rules: Show) -> None:
    item = rules("Which ropes that were wet all winter must be replaced?", "wet all winter")
    assert item.shown == (
        "The following ropes must be replaced each spring: … Ropes that were wet all winter."
    )
    assert LISTS[item.start : item.end] == "Ropes that were wet all winter."


def test_a_heading_is_shown_where_it_says_what_the_sentence_does_not(rules: Show) -> None:
    item = rules("What does the replacement of hooks cost?", "nine euros")
    assert item.shown == "Hooks: Replacement costs nine euros."
    assert item.clean == "Replacement costs nine euros."
    again = rules("What does the replacement cost?", "nine euros")
    assert again.shown == "Replacement costs nine euros."


@pytest.mark.parametrize("author", ["Ada LIND", "Ada Lind", "Lind, Ada"])
def test_an_author_whom_the_question_names_stands_before_what_they_wrote(
    evidence: Ask, author: str
) -> None:
    ask = having(evidence("rules.md", f"---\nauthor: {author}\n---\n{LISTS}"))
    item = ask("What does the replacement cost, according to Ada Lind?", "nine euros")
    assert item.shown == f"{author}: Replacement costs nine euros."
    assert item.clean == "Replacement costs nine euros."
    for other in ("What does the replacement cost?", "What does the replacement cost Ada Ek?"):
        assert ask(other, "nine euros").shown == "Replacement costs nine euros."


def test_a_row_of_a_table_is_shown_with_the_names_of_its_columns(rules: Show) -> None:
    item = rules("How many small brass hooks were there in 2023?", "brass")
    assert item.clean == "Hook: small hook of brass | 2023: 7 | 2022: 9"
    assert LISTS[item.start : item.end] == "small hook of brass | 7 | 9"


def test_what_a_document_calls_itself_takes_no_room_from_what_it_says(evidence: Ask) -> None:
    flood = "Ada " * 2000
    front = f"---\nauthor: {flood}Lind\ntitle: {flood}\n---\n"
    ask = having(evidence("rules.md", front + LISTS))
    item = ask("What does the replacement cost, according to Ada Lind?", "nine euros")
    assert item.shown == "Replacement costs nine euros."


def test_a_document_that_the_question_names_stands_before_what_it_says(evidence: Ask) -> None:
    ask = having(evidence("travel-policy.md", f"---\ntitle: Island handbook\n---\n{LISTS}"))
    for question, called in (
        ("What does the Island handbook say on the replacement cost?", "Island handbook: "),
        ("What does the travel policy say on the replacement cost?", "travel policy: "),
        ("What does the handbook say on the replacement cost?", ""),
        ("What does the travel guide say on the replacement cost?", ""),
    ):
        assert ask(question, "nine euros").shown == f"{called}Replacement costs nine euros."


def test_of_several_searches_the_best_is_shown_once(evidence: Ask) -> None:
    ask = evidence("speech.txt", SPEECH)
    envoy, market = ask("Which envoy is on a tour of the islands?"), ask("When does it open?")
    both = best_of([envoy, market, envoy], limit=3)
    assert len(both) == 3
    assert len({item.start for item in both}) == 3, "each once"
    scores = [item.score for item in both]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == max(item.score for item in (*envoy, *market))
    # A sentence that stands before another one already is not shown again by itself.
    leaning = next(item for item in envoy if item.lead)
    assert leaning.lead
    alone = replace(leaning, start=leaning.lead.start, clean=leaning.lead.clean, lead=None, score=0)
    assert best_of([[leaning], [alone]], limit=5) == (leaning,)
    # As much is shown as of one search: three however long they are, then what fits in with them.
    pages = [replace(alone, start=n, clean=f"{n} " + "word " * 80) for n in range(5)]
    assert len(best_of([pages[:3], pages[3:]], limit=5)) == 3
    short = [replace(page, clean=page.clean[:100]) for page in pages]
    assert len(best_of([short[:3], short[3:]], limit=5)) == 5
