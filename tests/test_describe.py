"""Title, date, author and acronyms, as a text shows them."""

from __future__ import annotations

import time

import pytest
from conftest import SEEDS, read_document

from rag.backends.embed import HashEmbedder
from rag.documents.describe import Description, acronyms, describe, find_date
from rag.documents.find import find
from rag.documents.front import front_matter
from rag.documents.split import Split, split
from rag.records import Acronym, Document


def split_text(text: str) -> Split:
    embedder = HashEmbedder()
    return split(
        Document("x.md", text, "", "utf-8"), count=embedder.count, max_tokens=embedder.max_tokens
    )


def describe_seed(number: str) -> Split:
    source = next(s for s in find([SEEDS])[0] if s.path.startswith(number))
    document = read_document(source, max_bytes=10**7)
    assert isinstance(document, Document)
    return split_text(document.text)


@pytest.mark.parametrize(
    ("number", "title", "date", "author"),
    [
        (
            "000",
            "China and the EU are moving closer under U.S. pressure, but for different …",
            "",
            "",
        ),
        ("001", "US, EU to cooperate on China dialogue, Russia challenge", "2021-03-24", ""),
        ("002", "Trump doesn’t want a Russia-China alliance", "", ""),
        ("003", "Sino-Russian relations in a geopolitical Europe", "2024-03-26", "Pierre ANDRIEU"),
        (
            "004",
            "In France, Xi rejects Macron's call for China to pressure Russia in Ukraine war",
            "2024-05-09",
            "Alex Lantier",
        ),
    ],
)
def test_seeds_describe_themselves(number: str, title: str, date: str, author: str) -> None:
    assert describe_seed(number).description == Description(title, date, author, "en")


@pytest.mark.parametrize(
    ("number", "mined"),
    [
        ("002", {"CAI": "Comprehensive Agreement on Investment"}),
        ("003", {"PRC": "People's Republic of China", "BRI": "Belt and Road Initiative"}),
        ("004", {"EU": "European Union"}),
    ],
)
def test_acronyms_of_the_seeds(number: str, mined: dict[str, str]) -> None:
    assert {a.short: a.long for a in describe_seed(number).acronyms} == mined


def test_acronyms_need_their_letters() -> None:
    text = (
        "The World Trade Organisation (WTO) met the North Atlantic Council (NATO Summit) and"
        " Antony Blinken (L), the reinsurance union (EU) and the Treaty of Rome (signed)."
        " Later the Wide Tulip Order (WTO) and the European Central Bank ( ECB ) spoke."
    )
    assert acronyms(text) == [
        Acronym("WTO", "World Trade Organisation"),
        Acronym("ECB", "European Central Bank"),
    ]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Brussels, 24 March 2021.", "2021-03-24"),
        ("on March 3rd, 2021 or 4 May 2022", "2021-03-03"),
        ("the 1st of Sept. 2019", "2019-09-01"),
        ("part 1234-99-88, of 2024-05-09", "2024-05-09"),
        ("31 February 2020", ""),
        ("in March 2021", ""),
    ],
)
def test_dates(text: str, date: str) -> None:
    assert find_date(text) == date


def test_front_matter_comes_first() -> None:
    text = (
        '---\ntitle: "A Title"\ndate: May 9, 2024\nauthor: Ada\n---\n# Another\n\nText follows.\n'
    )
    assert text[front_matter(text) :].startswith("# Another")
    assert front_matter("# no\n---\ntitle: x\n---\n") == 0
    parts = split_text(text)
    assert parts.description == Description("A Title", "2024-05-09", "Ada")
    assert [s.clean for p in parts.passages for s in p.sentences] == ["Text follows."]
    empty = split_text("---\ntitle:\ndate: 2024-05-09\n---\n# Real title\n\nText follows here.\n")
    assert empty.description == Description("Real title", "2024-05-09", "")


def test_bylines() -> None:
    def author(line: str) -> str:
        head = [("A fine headline about trade", True), (line, False), ("Then the text.", False)]
        return describe("", head=head, repeated=set()).author

    assert author("By Ada Lovelace") == "Ada Lovelace"
    assert author("written by Ludwig van Beethoven") == "Ludwig van Beethoven"
    assert author("Ursula von der Leyen") == "Ursula von der Leyen"
    assert author("by the waters of Babylon") == ""
    assert author("By Monday they had all left.") == ""


def test_hostile_front_matter_costs_linear_time() -> None:
    start = time.process_time()
    text = "---\ntitle: a" + " " * 20_000 + "b\n---\nSome text follows here."
    assert split_text(text).description.title.startswith("a ")
    assert time.process_time() - start < 1.0
