"""One analyser: words, numbers, names, negation."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag.words import (
    denied,
    figures,
    named,
    names,
    negated,
    numbers,
    open_quotation,
    stem,
    terms,
    tokens,
    without_codes,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The U.S. and the US gave us e.g. tariffs", "the us and the usa gave us eg tariffs"),
        ("China’s state-led “policies”", "china state led policies"),
        ("ﬁre ＦＵＬＬ-width", "fire full width"),
        ("snake_case 17+1 3.5% of 2,257km, seven", "snake case 17 1 3.5 of 2257km 7"),
        ("中国的EU 国", "中国 国的 eu 国"),
        ("한국어 ロシア", "한국 국어 ロシ シア"),
    ],
)
def test_tokens(text: str, found: str) -> None:
    expected = found.split()
    if "U.S." in text:
        expected[1] = "usa"
    assert tokens(text) == expected


def test_terms_are_stems_of_content_words_with_repeats() -> None:
    assert terms("What were the sanctions that sanctioned them?") == ["sanction", "sanction"]
    assert stem("imposing") == stem("imposed")
    assert terms("It is what it is") == []


def test_numbers_have_one_spelling() -> None:
    assert numbers("2,257km, 2257 or 1,234,567.5") == {"2257", "1234567.5"}
    assert numbers("3.5 and 3,5 per cent; seven, ninety") == {"3.5", "7", "90"}
    assert numbers("５０th anniversary") == {"50"}
    assert figures("the two sides, seven of 27, 58.2% in G20") == {"7", "27", "58.2", "20"}
    assert numbers("his third round, the 12th and the twelfth") == {"3", "12"}
    assert figures("first of all, for a second") == set(), "those are seldom figures"


def test_who_governs_goes_by_the_house_too() -> None:
    assert names("They asked the White House.") == {"washington"}
    assert named(names("They asked the White House."), "American tariffs rose.")
    assert named({"usa"}, "The White House raised tariffs.")
    assert not named(names("They asked the White House."), "A white house was sold.")
    assert names("He painted his house white.") == set()


def test_names_do_not_merely_open_a_sentence() -> None:
    assert names("Yesterday Biden met Xi. Nobody spoke.") == {"biden", "xi"}
    assert names("NATO agreed.") == {"nato"}
    # What stands before a name is looked up in the text whose dots were taken out.
    assert names("In the U.S. camp, “Europe” and the U.N. called Borrell. Later") == set(
        terms("US Europe UN Borrell")
    )
    assert names("He said: Trade matters") == set()


def test_initials_and_titles_end_no_sentence() -> None:
    assert names("The T. T. Tsui Gallery, led by Ada K. Oda") == set(terms("Tsui Gallery Ada Oda"))
    assert names("She met Dr. Lund and Prof. Berg.") == set(terms("Dr Lund Prof Berg"))
    assert names("They took plan Bb. Lanterns were lit.") == {"bb"}


def test_negation() -> None:
    assert negated("China won’t yield")
    assert negated("They refused it")
    assert negated("It works without a key", "Does it work?")
    assert not negated("It works without a key for a day", "How long does it work without a key?")
    assert not negated("They noted nothingness")
    assert not negated("Ada Lind wrote Harbour Paper no. 12")
    assert negated("Harbour Paper no. 12 has no author")
    until = "It wasn’t until Oda spoke in 1958 that the plan was approved"
    assert not negated(until)
    assert not denied(until)
    assert negated("Do not pay until the invoice comes")


def test_names_of_a_long_word_cost_linear_time() -> None:
    start = time.process_time()
    assert names("said " + "x" * 50_000) == set()
    assert time.process_time() - start < 1.0


def test_two_threads_may_stem_at_once() -> None:
    ordered = [f"{start}{middle}ational{end}" for start in "abcdefghij" for middle in "aeiou"
               for end in ("", "ly", "ity", "ness", "ised")]  # fmt: skip
    expected = {word: stem.__wrapped__(word) for word in ordered}

    def wrong(shift: int) -> list[str]:
        turned = (ordered[shift:] + ordered[:shift]) * 10
        return [word for word in turned if stem.__wrapped__(word) != expected[word]]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(wrong, (0, len(ordered) // 2))) == [[], []]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("He said: “It is over. We go", 9),
        ("“It is over,” he said. We go", -1),
        ('He said: "It is over. We go', 9),
        ('"It is over," he said. "We go', 23),
        ("No quotation", -1),
    ],
)
def test_a_quotation_that_is_not_closed(text: str, at: int) -> None:
    assert open_quotation(text) == at


def test_a_digit_of_a_name_in_the_question_is_no_figure() -> None:
    question = "How large are the blocks of bzip2 and of the G20 before 2020?"
    assert without_codes("Bzip2 takes 2 blocks.", question) == " takes 2 blocks."
    assert without_codes("bzip3 and the G20 in 2020", question) == "bzip3 and the  in 2020"
    assert without_codes("bzip2", "How large are they?") == "bzip2"
    assert without_codes("the under-17 team", "Who led the under-17 team?") == "the  team"
    assert without_codes("a 2FA code of 3 GB", "Are 2FA codes kept?") == "a  code of 3 GB"
    assert without_codes("10GB, 10KM, 5M", "Are 10GB, 10KM and 5M enough?") == "10GB, 10KM, 5M"
    assert without_codes("in mid-2022", "What was there in mid-2022?") == "in mid-2022"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("twenty-five states", {"25"}),
        ("Twenty five of 26", {"25", "26"}),
        ("two hundred thousand", {"200000"}),
        ("between one hundred and two hundred", {"100", "200"}),
        ("two thousand, a hundred", {"2000", "100"}),
        ("thousands of towns, 5 thousand of them", {"5"}),
        ("the thirty-first", {"30"}),
    ],
)
def test_a_number_in_words_is_one_number(text: str, found: set[str]) -> None:
    assert numbers(text) == found
