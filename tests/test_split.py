"""Documents taken apart: every offset of the seeds, and the shapes that text comes in."""

from __future__ import annotations

import re
import time

import pytest
from conftest import SEEDS, read_document

from rag.backends.embed import HashEmbedder
from rag.documents.find import find
from rag.documents.split import TARGET_TOKENS, Split, embedding_text, sentence_spans, split
from rag.records import Document, Passage, Sentence
from rag.words import tokens

EMBEDDER = HashEmbedder()
LIMIT = EMBEDDER.max_tokens
NAMES = sorted(file.name for file in SEEDS.glob("*.txt"))
PROSE = "The committee of the council discussed the tariffs and their effects on trade at length"


def seed(name: str) -> Document:
    source = next(s for s in find([SEEDS])[0] if s.path.startswith(name))
    document = read_document(source, max_bytes=10**7)
    assert isinstance(document, Document)
    return document


def split_text(text: str, *, max_tokens: int = LIMIT) -> Split:
    return split(Document("x.md", text, "", "utf-8"), count=EMBEDDER.count, max_tokens=max_tokens)


def sentences_of(parts: Split) -> list[Sentence]:
    return [sentence for passage in parts.passages for sentence in passage.sentences]


def cleans(text: str) -> list[str]:
    return [sentence.clean for sentence in sentences_of(split_text(text))]


def quotes(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences_of(split_text(text))]


def check(text: str, parts: Split, *, max_tokens: int = LIMIT) -> None:
    """What holds for every document."""
    title = parts.description.title
    for passage in parts.passages:
        assert passage.sentences
        assert passage.start == min(s.start for s in passage.sentences)
        assert passage.end == max(s.end for s in passage.sentences)
        assert EMBEDDER.count(embedding_text(passage, title)) <= max_tokens
        assert EMBEDDER.count(passage.clean) <= max(TARGET_TOKENS * 2, max_tokens)
    for sentence in sentences_of(parts):
        assert 0 <= sentence.start < sentence.end <= len(text)
        raw = text[sentence.start : sentence.end]
        assert raw == raw.strip(), sentence
        assert sentence.clean == " ".join(sentence.clean.split())
        left = iter(raw)
        assert all(c in left for c in sentence.clean if not c.isspace()), sentence
        if not re.search("[\u3040-\u9fff]", raw):
            words = iter(tokens(raw))
            assert all(word in words for word in tokens(sentence.clean)), sentence
    # Sentences stand in order and apart; only a footnote may stand inside a sentence torn by it.
    ordered = sorted(sentences_of(parts), key=lambda s: (s.start, -s.end))
    outer = 0
    for sentence in ordered:
        assert sentence.start >= outer or sentence.end <= outer, sentence
        outer = max(outer, sentence.end)


# -- the seeds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_span_of_the_seeds_is_exact(name: str) -> None:
    document = seed(name)
    parts = split_text(document.text)
    check(document.text, parts)
    assert len(sentences_of(parts)) > 30
    inside = [
        s
        for s in sentences_of(parts)
        if any(o.start < s.start and s.end < o.end for o in sentences_of(parts))
    ]
    assert len(inside) == (1 if name.startswith("003") else 0)


def test_page_furniture_is_no_sentence() -> None:
    everything = [s.clean for name in NAMES for s in sentences_of(split_text(seed(name).text))]
    text = "\n".join(seed(name).text for name in NAMES)
    for furniture in (
        "Leave a Reply",
        "Your email address will not be published.",
        "Subscribe to our newsletters",
        "From Twitter",
        "Latest from Analytics",
        "Don't Miss",
        "2",
        "www.robert-schuman.eu/en",
        "wsws.org/contact",
    ):
        assert furniture in text
        assert furniture not in everything
    assert not any("All rights reserved" in clean for clean in everything)
    # The running header is a sentence once, where it is the title.
    assert everything.count("Sino-Russian relations in a geopolitical Europe.") == 1


TORN = [
    (
        "003",
        "By 2022, European exports to China had risen by 3.2%, while in the opposite direction the"
        " increase was 32.3%.",
        "By 2022, European exports to\n\nChina had risen by 3.2%, while in the opposite direction"
        " the increase was 32.3%.",
    ),
    (
        "003",
        'Trade, already strong since Moscow\'s "turn to the East" in the early 2000s, has soared'
        " since Russia's aggression against Ukraine in February 2022.",
        'Trade, already strong since Moscow\'s "*turn to the East*" in the early 2000s, has soared'
        "\n\n[1] This treaty is much less binding than the one signed between Stalin and Mao in"
        " 1950, which contained articles highly unfavourable to the young PRC created in 1949."
        "\n\n2\n\nsince Russia's aggression against Ukraine in February 2022.",
    ),
    (
        "003",
        "As well as continuing the dialogue, the main aim of these contacts is to allow China to"
        " present itself as a partner in a peace process in Ukraine that will one day emerge.",
        "As well as continuing the dialogue, the main aim of these contacts is to allow China to"
        " present itself\n\nas a partner in a peace process in Ukraine that will one day emerge.",
    ),
    (
        "004",
        "This flows particularly clearly, in this case, from the incompatibility of world economy"
        " and production with the nation-state system: the issue of how world markets for cars,"
        " semiconductors or other manufactured goods will be divided provokes bitter conflicts.",
        "This flows particularly clearly, in this case, from the incompatibility of\n\nworld"
        " economy and production with the nation-state system: the issue of how world markets for"
        " cars, semiconductors or other manufactured goods will be divided provokes bitter"
        " conflicts.",
    ),
]
WHOLE = [
    (
        "003",
        "The trade deficit in favour of Beijing had reached €396 billion, an increase of 58.2%.",
        "",
    ),
    ("003", "The Foundation is presided over by Mr. Jean-Dominique Giuliani.", ""),
    (
        "003",
        "In 2023, this trade increased by 26.3% the following year to reach $240 billion, well"
        " above the official target of $200 billion.",
        "In 2023, this trade increased by 26.3% the following year to reach \\$240 billion, well"
        " above the official target of \\$200 billion.",
    ),
    (
        "003",
        "To this personal factor should be added the political, geostrategic and geo-economic"
        " interests between the two countries, based on the Treaty of Good Neighbourliness and"
        " Cooperation signed in 2001.",
        "To this personal factor should be added the political, geostrategic and geo-economic"
        " interests between the two countries, based on the [Treaty of Good Neighbourliness and"
        " Cooperation](#)[1] signed in 2001.",
    ),
    (
        "003",
        "Relations between the European Union and China are also experiencing trade friction.",
        "[Relations between the European Union and China](#) are also experiencing trade friction.",
    ),
    (
        "003",
        "This treaty is much less binding than the one signed between Stalin and Mao in 1950, which"
        " contained articles highly unfavourable to the young PRC created in 1949.",
        "",
    ),
    (
        "002",
        "With regard to demilitarization, because of the European rhetoric that continues to talk"
        " about arming Ukraine and rearming Europe and the resumption of U.S. military aid to Kiev,"
        " Russia will have to ask Donald Trump for guarantees that Kiev will not be admitted into"
        " NATO and prevent foreign military units from being deployed in Ukraine.",
        "",
    ),
    (
        "004",
        "“The so-called ‘problem of China's overcapacity’ does not exist,” he said.",
        "",
    ),
    (
        "000",
        "China lifted sanctions that were imposed on some EU officials, hoping to ease diplomatic"
        " pressure.",
        "",
    ),
    (
        "001",
        "Prior to the speech, the Chinese Foreign Ministry said on Twitter: “The US, UK and Canada"
        " together account for only 5.7% of the world’s population.",
        "",
    ),
]


@pytest.mark.parametrize(("name", "clean", "quote"), TORN + WHOLE)
def test_sentences_of_the_seeds(name: str, clean: str, quote: str) -> None:
    document = seed(name)
    found = [s for s in sentences_of(split_text(document.text)) if s.clean == clean]
    assert len(found) == 1
    start = document.text.index(quote or clean)
    assert (found[0].start, found[0].end) == (start, start + len(quote or clean))


def test_company_abbreviation_ends_no_sentence() -> None:
    found = cleans(seed("003").text)
    assert [s for s in found if "Locomotive Co. responded." in s]
    assert not [s for s in found if s.endswith("Co.")]
    assert not [s for name in NAMES for s in cleans(seed(name).text) if "►" in s or "[1]" in s]


# -- blocks -------------------------------------------------------------------------------------


def test_markdown_shapes() -> None:
    text = (
        "# Learn C#\n\nIntro sentence stands here.\n\n## The second part of it ##\n"
        "1. First item here\n2) Second item here\n   goes on\n- **Bold** third. And more of it.\n\n"
        "| Year | Exports |\n|------|---------|\n| 2022 | 3.2% |\n\n"
        "```python\nx = 1.  # code line\n```\n\nUnderlined title here\n===\nLast one.\n***\nEnd.\n"
    )
    parts = split_text(text)
    check(text, parts)
    assert parts.description.title in ("Learn C#", "The second part of it")
    assert [(p.heading, [s.clean for s in p.sentences]) for p in parts.passages] == [
        ("Learn C#", ["Intro sentence stands here."]),
        (
            "The second part of it",
            [
                "The second part of it",
                "First item here",
                "Second item here goes on",
                "Bold third.",
                "And more of it.",
                "| Year | Exports |",
                "| 2022 | 3.2% |",
                "x = 1. # code line",
            ],
        ),
        ("Underlined title here", ["Last one.", "End."]),
    ]
    assert "**Bold** third." in quotes(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_wrapped_lines_make_one_sentence_with_exact_offsets(end: str) -> None:
    text = f"\ufeff{PROSE}|and then came to an end. Next|||A third one stands here.|"
    text = text.replace("|", end)
    parts = split_text(text)
    check(text, parts)
    first = f"{PROSE}{end}and then came to an end."
    assert quotes(text)[0].lstrip("\ufeff") == first
    assert cleans(text)[0] == f"{PROSE} and then came to an end."
    assert quotes(text)[-1] == "A third one stands here."
    assert sentences_of(parts)[-1].start == text.index("A third")


def test_lists_of_short_lines_stay_apart_and_searchable() -> None:
    capitals = ["Paris", "Rome", "Madrid", "Vienna", "Athens", "Dublin", "Oslo", "Riga"]
    found = [(p.heading, p.clean) for p in split_text("\n".join(capitals)).passages]
    assert found == [("", "Paris"), ("Rome", " ".join(capitals[2:]))], "a list is no page foot"
    assert "IR" not in " ".join(cleans(f"{PROSE}.\n\n{PROSE} again.\n\nIR\n\nLeave a Reply\n"))


def test_no_passage_crosses_a_heading() -> None:
    text = "# One\n\nAbout the first.\n\n# Two\n\nAbout the second.\n"
    assert [(p.heading, p.clean) for p in split_text(text).passages] == [
        ("One", "About the first."),
        ("Two", "About the second."),
    ]


@pytest.mark.parametrize(
    "text", ["***", "\n\n---\n", "2\n\nLeave a Reply\n", "---\ntitle: x\n---\n", "* * *\n", "# \n"]
)
def test_documents_without_a_sentence_have_no_passages(text: str) -> None:
    assert split_text(text).passages == ()


def test_a_footnote_inside_a_torn_sentence_is_within_its_passage() -> None:
    torn = ("and the tariffs on trade " * 32).strip()
    text = (
        f"The council {torn}\n\n[1] A note that stands at the foot of the page.\n\n2\n\n"
        "were discussed at length. A second sentence follows the first one here.\n"
    )
    parts = split_text(text, max_tokens=200)
    check(text, parts, max_tokens=200)
    assert [s.clean for s in parts.passages[-1].sentences] == [
        "A second sentence follows the first one here.",
        "A note that stands at the foot of the page.",
    ]
    assert parts.passages[-1].start == text.index("A note")


# -- sentences ----------------------------------------------------------------------------------


def test_chinese_sentences() -> None:
    text = (
        "# 经济\n\n2022年，欧洲对华出口增长3.2%。**中国**外交部说：“关系很好！”"
        "记者问：为什么？[1]他没有回答。\n"
    )
    parts = split_text(text)
    check(text, parts)
    assert quotes(text) == [
        "2022年，欧洲对华出口增长3.2%。",
        "**中国**外交部说：“关系很好！”",
        "记者问：为什么？[1]",
        "他没有回答。",
    ]
    assert cleans(text)[1:3] == ["中国外交部说：“关系很好！”", "记者问：为什么？"]


def test_quotations_and_abbreviations() -> None:
    text = (
        "Dr. Smith of Acme Inc. met Mr. Li at 3.5 p.m. in the U.S. capital. “We agree,” he said."
        " She asked “why?” and left. It rose by 58.2% (cf. p. 7). Done!"
    )
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        "Dr. Smith of Acme Inc. met Mr. Li at 3.5 p.m. in the U.S. capital.",
        "“We agree,” he said.",
        "She asked “why?” and left.",
        "It rose by 58.2% (cf. p. 7).",
        "Done!",
    ]


def test_a_sentence_longer_than_a_passage_comes_in_pieces_without_loss() -> None:
    words = [f"word{n}" for n in range(1500)]
    text = f"# A heading\n\nShort one. {' '.join(words)}\n\n[the last](#) piece of it, alone.\n"
    parts = split_text(text, max_tokens=64)
    check(text, parts, max_tokens=64)
    assert " ".join(cleans(text)).split() == [
        "Short",
        "one.",
        *words,
        *"the last piece of it, alone.".split(),
    ]


def test_long_foreign_headings_leave_room() -> None:
    text = f"# {'经济' * 100}\n\n## {'😀中' * 100}\n\n{PROSE}. {'ﷺ' * 300}\n"
    parts = split_text(text, max_tokens=128)
    check(text, parts, max_tokens=128)
    assert any(PROSE in s.clean for s in sentences_of(parts))


def test_embedding_text_says_where_a_passage_stands() -> None:
    passage = Passage(0, 5, "Part", (Sentence(0, 5, "Text."),))
    assert embedding_text(passage, "Title") == "Title › Part\nText."
    assert embedding_text(passage, "Part") == "Part\nText."
    assert embedding_text(Passage(0, 5, "", passage.sentences), "") == "Text."


# -- hostile ------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "unit", ["lorem ipsum dolor sit ", "The cat sat on the mat. ", "中国经济。"]
)
def test_very_long_lines(unit: str) -> None:
    size = MEGABYTE if unit.startswith("lorem") else MEGABYTE // 4
    text = unit * (size // len(unit.encode()))
    start = time.process_time()
    parts = split_text(text)
    assert time.process_time() - start < 8
    title = parts.description.title
    assert all(EMBEDDER.count(embedding_text(p, title)) <= LIMIT for p in parts.passages)
    everything = "".join(s.clean for s in sentences_of(parts))
    assert everything.replace(" ", "") == text.replace(" ", "")
    if unit.strip()[-1] in ".。":
        assert {s.clean for s in sentences_of(parts)} == {unit.strip()}


HOSTILE = {
    "brackets": "[" * 20_000,
    "escapes": "[" + "\\'" * 10_000 + "]",
    "stars": "*" * 20_000,
    "comments": "<!--" * 5_000,
    "words in stars": "*a " * 10_000,
    "heading spaces": "# a" + " " * 20_000 + "b",
    "heading hashes": "# a " + "#" * 20_000 + " b",
    "addresses": "@" * 20_000,
    "rules": "* " * 20_000 + "x",
    "stops": ".)" * 20_000 + "x",
    "rows": "|" + " " * 20_000 + "x",
    "items": "- a\n" * 10_000,
    "torn": "\n\n".join(f"abc{n} def" for n in range(10_000)),
    "one word": "x" * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_markdown_costs_linear_time(text: str) -> None:
    start = time.process_time()
    parts = split_text(text)
    assert time.process_time() - start < 2
    check(text, parts)


@pytest.mark.parametrize("word", ["wall", "bank", "tax", "century", "port", "south", "wheat"])
def test_a_common_word_is_no_abbreviation(word: str) -> None:
    text = f"It stood at the {word}. Ships were sent (to the {word}.) The rest stayed."
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        f"It stood at the {word}.",
        f"Ships were sent (to the {word}.)",
        "The rest stayed.",
    ]
    assert len(sentence_spans(f"See 70 U.S. ({word.capitalize()}. Rep.) for it")) == 1
    assert len(sentence_spans(f"It is of the {word}.")) == 1
