"""Claims as they are read."""

from __future__ import annotations

import pytest

from rag.answers.citing import (
    claim_text,
    with_true_quotations,
    without_false_yes,
    without_given_time,
)

QUESTION = "Which anniversary with France was it at the summit of May 2024?"


@pytest.mark.parametrize(
    ("claim", "unknown", "kept"),
    [
        ("The 60th in May 2024", {"2024"}, "The 60th"),
        ("The 60th at the summit of May 2024", {"2024"}, "The 60th at the summit"),
        ("In all, it was the 60th of 70", {"70"}, "In all, it was the 60th of 70"),
        ("The 60th in May 2024", set(), "The 60th in May 2024"),
        ("of 2024", {"2024"}, "of 2024"),
        ("It met in May 2024 because of it", {"2024"}, "It met because of it"),
        ("It met in May 2024 in response to it", {"2024"}, "It met in response to it"),
        ("It met in 2024 in 3 towns", {"2024"}, "It met in 2024 in 3 towns"),
    ],
)
def test_a_time_that_only_the_question_gives_goes(claim: str, unknown: set[str], kept: str) -> None:
    assert without_given_time(claim, question=QUESTION, unknown=unknown) == kept


@pytest.mark.parametrize(
    ("claim", "question", "kept"),
    [
        ("Yes, the council did not lift it", "Has it been lifted?", "The council did not lift it"),
        ("Yes, the council lifted it", "Has it been lifted?", "Yes, the council lifted it"),
        ("Yes, it was not lifted", "Was it not lifted?", "Yes, it was not lifted"),
        ("Yesterday it was not lifted", "When was it lifted?", "Yesterday it was not lifted"),
    ],
)
def test_a_yes_before_a_no_goes(claim: str, question: str, kept: str) -> None:
    assert without_false_yes(claim, question) == kept


def test_what_stood_over_a_sentence_is_no_part_of_a_claim() -> None:
    over = {"Ada LIND", "Hooks › Small hooks", ""}
    assert claim_text("Ada LIND: The quay was closed [2].", over=over) == "The quay was closed"
    assert claim_text("Hooks › Small hooks: Two euros.", over=over) == "Two euros"
    assert claim_text("Ada LIND said: The quay was closed.", over=over).startswith("Ada LIND said")
    assert claim_text("Oda: The quay was closed.", over=over) == "Oda: The quay was closed"


@pytest.mark.parametrize(
    ("claim", "reads"),
    [
        ('She called it "a long pier"', 'She called it "a long pier"'),
        ("She called it “A long\npier, built of stone.”", None),
        ('She called it "a longer pier"', "She called it a longer pier"),
        ('She called it "a pier" and "of stone"', 'She called it a pier and "of stone"'),
        ('It is "a long … of stone"', 'It is "a long … of stone"'),
        ('It is "a long ... of wood"', "It is a long ... of wood"),
        ('It is "[a] long pier"', 'It is "[a] long pier"'),
        # A quotation over several sentences, of which each is a claim.
        ("She said: “A long pier", "She said: “A long pier”"),
        ("Built of stone. ”", "“Built of stone.”"),
        ('built of stone"', '"built of stone"'),
        ('She said: "long pier', 'She said: "long pier"'),
        ("Built of wood”", "Built of wood"),
        # In one text and in its order.
        ("It is “of stone. Nobody fishes there”", "It is of stone. Nobody fishes there"),
        ("It is “of stone … a long pier”", "It is of stone … a long pier"),
        ("It is “a long … long pier”", "It is a long … long pier"),
        ("It is «a long pier», Oda’s", None),
        ("It is «a wooden pier», Oda’s", "It is a wooden pier, Oda’s"),
        ("Es ist »a long pier«, »of wood«", "Es ist »a long pier«, of wood"),
        ("It is ‘a long pier’, Oda’s", None),
        ("The boys’ pier is ‘a wooden pier’, Oda’s", "The boys’ pier is a wooden pier, Oda’s"),
        ("The ‘90s are the boys’ years", None),
        ("She said “It’s ‘a long pier’, built”", "She said It’s ‘a long pier’, built"),
        ("She said “It’s Oda’s ‘new’ pier”", None),
        ("She said ‘a “long” pier’", None),
        ("She said ‘a “wooden” pier’", "She said a wooden pier"),
        ("It is in “the cafe\u0301”", None),
        # Marks that are no pair.
        ('It is "a long pier” "of stone"', 'It is "a long pier" "of stone"'),
        ("It is «a long pier” “of wood”", "It is «a long pier» of wood"),
        ('The pier "17+1" opened', 'The pier "17+1" opened'),
        ('A pipe of 12" leads there', None),
        ('It is ""', "It is"),
        ("Er ist „of stone“, heißt es", None),
        ("Er ist „of wood“, heißt es", "Er ist of wood, heißt es"),
        ("Er ist „of stone", "Er ist „of stone“"),
    ],
)
def test_quotation_marks_stand_only_around_words_of_the_text(claim: str, reads: str | None) -> None:
    cited = [
        "“A long pier, built of stone.”",
        "Nobody fishes there.",
        "Its 17+1 lamps. The café. It’s Oda’s “new” pier.",
    ]
    reads = claim if reads is None else reads
    assert with_true_quotations(claim, cited) == reads
    assert with_true_quotations(reads, cited) == reads, "and once is enough"
