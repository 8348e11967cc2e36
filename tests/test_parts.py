"""Questions that ask several things, and those that only look so."""

from __future__ import annotations

import time

import pytest

from rag.answers.parts import MAX_PARTS, split_question


def texts(question: str) -> list[str]:
    return [part.text for part in split_question(question)]


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("When was the bridge closed, and who closed it?",
         ["When was the bridge closed?", "Who closed it?"]),
        ("Where did the firm open a plant and how many people work there?",
         ["Where did the firm open a plant?", "How many people work there?"]),
        ("Who founded the club? And when did it move?",
         ["Who founded the club?", "When did it move?"]),
        ("After the flood: what did the mayor promise, and has the promise been kept?",
         ["After the flood: what did the mayor promise?",
          "After the flood: has the promise been kept?"]),
        ("How do Ruiz and Oda differ on the fishing quota?",
         ["What does Ruiz say about the fishing quota?",
          "What does Oda say about the fishing quota?"]),
        ("What do the union and the owner each say about the closure?",
         ["What does the union say about the closure?",
          "What does the owner say about the closure?"]),
        ("How does Berg's view of the sale differ from that of the bank?",
         ["What is Berg's view of the sale?", "What is the view of the sale of the bank?"]),
        ("We lost a key. How fast must the keeper hear of it, and when do we tell the owner?",
         ["We lost a key. How fast must the keeper hear of it?",
          "We lost a key. When do we tell the owner?"]),
        ("What minimum stay after a closure do the club and the union each set for members?",
         ["What minimum stay after a closure does the club set for members?",
          "What minimum stay after a closure does the union set for members?"]),
        ("Compare the default waiting period for a friend with the one for a printed key.",
         ["What is the default waiting period for a friend?",
          "What is the default waiting period for a printed key?"]),
        ("How is the founder described by the son and by the press?",
         ["How is the founder described by the son?",
          "How is the founder described by the press?"]),
    ],
)  # fmt: skip
def test_what_asks_two_things_is_split(question: str, parts: list[str]) -> None:
    assert texts(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "Why did the CAI stall?",
        "How many Europeans and how many entities were put under sanctions?",
        "Who said that the bridge was safe and that it would stay open?",
        "What did those who fled and who came back later find?",
        "Which firm, which had opened in 1962, closed the plant?",
        "What happened between March and May?",
        "How do the fees at private schools compare to those at other schools?",
        "Who won, and when?",
        "We lost a key. The keeper was told. How fast must the owner hear of it?",
        "Compare the harbour with the market.",
        "China and the EU",
        "???",
        "and",
        "",
    ],
)
def test_what_asks_one_thing_is_left_alone(question: str) -> None:
    assert texts(question) == [question]


def test_a_part_that_points_back_is_marked() -> None:
    first, second = split_question("Which deal was signed in 2020, and what became of it later?")
    assert (first.leans, second.leans) == (False, True)
    first, second = split_question("Who sold the dairy, and has the EU lifted its sanctions?")
    assert not second.leans, "whose they are is said in the part itself"
    for rest in ("for what reason", "how many for an aunt", "in what city"):
        _, second = split_question(f"Which leave do we get for a funeral, and {rest}?")
        assert second.leans, "what is asked for is said before"


def test_no_question_is_split_endlessly_or_slowly() -> None:
    many = ", and ".join(["what is the price of the thing"] * 50)
    assert len(split_question(many + "?")) <= MAX_PARTS
    started = time.process_time()
    for hostile in (
        "how does " + "a's " * 3000,
        "what " * 5000,
        ", and who " * 3000,
        "A and " * 4000,
        "A. " * 4000 + "?",
        "compare " + "a for b " * 3000,
    ):
        split_question(hostile)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("How did China and the EU each handle the sanctions?", ["China", "the EU"]),
        ("How did Trump and Blinken differ on defence spending?", ["Trump", "Blinken"]),
        ("How does Borrell's attitude to trade differ from Blinken's?", ["Borrell", "Blinken"]),
        ("How is de Gaulle presented by Xi and by the WSWS?", ["Xi", "the WSWS"]),
        ("When was it signed in Rome, and why did it stall?", ["", ""]),
    ],
)
def test_whom_a_part_asks_about(question: str, sides: list[str]) -> None:
    assert [part.of for part in split_question(question)] == sides
