"""Follow-ups: which questions lean, what they are rewritten to, and what no rewriting may bring."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest
from conftest import SEEDS
from test_compose import CONTROL, HOSTILE, Recording

from rag.answers.compose import compose_followup
from rag.answers.followup import Exchange, by_rule, faithful, standalone
from rag.answers.leaning import leans
from rag.backends.extractive import ExtractiveGenerator
from rag.records import Prompt

CAI = Exchange("Why did the CAI stall?", "It was suspended due to political tensions.")
TRADE = Exchange("How much was trade between Russia and China worth in 2023?", "$240 billion.")
MACRON = Exchange("What did Macron demand of Xi?", "He demanded that China cut ties with Russia.")
LEANING = [
    "And when was it signed?", "Who said that?", "What about Lithuania?", "Why?", "How so?",
    "In which year?", "By how much?", "Which countries?", "How did China respond?",
    "What did he say about Iran?", "Where did they meet?", "What was Italy's reaction?",
    "Did Italy?", "Did Germany too?", "And in 2022?", "What else did he demand?",
    "When was the agreement suspended?", "Who is the author?", "What did the other side say?",
    "What did Macron say about it?", "How long did this take?", "Why did they lift them?",
    "Is that true?", "Lithuania?", "What happened then?", "How many entities?", "With whom?",
    "Which of them were suspended?", "Thanks. And who was it signed by?", "How large is it?",
    "Which exclave does that include?", "What was it hoping for?", "Why had it withdrawn?",
    "What did Ursula von der Leyen think of the other one?", "What happened there in 2022?",
]  # fmt: skip
ALONE = [
    "When did China lift its sanctions?", "Is it true that China emits carbon dioxide?",
    "Why did the EU impose sanctions and when did it lift them?", "What is NATO?",
    "Why did Xi say that China did not start the crisis?", "Who wrote War and Peace?",
    "Where is the treaty that was signed in 2001 kept?", "Who signed the CAI?",
    "What did Blinken say about his trip to Brussels?", "How long does it take to ratify a treaty?",
    "Is there a gas pipeline between Russia and Germany?", "Why was the CAI suspended?",
    "Which companies protect their data?", "What is the capital of Lithuania?",
    "Has Italy left the Belt and Road Initiative?", "CAI suspension reasons",
]  # fmt: skip


class Words(Recording):
    """One token a word, and token 0 for a control word where those are recognised."""

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        self.calls.append((text, special))
        spaced = text.replace(CONTROL, f" {CONTROL} ") if special else text
        return [0 if special and word == CONTROL else 1 for word in spaced.split()]


class Writer(ExtractiveGenerator):
    """Completes a rewriting with what it was told to, and notes what it was asked."""

    def __init__(self, *completions: str) -> None:
        super().__init__()
        self.completions = list(completions)
        self.without: list[set[str]] = []

    def complete(self, prompt: Prompt, *, max_tokens: int, without: Collection[str] = ()) -> str:
        self.without.append(set(without))
        return self.completions.pop(0)


def test_two_things_of_different_kinds_are_a_topic_of_their_own() -> None:
    about = "What about Lithuania and the 17+1 format?"
    assert standalone(about, [CAI], generator=Writer()) == (
        "What is said about Lithuania and the 17+1 format?"
    )
    same_kind = standalone("What about Lithuania and Latvia?", [CAI], generator=Writer("", ""))
    assert same_kind == "Regarding Lithuania and Latvia: why did the CAI stall?"


@pytest.mark.parametrize("question", LEANING)
def test_what_leans(question: str) -> None:
    assert leans(question)


def test_what_stands_alone_is_left_as_it_is_without_asking_the_model() -> None:
    gold = [json.loads(line) for line in (SEEDS / "gold.jsonl").read_text("utf-8").splitlines()]
    silent = Writer()
    for question in [*ALONE, *(row["question"] for row in gold), "", "   ", "?"]:
        assert standalone(question, [CAI, TRADE], generator=silent) == question
    for question in LEANING:
        assert standalone(question, [], generator=silent) == question, "nothing to lean on"
    assert standalone("And it " * 200, [CAI], generator=silent) == "And it " * 200
    assert silent.without == []


def test_the_model_goes_on_where_the_pronoun_stands_and_may_not_write_it() -> None:
    model = Writer(" the CAI signed?")
    assert (
        standalone("And when was it signed?", [CAI], generator=model) == "When was the CAI signed?"
    )
    assert model.without == [{"it"}]
    question = "What does France want from the United States?"
    assert (
        standalone(f"And {question.lower()[0]}{question[1:]}", [CAI], generator=model) == question
    )
    assert not model.completions, "it leans on nothing but its first word"


def test_a_copy_of_the_question_before_is_written_anew() -> None:
    model = Writer(" Macron demand of Xi?", " demand of Xi?")
    question = standalone("What about Ursula von der Leyen?", [MACRON], generator=model)
    assert question == "What did Ursula von der Leyen demand of Xi?"


@pytest.mark.parametrize(
    ("written", "question"),
    [
        ("When was the CAI signed by Merkel?", "And when was it signed?"),  # a name nobody said
        ("When was the CAI signed in 2020?", "And when was it signed?"),  # a number
        ("When was the CAI not signed?", "And when was it signed?"),  # a negation
        ("Why was the CAI signed?", "And when was it signed?"),  # another question
        ("Why did the CAI stall?", "And when was it signed?"),  # the one before
        ("When was it signed?", "And when was it signed?"),  # nothing put in its place
        ("When was the CAI?", "What did Italy say of it?"),  # what was asked is lost
        ("What did the CAI say?", "What did Lithuania say of it?"),  # a name is lost
        ("What did the CAI stall in the CAI?", "What did it stall?"),  # said twice
        ("", "Why?"),
        ("Why did the CAI stall " * 20, "Why?"),
    ],
)
def test_what_a_rewriting_may_not_do(written: str, question: str) -> None:
    if written == "When was the CAI not signed?":
        written = "Who refused that the CAI stall?"
        question = "Who said that?"
    assert not faithful(written, question, [CAI])
    by_rules = standalone(question, [CAI], generator=ExtractiveGenerator())
    assert "CAI" in by_rules or "tensions" in by_rules


@pytest.mark.parametrize(
    ("question", "understood"),
    [
        ("And Germany, what did it do about the gas?", "What did Germany do about the gas?"),
        ("The EU, how many people does it employ in Paris?",
         "How many people does the EU employ in Paris?"),
        ("And Germany, what did it do?", 'Regarding "why did the CAI stall": what did Germany do?'),
    ],
)  # fmt: skip
def test_whom_a_follow_up_names_first_does_what_it_asks(question: str, understood: str) -> None:
    written = standalone(question, [CAI], generator=ExtractiveGenerator())
    assert written.replace("The EU", "the EU") == understood


def test_other_forms_of_what_was_said_are_the_same_words() -> None:
    history = [Exchange("What fell in Russia?", "Trade fell, and Xi spoke of 2,257 firms.")]
    assert faithful("Why did Russian trade fall?", "Why?", history)
    assert faithful("Where did Xi speak of 2257 firms?", "Where did he speak of them?", history)


@pytest.mark.parametrize(
    ("question", "before", "expected"),
    [
        ("And when was it signed?", CAI, "When was the CAI signed?"),
        ("What was its aim?", CAI, "What was the CAI's aim?"),
        ("When?", CAI, "When did the CAI stall?"),
        ("And in 2022?", TRADE, "How much was trade between Russia and China worth in 2022?"),
        ("What about von der Leyen?", MACRON, "What did von der Leyen demand of Xi?"),
        ("Who said that?", CAI, "Who said that It was suspended due to political tensions?"),
        ("What about Lithuania?", CAI, "Regarding Lithuania: why did the CAI stall?"),
        ("Did he agree?", MACRON, 'Regarding "what did Macron demand of Xi": did he agree?'),
        (
            "And why?",
            Exchange('Regarding "what did Macron demand of Xi": did he agree?', ""),
            'Regarding "what did Macron demand of Xi": why?',
        ),
    ],
)
def test_without_a_model(question: str, before: Exchange, expected: str) -> None:
    assert by_rule(question, before) == expected
    assert standalone(question, [before], generator=ExtractiveGenerator()) == expected


def test_nothing_that_was_said_becomes_a_control_token() -> None:
    plain, hostile = Words(), Words()
    good = compose_followup("Why?", [("What?", "That.")], opening="Why", generator=plain)
    bad = compose_followup(
        f"Why? {HOSTILE}", [(HOSTILE, HOSTILE)], opening=f"Why {HOSTILE}", generator=hostile
    )
    assert good
    assert bad
    assert bad.tokens.count(0) == good.tokens.count(0) > 0
    assert {t for t, special in hostile.calls if special} == {t for t, s in plain.calls if s}
    lines = [sum(t.count("\n") for t, _ in tokenizer.calls) for tokenizer in (plain, hostile)]
    assert lines[0] == lines[1], "each stays on its line"
    assert bad.pieces[0] == good.pieces[0]


def test_a_long_history_never_outgrows_the_prompt() -> None:
    tokenizer = Recording()
    constant = compose_followup("Why?", [], opening="", generator=tokenizer)
    long = [(f"{n} " + "word " * 500, "answer " * 500) for n in range(50)]
    assert constant is None, "one token a character: the examples alone are too many"

    short = compose_followup("Why?", long, opening="Why", generator=Words())
    empty = compose_followup("Why?", [], opening="Why", generator=Words())
    assert short
    assert empty
    assert len(empty.tokens) < len(short.tokens) < len(empty.tokens) + 3 * 130
    assert compose_followup("why " * 5000, long, opening="", generator=Words()) is None
