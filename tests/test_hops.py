"""What has to be found out first: where a description begins, what it is found to mean."""

from __future__ import annotations

import time

import pytest

from rag.verification.hops import description_at, leaves_a_question, meant, repeated

DESCRIBED = [
    ("When did the country where Ida Moen was born join the Union?", "the country where Ida"),
    ("Who is married to the director of The Long Ferry?", "the director of The Long Ferry"),
    ("What currency is used in the country Signe Hall is from?", "the country Signe Hall"),
    ("How many people live in Ida Moen's place of birth?", "Ida Moen's place of birth"),
    ("When was the company that bought the dairy in Lund founded?", "the company that bought"),
    ("Who led the country where the composer of Blue Door was born?", "the composer of Blue"),
    ("Who wrote the book named after Ida Moen?", "the book named after"),
    ("In which county is the town in which Signe Hall died?", "the town in which"),
]
PLAIN = [
    "Why did the CAI stall?",
    "What did Xi Jinping say about the war in Ukraine?",
    "How much did trade between Russia and China reach in 2023?",
    "On which matters did Blinken press Turkey's foreign minister?",
    "What did the president of the European Commission say?",
    "",
]


@pytest.mark.parametrize(("question", "begins"), DESCRIBED)
def test_the_innermost_description_is_found(question: str, begins: str) -> None:
    at = description_at(question)
    assert at is not None
    assert question[at:].startswith(begins)


@pytest.mark.parametrize("question", PLAIN)
def test_a_question_that_names_what_it_is_about_describes_nothing(question: str) -> None:
    assert description_at(question) is None


def test_something_must_be_asked_beside_the_description() -> None:
    description = "the director of The Long Ferry"
    assert leaves_a_question("Who is married to the brother of the director of The Long Ferry?",
                             description)  # fmt: skip
    assert not leaves_a_question("Who is the director of The Long Ferry?", description)
    assert not leaves_a_question("What is the name of the director of The Long Ferry?", description)
    assert not leaves_a_question("When was the bank that failed first founded in Oslo?",
                                 "the bank that failed first"), "it names nobody"  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "one"),
    [
        ("The country Ida Moen is from is Norway", "Norway"),
        ("The country Ida Moen is from is Norway, which joined later", "Norway"),
        ("The country Ida Moen is from is “Norway” and was never asked", "Norway"),
        ("The country Ida Moen is from is Ida Moen", ""),
        ("The country Ida Moen is from is small and cold", ""),
        ("The country Ida Moen is from is One Two Three Four Five Six Seven Eight Nine", ""),
        ("The country Ida Moen is from is", ""),
        ("The country Ida Moen is from is a member of the Nordic Council", ""),
    ],
)
def test_what_a_description_is_found_to_mean(claim: str, one: str) -> None:
    assert meant(claim, "the country Ida Moen is from") == one


def test_a_repeated_description_gives_the_names_that_need_ground() -> None:
    question = "How many shops are in the town where Ida Moen was born?"
    assert repeated(question, "There are 12 shops in the town where Ida Moen was born") == {
        "ida", "moen",
    }  # fmt: skip
    assert repeated(question, "There are 12 shops in Lund") == set()
    assert (
        repeated("Why did the CAI stall?", "The CAI stalled because it was not ratified") == set()
    )


@pytest.mark.parametrize("piece", ["the A ", "A's ", "the of ", "“A", "the a-", "named A "])
def test_hostile_questions_take_no_time(piece: str) -> None:
    question = piece * (9_000 // len(piece)) + "?"
    started = time.process_time()
    description_at(question)
    repeated(question, question[:2_000])
    assert time.process_time() - started < 2
