"""What a figure is of, and what a text says is not so: the opposite has most of the same words."""

from __future__ import annotations

import pytest
from test_verify import judge

from rag.verification.figures import misread
from rag.words import denied, nobody_did, numbers


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Trade reached 240 million dollars", "Trade reached 240 billion dollars."),
        ("The fee is $5 million", "The fee is €5 million."),
        ("The fee is 5 dollars", "The fee is 5 euros."),
        ("Members reply within 30 hours", "Members reply within 30 days, through the form."),
        ("Members reply within 5 days", "Members reply within 5 weeks, from Monday."),
        ("The film is 30 minutes long", "The film is 30 seconds long, the minister said."),
        ("Prices rose by 10 percent", "Prices rose by 10 percentage points."),
        ("Prices fell by 15 percent", "Prices rose by 15 percent."),
        ("At least 15 states signed", "At most 15 states signed."),
        ("More than 15 states signed", "Fewer than 15 states signed."),
        ("No fewer than 15 states signed", "No more than 15 states signed."),
    ],
)
def test_the_same_digits_of_another_quantity_are_a_fault(claim: str, text: str) -> None:
    assert misread(claim, text)
    assert not misread(text, text)
    assert judge(claim, text).reason


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Trade reached 240 billion dollars", "Trade reached $240bn."),
        ("Trade reached 240 billion dollars", "Trade in billions: 240."),
        ("More than 15 states signed", "At least 15 states signed."),
        ("It rose by 5 percent", "It fell by 5 percent in May and rose by 5 percent in June."),
        ("The film is 90 minutes long", "The film is 90 min long."),
        ("Staff have 3 days", "Staff have 3 workdays."),
        ("Prices rose by 15 percent", "Prices rose sharply, by 15%."),
    ],
)
def test_the_same_quantity_in_other_words_is_none(claim: str, text: str) -> None:
    assert not misread(claim, text)


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Parliament ratified the agreement", "Parliament did not formally ratify the agreement."),
        ("Parliament ratified the agreement", "Parliament refused to ratify the agreement."),
        ("The agreement is in force", "The agreement is no longer in force."),
        ("The company was fined by the regulator", "No company was fined by the regulator."),
        ("France and Germany signed the treaty", "Neither France nor Germany signed the treaty."),
        ("Members of the board approved it", "None of the members of the board approved it."),
        ("Staff may take it abroad without approval", "Staff may not take it abroad without"
         " approval."),
        ("The bank, which is not Irish, was opened in 1990", "The bank was not opened in 1990."),
        ("It was ratified in 2020", "It was not ratified in 2020, but it was ratified in 2022."),
        ("It was ratified in 2020", "It did not, in 2020, ratify it."),
    ],
)  # fmt: skip
def test_what_a_text_denies_no_claim_says(claim: str, text: str) -> None:
    assert "denies" in judge(claim, text).reason
    assert not judge(text.rstrip("."), text).reason


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("It was ratified in 2022", "It was not ratified in 2020, but it was ratified in 2022."),
        ("The bank, which is not Irish, was opened", "The bank is not Irish and was opened."),
        ("China condemned the sanctions and not the invasion",
         "China did not condemn the invasion, but China condemned the sanctions."),
        ("China rejected the sanctions", "China did not accept and rejected the sanctions."),
    ],
)  # fmt: skip
def test_what_a_text_denies_elsewhere_a_claim_may_say(claim: str, text: str) -> None:
    assert not judge(claim, text).reason


def test_a_sentence_that_opens_with_no_may_still_say_that_somebody_did() -> None:
    assert nobody_did("No agreement was reached.")
    assert not nobody_did("No country invested more than China.")
    assert not nobody_did("No. 12 was sold.")
    assert not nobody_did("No state but Malta signed it.")
    assert not denied("It was not only signed but ratified.")


def test_fractions_powers_and_narrow_spaces_in_numbers() -> None:
    assert numbers("2½ years") == {"2.5"}
    assert numbers("10⁶ cells, in 2020³") == {"10", "2020"}
    assert numbers("2\u202f257 km, 3\u00a0000 t") == {"2257", "3000"}
