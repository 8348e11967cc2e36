"""What supports a claim, and what does not: properties that hold whatever the weights are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag.backends.embed import HashEmbedder
from rag.records import DocumentInfo, Evidence, Sentence
from rag.verification.asked import of_another_time, of_another_year, out_of_kind
from rag.verification.spans import Span, spans_of
from rag.verification.subjects import spoken_of_throughout, stranger
from rag.verification.verify import MAX_CITATIONS, Support, support

DOCUMENT = DocumentInfo(1, "a.txt", "Notes", "", "")
TRADE = "Trade between Russia and China grew by a quarter last year."
WORTH = "It reached 240 billion dollars in 2023."
VISIT = "The president went to Paris in spring and met farmers."
SUPPORTS = "China supports the ceasefire in Ukraine."


def judge(claim: str, *texts: str, question: str = "What happened?") -> Support:
    embedder = HashEmbedder()
    spans = [Span(DOCUMENT, 100 * n, 100 * n + len(text), text) for n, text in enumerate(texts)]
    return support(
        claim,
        spans,
        question=question,
        claim_vector=embedder.embed([claim])[0],
        span_vectors=embedder.embed(list(texts)),
        rarity={},
        threshold=0.5,
    )


def cited(found: Support) -> list[str]:
    return [span.clean for span in found.spans]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Trade reached 240 billion dollars", "In 2023 trade reached 240 billion dollars."),
        ("In 2023, dollars worth 240 billion were reached in trade",
         "In 2023 trade reached 240 billion dollars in worth."),
        ("The firm sold 2,257 new cars to dealers in May", "The firm sold 2257 new cars to dealers"
         " in May."),
        ("The council of the union has 7 members and a chair", "The council of the union has seven"
         " members and a chair."),
        ("China does not recognise the court", "China did not recognise the court in the case."),
    ],
)  # fmt: skip
def test_a_paraphrase_that_keeps_the_words_is_supported(claim: str, text: str) -> None:
    found = judge(claim, "Quite another matter stands here.", text)
    assert (cited(found), found.reason) == ([text], "")
    assert 0.5 <= found.score <= 1


def test_an_invented_number_is_never_supported() -> None:
    text = "In 2023 trade reached 240 billion dollars, above the target of 200 billion."
    for number in ("250", "24", "2040", "240.5"):
        found = judge(f"In 2023 trade reached {number} billion dollars", text)
        assert found.score == 0
        assert number in found.reason
    assert not judge("In 2023 trade reached 240 billion dollars", text).reason


def test_the_digit_of_a_name_that_the_question_gives_is_no_invented_number() -> None:
    text = "The default block size for compression is 900,000 bytes."
    question = "What is the default block size of bzip2 compression?"
    right = "The default block size of bzip2 compression is 900,000 bytes"
    assert not judge(right, text, question=question).reason
    assert "number 2 " in judge(right, text, question="What is the default block size?").reason
    assert "number 2 " in judge(f"{right} and 2", text, question=question).reason


def test_a_name_of_which_a_word_stands_nowhere_is_not_said() -> None:
    text = "Mozilla took years to relicense its Lantern browser."
    question = "To which licence did Mozilla move its Lantern browser in those years?"
    claim = "Mozilla took years to move its Lantern browser to the Mozilla Public License"
    assert judge(claim, text, question=question).reason == "nothing that was shown names public"
    other = "The Public Licence is known to many."
    shown = judge(claim, text, other, question=question).reason
    assert not shown.startswith("nothing that was shown")
    asked = question.replace("licence", "Public Licence")
    assert not judge(claim, text, question=asked).reason.startswith("nothing that was shown")


def test_what_a_claim_adds_to_its_question_may_be_little_of_it() -> None:
    text = "On a desktop, the corresponding photo is moved to Uncategorized, not Trash, at once."
    question = "If a file is removed, where does the corresponding photo of it end up?"
    right = "The corresponding photo ends up in Uncategorized if its file is removed"
    found = judge(right, text, question=question)
    assert not found.reason
    assert 0.5 <= found.score < 0.7
    assert judge(right, text).reason, "what nobody gave"
    says = f"{right}, they say"
    assert judge(says, text, question=f"They say what? {question}").reason, "nor who says so"
    assert judge(right.replace("Uncategorized", "Archive"), text, question=question).reason
    asked = "If a file is removed, is the corresponding photo uncategorized?"
    assert judge(f"Yes, {right[0].lower()}{right[1:]}", text, question=asked).reason


def test_a_number_brings_the_sentence_that_gives_it() -> None:
    found = judge("Trade between Russia and China grew and reached 240 billion dollars in 2023",
                  "Nothing of interest.", WORTH, TRADE,
                  question="Did trade between Russia and China grow in 2023?")  # fmt: skip
    assert sorted(cited(found)) == sorted([TRADE, WORTH])
    assert not found.reason


def test_a_name_that_nothing_gives_counts_against_a_claim() -> None:
    claim = "In spring President Macron went to Paris and met farmers"
    foreign = judge(claim, VISIT)
    asked = judge(claim, VISIT, question="What did President Macron do?")
    given = judge(claim, VISIT.replace("The president", "President Macron"))
    assert foreign.score < asked.score
    assert foreign.score < given.score
    nobody = judge("In spring Olaf Scholz of Germany flew to Rome", VISIT)
    assert "scholz" in nobody.reason


def test_a_name_that_only_the_question_gives_is_not_what_the_text_is_about() -> None:
    text = "The port defaults to 1500 in both client and server."
    claim, question = "The default port of a Postgres server is 1500", "Default port of a Postgres?"
    embedder = HashEmbedder()

    def judged(question: str, *spans: Span) -> Support:
        return support(
            claim, list(spans), question=question, claim_vector=embedder.embed([claim])[0],
            span_vectors=embedder.embed([s.clean for s in spans]), rarity={}, threshold=0.1,
        )  # fmt: skip

    main = Span(DOCUMENT, 0, len(text), text, f"It measures a network. {text}")
    reason = "nothing around the cited text speaks of postgr"
    assert judged(question, main).reason == reason
    other = replace(DOCUMENT, id=2, path="b.txt")
    linked = "A Postgres server links the service of a server."
    assert judged(question, main, Span(other, 0, 48, linked)).reason == reason
    for known in (
        replace(main, context="Postgres measures a network."),
        replace(main, section="Postgres"),
        replace(main, document=replace(DOCUMENT, title="Manual of Postgres")),
        replace(main, document=replace(DOCUMENT, path="postgres/config.txt")),
        replace(main, throughout=spoken_of_throughout("Postgres listens. " * 3)),
    ):
        assert not judged(question, known).reason, known
    assert not judged("Default port of the PG (Postgres)?", main).reason, "it is spelled out"
    claim = "The default port in Lund, Postgres is 1500"
    assert not judged(question, replace(main, context="Lund measures a network.")).reason
    claim = "In a URL the default port is 1500"
    assert not judged("What is the default port in a URL?", main).reason
    claim = "The President says the default port is 1500"
    assert not judged("What is the default port, according to the President?", main).reason


def test_what_a_document_is_about_is_named_all_through_it() -> None:
    often = "We pay at Oda & Lund. Oda charges nothing. Berg left, and Oda's office moved. "
    assert spoken_of_throughout(often * 3) >= {"oda", "lund", "berg"}
    assert spoken_of_throughout(often) == {"oda"}
    assert not spoken_of_throughout(often + "nothing else is said of anybody. " * 200)


@pytest.mark.parametrize(
    ("claim", "withheld"),
    [
        ("The council signed the treaty in the city of Brussels", "brussel"),
        ("The council signed the treaty in 2001, in Geneva", "geneva"),
        ("The council signed the treaty under Brussels", ""),
        ("The council signed the treaty of Eastern Lund", ""),
        ("The council signed the treaty of IPv6 in 2001", ""),
    ],
)
def test_a_name_that_nobody_gave_is_not_said(claim: str, withheld: str) -> None:
    text = "In 2001 the council of the EU in the east of Lund signed the treaty of IPv6."
    reason = judge(claim, text, question="Where did the council sign the treaty?").reason
    nowhere = f"nothing around the cited text speaks of {withheld}"
    assert reason == nowhere if withheld else not reason.startswith("nothing around")


@pytest.mark.parametrize(
    ("claim", "withheld"),
    [
        ("The border with China is 2,257 km long", "china"),
        ("Sanctions against Lund were taken in spring", "lund"),
        ("The border with Brussels is 2,257 km long", ""),
        ("The border with Iran is 2,257 km long", ""),
        ("Measures against Lund were taken in spring", ""),
        ("The treaty of East Lund was signed", ""),
        ("The council of China measured it", ""),
    ],
)
def test_a_name_in_the_place_of_another_is_not_said(claim: str, withheld: str) -> None:
    text = (
        "China measured its 2,257 km border with the EU, Turkey and Iran, while sanctions against"
        " Oda were taken in spring and measures against Lund. The treaty of the (East) Lund dairies"
        " and the treaty of Oda were signed."
    )
    reason = judge(claim, text, question="What of China, Lund, Iran and Brussels?").reason
    fault = f"the cited text does not say this of {withheld}"
    assert reason == fault if withheld else not reason.startswith("the cited text does not say")


def test_another_form_of_a_verb_adds_nothing_to_the_question() -> None:
    text = "Turkey paid for the Russian air defence system, and Oda was told of it."
    question = "What did Turkey pay for the Russian air defence system?"
    claim = "Turkey paid for the Russian air defence system"
    assert "the question does not" in judge(claim, text, question=question).reason
    assert not judge(f"{claim}, Oda was told", text, question=question).reason


def test_a_bare_number_is_of_what_the_question_counts() -> None:
    text = "China sanctions 10 Europeans including parliamentarians."
    asked = "How many {} were put under sanctions?"
    assert not judge("10", text, question=asked.format("European officials")).reason
    assert not judge("10", text, question=asked.format("people")).reason
    reason = judge("10", text, question=asked.format("Chinese officials")).reason
    assert reason == "the cited text counts 10 Europeans"


def test_a_caption_says_only_who_is_shown() -> None:
    text = "Minister Oda (L) and the envoy Anna Berg (R) during a media conference in Lund."
    question = "Which ministers have spoken out against the plan, and where?"
    against = "Minister Oda (L) and the envoy Anna Berg (R) have spoken out against the plan"
    assert "caption" in judge(against, text, question=question).reason
    shown = "Minister Oda and the envoy Anna Berg, during a media conference in Lund"
    assert not judge(shown, text, question=question).reason


def test_who_share_a_border_stand_in_the_text_that_measures_it() -> None:
    claim = "The Russia-China border measures 2,257 kilometres"
    question = "How long is the Russia-China border?"
    text = "Russia, which shares a border of 2,257 kilometres with the EU, attacked."
    around = "China did not. "
    about = replace(DOCUMENT, title="Russia and China")

    def reason(text: str, claim: str = claim) -> str:
        return of(
            about, claim, text, question=question, context=around + text, threshold=0.1
        )  # fmt: skip

    assert reason(text) == "the cited text does not say this of china"
    assert not reason(text.replace("the EU", "Beijing"))
    assert not reason(text, claim.replace("China", "EU"))
    assert not reason("Luc of Russia measured 2,257 kilometres.", "Jean-Luc of Russia measured it")


def test_a_claim_that_only_points_cannot_be_checked() -> None:
    text, question = "China lifted sanctions, and the EU did not.", "Did the EU do the same?"
    assert "the question does not" in judge("The EU did the same", text, question=question).reason
    more = judge("The EU did the same, but China lifted sanctions", text, question=question)
    assert "the question does not" in more.reason
    told = judge("The EU did the same and lifted sanctions", text, question=question)
    assert "the question does not" not in told.reason


def test_a_denial_needs_a_text_that_denies() -> None:
    claim = "China does not support the ceasefire in Ukraine"
    grounded = judge(claim, "China does not support the ceasefire in Ukraine.")
    assert not grounded.reason
    assert judge(claim, SUPPORTS).score < grounded.score


def test_a_denial_of_what_the_text_says_is_not_supported() -> None:
    assert judge("China does not support the ceasefire in Ukraine", SUPPORTS).reason


def test_a_claim_of_two_parts_gets_both_their_sources() -> None:
    found = judge("Macron rejected the tariff, and Beijing launched a brandy inquiry",
                  "Macron rejected the tariff.", "The weather was fine.",
                  "Beijing launched a brandy inquiry.")  # fmt: skip
    both = {"Macron rejected the tariff.", "Beijing launched a brandy inquiry."}
    assert set(cited(found)) == both
    one = judge("Macron rejected the tariff", "Macron rejected the tariff.",
                "Macron rejected a tariff on brandy.")  # fmt: skip
    assert len(one.spans) == 1, "what adds nothing is not cited"


@pytest.mark.parametrize("score", ["final score", "score of Lund"])
def test_a_text_that_shares_a_word_is_no_source_of_a_claim_that_holds_without(score: str) -> None:
    main = "The score of the cup was twenty to eighteen."
    second = "The cup of Lund had its final vote."
    found = judge(f"The {score} of the cup was twenty to eighteen", main, second)
    assert cited(found) == [main, *[second] * ("Lund" in score)]
    assert not found.reason


def test_there_are_never_more_citations_than_can_be_read() -> None:
    parts = ["Alpha sings loudly", "Beta dances nightly", "Gamma paints walls",
             "Delta cooks lunch", "Epsilon writes novels", "Zeta mends shoes"]  # fmt: skip
    found = judge(", ".join(parts), *(f"{part}." for part in parts))
    assert 1 < len(found.spans) <= MAX_CITATIONS
    assert len(set(cited(found))) == len(found.spans)


def test_what_cannot_be_checked_is_not_supported() -> None:
    for found in (judge("Anything at all"), judge("It was so", TRADE)):
        assert not found.spans
        assert found.score == 0
        assert found.reason
    far = judge("Penguins govern Neptune wisely", TRADE, WORTH, VISIT)
    assert far.reason
    assert far.score < 0.5


def test_a_lead_can_be_cited_and_nothing_is_offered_twice() -> None:
    lead = Sentence(0, len(TRADE), TRADE)
    items = (
        Evidence(DOCUMENT, 100, 139, WORTH, lead, 1, 1.0, 0.5),
        Evidence(DOCUMENT, 0, len(TRADE), TRADE, None, 1, 0.9, 0.5),
        Evidence(DocumentInfo(2, "b.txt", "", "", ""), 100, 139, WORTH, None, 2, 0.8, 0.5),
    )
    spans = spans_of(items)
    found = [(span.document.path, span.start, span.clean) for span in spans]
    assert len(found) == 3
    assert set(found) == {("a.txt", 100, WORTH), ("a.txt", 0, TRADE), ("b.txt", 100, WORTH)}
    assert [span.clean for span in spans_of(items[:1])] == [WORTH, TRADE]


@pytest.mark.parametrize(
    ("question", "claim", "fits"),
    [
        ("How many troops were sent?", "Macron proposed to send troops", False),
        ("How many troops were sent?", "Macron sent 300 troops", True),
        ("Did Macron say how many troops they must send?", "He left that to them", True),
        ("Can you tell me how many troops were sent?", "Macron proposed to send troops", False),
        ("Who decides on my request?", "The second-line supervisor decides", True),
        ("Who decides on my request?", "You must request it", False),
        ("Who decides on Oda's request?", "The second-line supervisor decides", False),
        ("How many troops were sent?", "Macron sent two brigades", True),
        ("How much of the carbon does China emit?", "China emits a quarter of it", True),
        ("When did Brussels open it?", "Brussels opened it in this context", False),
        ("When did Brussels open it?", "Brussels opened it in March", True),
        ("How many officials did it name?", "It named officials on Monday (22 March)", False),
        ("How many officials did it name?", "It named officials in 2021 and left", False),
        ("How many officials did it name?", "On March 22 it named 10 officials", True),
        ("How many officials may it name?", "20 may be named in 2000 cases", True),
        ("How many years did he rule?", "He ruled from 1958 until 1962", True),
        ("How many times did they meet?", "They met twice", True),
        ("How high would the tariffs be?", "They would be extensive tariffs on Oda's goods", False),
        ("How high would the tariffs be?", "They would be twice as high", True),
        ("How long will the ban last?", "The ban will last until Oda lifts it", True),
        ("How long will the ban last?", "The ban is meant to protect Oda's farms", False),
        ("How long did Oda and Xi talk?", "Oda and Xi held talks on 26 April", False),
        ("How long did Oda and Xi talk?", "They talked from April to 3 May", True),
        ("How long did Oda and Xi talk?", "They talked 26 hours on 3 May", True),
        ("How often is the backup checked?", "The backup is checked daily", True),
        ("How big a threat is Oda?", "Oda is a threat to all fishers", True),
        ("How far does the ban go?", "It goes as deep as the fisheries", True),
        ("What tariff rate did Oda set?", "Oda set tariffs on steel", False),
        ("What tariff rate did Oda set?", "Oda set tariffs of 9%", True),
        ("What exchange rate regime did Oda choose?", "Oda chose to let it float", True),
        ("When may Oda ask an applicant?", "Oda asks no applicant unless they are chosen", True),
        ("When may Oda ask an applicant?", "Oda asks an applicant about health", False),
        ("When do I have to pay?", "You have to pay only where it is late", True),
        ("When was it signed?", "It was signed if need be", False),
        ("When do they move to it?", "They move to 64-day passes with a 10-day rest", False),
        ("When do they move to it?", "They move to 64-day passes in May", True),
        ("I am ill - by what time must I ring?", "You ring the office", False),
        ("I am ill - by what time must I ring?", "You ring before 10:00", True),
        ("In which city did Russia and China sign it?", "Russia and China signed it", False),
        ("In which city did Russia and China sign it?", "They signed it in Moscow", True),
        ("Who is Acme's Data Protection Officer?", "It is the DPO", False),
        ("Who is Acme's Data Protection Officer?", "It is IBM", True),
        ("What is the name of the teacher?", "The teacher is known as a guru", True),
        ("What is the name of the teacher?", "The teacher is a guru", True),
        ("What is the name of the teacher?", "The teacher is called the teacher", False),
        ("What is the name of the teacher?", "The teacher left early", False),
        ("What phone number do I ring to reach Oda?", "Oda gets a code by phone", False),
        ("What phone number do I ring to reach Oda?", "Ring 0800 123", True),
        ("Which email address should we write to?", "Write to the support team", False),
        ("Which email address should we write to?", "Write to help@oda.example", True),
        ("Which email address must I sign in with?", "The one of your office", True),
        ("What will Blinken count on when competing?", "Innovation", True),
        ("Why was it closed?", "Because of cracks", True),
        ("How did Norway's envoy respond to Oda's plan?", "Oda pressed Norway's envoy", False),
        ("How did Norway's envoy respond to Oda's plan?", "Norway refused to talk", True),
        ("How did Norway's envoy respond to Oda's plan?", "The envoy walked out", True),
        ("What was Oda's reply when Xi raised the ban?", "Xi raised the ban at Lund", False),
        ("What was Oda's reply when Xi raised the ban?", "Oda kept the ban", True),
        ("What was Oda's reply when asked whether Xi rules?", "Xi rules", True),
        ("What was the EU's response to China?", "China sanctioned ten envoys", False),
        ("How did the Dutch envoy to Rome answer Italy's protest?", "Italy was angry", False),
        ("How did the Dutch envoy to Rome answer Italy's protest?", "The Dutch left", True),
        ("What did Beijing reply to the EU?", "China denied the charge", True),
        ("What did Oda say about Norway?", "Norway fishes too much", True),
        ("How did Oda react to Dutch sanctions?", "Dutch sanctions led him to resign", True),
        ("How has Norway responded to Oda?", "Oda was expelled from the country", True),
        ("How has Norway responded to Oda?", "Oda's plan was refused", True),
        ("What did Oda reply when asked whether Norway is a rival?", "Norway is a rival", True),
        ("How did they respond to Norway's plan?", "Norway withdrew", True),
    ],
)
def test_a_claim_is_of_the_kind_that_was_asked_for(question: str, claim: str, fits: bool) -> None:
    assert (not out_of_kind(question, claim)) == fits


TRUMP = "On the matter of spending, Trump told the members to reach two percent of their product."


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Blinken told the members to reach two percent of their product", TRUMP),
        ("Xi signed the letters that the two sides exchanged", "On 6 May China and the EU, the two"
         " sides, exchanged letters that they signed."),
        ("Oda says the closure is a betrayal", "“The closure is a betrayal,” said Anna Berg."),
        ("Blinken lifted the old sanctions", "Trump lifted the old sanctions on Blinken in May."),
        ("Yes, Blinken lifted the old sanctions", "Today, Trump lifted the old sanctions in May."),
        ("In 2021 Blinken lifted the sanctions", "In May 2021, Trump lifted the sanctions."),
        ("Oda said the closure was a betrayal", "Xi said after meeting Oda that the closure was a"
         " betrayal."),
    ],
)  # fmt: skip
def test_what_is_said_of_one_is_no_support_for_another(claim: str, text: str) -> None:
    found = judge(claim, text, question="What did Trump, Blinken, Xi and Oda say or do?")
    assert found.score < 0.5
    assert "does not say this of" in found.reason


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Trump told the members to reach two percent", TRUMP),
        ("China wants the new markets of the south", "Beijing wants the new markets of the south."),
        ("Oda told the members to reach two percent", "He told the members to reach two percent."),
        ("The President promised to build the bridge again", "I promised to build the bridge"
         " again, here in Lund."),
        ("Instead of threats, Oda counts on the new markets", "Oda counts on the new markets."),
        ("Lithuanian ministers left the old format", "Lithuania's ministers left the old format."),
        ("China met Oda in May", "Trump, China and Oda met in May."),
        ("Trump was praised by China", "China praised Trump."),
        ("Oda thinks China praised the deal", "China praised the deal, Oda thinks."),
        ("Trump moved the ministers to Lund", "Dissatisfied with Oda's work, Trump moved the"
         " ministers to Lund."),
        ("China would meet the ministers", "Trump said that would mean to meet the ministers."),
        ("China traded more with Trump", "Although its trade, as Oda feared, shrank, China traded"
         " more with Trump."),
    ],
)  # fmt: skip
def test_the_same_one_by_another_name_is_no_stranger(claim: str, text: str) -> None:
    question = "What did Trump, Oda, the President, China and the Lithuanian ministers do?"
    assert "does not say this of" not in judge(claim, text, question=question).reason


def test_who_answers_a_question_may_be_named_by_a_further_text() -> None:
    season = "The 2011 season of the Lund Rangers was the twelfth season in the dairy league."
    change = "In May the head coach Oda was fired and replaced by his assistant Anna Berg."
    claim = "Anna Berg replaced Oda as coach in the 2011 season of the Lund Rangers"
    question = "Who replaced Oda as coach in the 2011 season of the Lund Rangers?"
    found = judge(claim, season, change, question=question)
    assert (cited(found), found.reason) == ([season, change], "")
    other = change.replace("replaced", "cheered")
    assert "does not say this of" in judge(claim, season, other, question=question).reason


def test_what_a_claim_writes_small_names_nobody() -> None:
    text = "Production of data for more than 5 accounts: $20 per account"
    claim = "Oda charges $20 per account for the production of data for more than 5 accounts"
    span = Span(DOCUMENT, 0, len(text), text, f"Costs; Production of data: free; {text}")
    found = support(
        claim,
        [span],
        question="What does Oda charge per account?",
        claim_vector=HashEmbedder().embed([claim])[0],
        span_vectors=HashEmbedder().embed([text]),
        rarity={},
        threshold=0.5,
    )
    assert "does not say this of" not in found.reason


def test_whoever_is_quoted_says_all_of_the_quotation() -> None:
    before = "On the harbour, Li defended the old company, saying: “We did not start the quarrel."
    text = "The Danish envoy is on a third tour of the islands."
    claim = "Li said the Danish envoy is on a third tour of the islands"
    other = claim.replace("Li", "Oda")
    embedder = HashEmbedder()

    def reason(claim: str, context: str) -> str:
        return support(
            claim,
            [Span(DOCUMENT, 100, 100 + len(text), text, context)],
            question="What did Li and Oda say of the Danish envoy?",
            claim_vector=embedder.embed([claim])[0],
            span_vectors=embedder.embed([text]),
            rarity={},
            threshold=0.5,
        ).reason

    assert not reason(claim, f"{before} {text} So be it.” Oda left.")
    assert "does not say this of oda" in reason(other, f"{before} {text} So be it.” Oda left.")
    assert "does not say this of li" in reason(claim, f"Li spoke. {text}")


def of(
    document: DocumentInfo, claim: str, text: str, *, question: str, context: str = "",
    section: str = "", threshold: float = 0.5,
) -> str:  # fmt: skip
    """Why a claim is not supported by a text of a document, or ""."""
    embedder = HashEmbedder()
    return support(
        claim, [Span(document, 0, len(text), text, context, section)], question=question,
        claim_vector=embedder.embed([claim])[0], span_vectors=embedder.embed([text]), rarity={},
        threshold=threshold,
    ).reason  # fmt: skip


def test_a_year_that_the_question_gives_may_be_its_document_s() -> None:
    text = "Oda praised plans for 11 early voting centers in the city."
    claim = "Oda praised plans for 11 early voting centers in the city for 2024"
    question = "How many early voting centers were planned in the city for 2024?"
    assert "2024" in of(DOCUMENT, claim, text, question=question)
    for document in (
        replace(DOCUMENT, path="minutes-2024-08-12.md"),
        replace(DOCUMENT, title="Minutes of August 2024"),
        replace(DOCUMENT, date="2024-08-12"),
    ):
        assert not of(document, claim, text, question=question)
        assert "2024" in of(document, claim, text, question="How many are planned in the city?")
        other = claim.replace("2024", "2023")
        assert "2023" in of(document, other, text, question=question.replace("2024", "2023"))
    assert not of(DOCUMENT, claim, text, question=question, section="Meetings of 2024")
    assert "2024" in of(replace(DOCUMENT, path="no20241.md"), claim, text, question=question)


def test_a_month_that_the_question_gives_may_be_its_document_s() -> None:
    text = "Oda of the Lund Housing Association spoke for the owners against the rise."
    claim = "Oda of the Lund Housing Association spoke for the owners in September"
    question = "Who spoke for the owners in September?"
    assert "septemb" in of(DOCUMENT, claim, text, question=question)
    assert not of(replace(DOCUMENT, path="x-2024-09-24.md"), claim, text, question=question)
    assert not of(replace(DOCUMENT, date="2024-09"), claim, text, question=question)
    assert "septemb" in of(replace(DOCUMENT, date="2024-10-09"), claim, text, question=question)
    assert not of(DOCUMENT, claim, f"{text[:-1]} (Sept. 3).", question=question)
    february = claim.replace("September", "February")
    short = f"{text[:-1]} on Feb 24th."
    assert not of(DOCUMENT, february, short, question=question)


def test_a_file_may_go_by_the_name_of_whom_it_is_about() -> None:
    claim = "Lund is planning 11 early voting centers in the north"
    text = "Oda told of plans for 11 early voting centers in the north."
    question = "How many early voting centers is Lund planning in the north?"
    fault = "does not say this of lund"
    assert fault in of(DOCUMENT, claim, text, question=question)
    assert not of(replace(DOCUMENT, path="lund_council.md"), claim, text, question=question)
    assert fault in of(replace(DOCUMENT, path="lund/oda.md"), claim, text, question=question)


def test_a_figure_from_another_text_is_another_thing_s_figure() -> None:
    agreement = "China and the EU signed the agreement on investment."
    found = judge("China signed the agreement in 2022", agreement, "Its trade dried up in 2022.")
    assert "number 2022 is not in the cited text" in found.reason
    assert found.invented == {"2022"}
    spread = judge("The EU sanctioned 10 officials in 2021", "China sanctioned 10 officials.",
                   "The EU was angry in 2021, and so were its officials.")  # fmt: skip
    assert "number" in spread.reason
    beside = [Span(DOCUMENT, 0, 51, agreement), Span(DOCUMENT, 52, 80, "It dried up in 2022.")]
    embedder = HashEmbedder()
    together = support(
        "China signed the agreement, which dried up in 2022",
        beside,
        question="What happened?",
        claim_vector=embedder.embed(["China signed the agreement, which dried up in 2022"])[0],
        span_vectors=embedder.embed([span.clean for span in beside]),
        rarity={},
        threshold=0.5,
    )
    assert not together.reason, "the next sentence goes on with the same thing"


@pytest.mark.parametrize(
    ("claim", "supported"),
    [
        ("The old harbour was closed in May because cracks were found in its walls", True),
        ("The old harbour was closed in May because lanterns rely on oil", False),
        ("The old harbour lost its ships due to cracks found in its walls", False),
        ("It was closed because lanterns rely on oil", True),  # too few words to tell
    ],
)
def test_a_reason_comes_from_a_text_about_what_it_explains(claim: str, supported: bool) -> None:
    found = judge(
        claim,
        "The old harbour was closed in May, after cracks were found in its walls.",
        "Nothing more is known.",
        "Lanterns rely on oil, and the closed market on lanterns.",
        question="Why was the old harbour closed in May, and did it lose its ships?",
    )
    assert ("does not speak of" not in found.reason) == supported


@pytest.mark.parametrize(
    ("claim", "question", "fault"),
    [
        ("China put four entities under sanctions",
         "Which four entities did China put under sanctions?", True),
        ("China put four banks under sanctions",
         "Which four entities did China put under sanctions?", False),
        ("China put four entities under sanctions",
         "Did China put four entities under sanctions?", False),
        ("China put four entities under sanctions",
         "When was that, and has China put four entities under sanctions?", False),
        ("China put four entities under sanctions",
         "China put four entities under sanctions?", False),
        ("China put no entities under sanctions",
         "Which four entities did China put under sanctions?", False),
    ],
)  # fmt: skip
def test_a_question_said_again_is_no_answer(claim: str, question: str, fault: bool) -> None:
    text = "China put four entities and no banks under sanctions."
    found = judge(claim, text, question=question)
    assert (found.reason == "it says nothing that the question does not") == fault


HARBOUR = "The old harbour of Lund was closed by the council in May."
SHIPS = "The ships of the northern fleet carry grain and timber to Malmo."


@pytest.mark.parametrize(
    ("claim", "supported"),
    [
        ("The council closed the ships of the northern harbour of Lund in May with timber", False),
        ("The old harbour was closed in May, and the ships of the fleet carry grain to Malmo",
         True),
        ("The old harbour of Lund was closed by the council", True),
        ("The old harbour of Lund was closed in May by the council for grain and timber ships",
         False),
        ("The old harbour of Lund was closed in May because the fleet carries grain and timber",
         True),
        ("It was the closing of the old harbour by the council, and ships with grain and timber",
         True),
        ("It was the northern fleet of the council and the closing of the timber in the harbour",
         False),
    ],
)  # fmt: skip
def test_a_sentence_of_two_halves_is_in_neither(claim: str, supported: bool) -> None:
    found = judge(claim, HARBOUR, "Nothing more is known.", SHIPS, question="What happened?")
    assert ("in no single text" not in found.reason) == supported


def test_who_says_it_and_by_which_first_name_is_no_half_of_a_sentence() -> None:
    claim = "Josep Borrell believes that Europe should not resist the rise"
    found = judge(claim, "We should not resist the rise.", question="What does Borrell think?")
    assert "in no single text" not in found.reason


def test_a_third_round_is_one_of_three() -> None:
    text = "He is on his third round of shuttle diplomacy."
    question = "How many rounds of shuttle diplomacy has he reached?"
    assert not judge(
        "He has reached three rounds of shuttle diplomacy", text, question=question
    ).reason
    found = judge("He has reached four rounds of shuttle diplomacy", text, question=question)
    assert found.reason == "the number 4 is not in the cited text"


@pytest.mark.parametrize(
    ("question", "claim", "fault"),
    [
        ("Why did China ratify the treaty in 2022?",
         "China ratified the treaty after seven years of talks", True),
        ("Why did Brussels sign the treaty on investment in 2022?",
         "Brussels signed the treaty on investment after seven years of talks", False),
        ("When was that?", "It was after seven years of talks", False),
    ],
)  # fmt: skip
def test_a_text_of_another_time_must_say_the_rest(question: str, claim: str, fault: bool) -> None:
    text = "In 2020, after seven years of talks, Brussels signed a treaty on investment."
    cited = (Span(DOCUMENT, 0, len(text), text),)
    assert bool(of_another_time(question, claim, cited)) == fault


@pytest.mark.parametrize(
    ("claim", "text", "reason"),
    [
        ("The EU trades with China because it shares its concerns", "Although the EU shares its"
         " concerns, the EU trades with China.", "in spite of"),
        ("The deal stalled because of political tensions", "Although the deal stalled due to"
         " political tensions, it shows good will.", ""),
        ("The bridge was closed because of cracks in two cables", "Despite protests the bridge"
         " was closed because of cracks in two cables.", ""),
        ("The EU stays because of its trade with China", "Although its trade with China shrank, the"
         " EU stays because of trade with China.", ""),
        ("The European Union and China, and the European Union and Oda met", "The European Union"
         " and China, and the European Union and Oda met.", ""),
        ("The pass costs 4% a year", "The pass costs 4 pct. p.a.", ""),
        ("The pass is good for two years", "The pass is good for two yrs.", ""),
        ("The United States is beaten by China in carbon", "China emits a quarter of the carbon,"
         " more than the United States.", ""),
        ("The young are carried for one to two years", "The young are carried; litters are of one"
         " or two young.", "counts no year"),
        ("The loan runs for two years", "The loan is a two-year one, and runs.", ""),
        ("The EU sanctioned 10 Chinese officials", "China sanctioned 10 Europeans, the EU four"
         " officials.", "counts 10 Europeans"),
        ("China sanctioned 10 European officials", "China sanctioned 10 Europeans, officials.", ""),
        ("China sanctioned 10 bodies", "China sanctioned 10 Europeans and four entities.",
         "counts 10 Europeans"),
        ("China sanctioned 10 people", "China sanctioned 10 Europeans and four entities.", ""),
        ("China sanctioned 10 entities", "China sanctioned 10 Europeans, all entities.", ""),
        ("In 2022 Macron met Xi", "In 2022 Xi met Macron.", ""),
        ("Both met on 10 May", "Both met on 10 June, and in May.", "counts 10 June"),
        ("Profits fell by 20 percent", "Profits fell by 20%.", ""),
        ("It costs 4.5% a year", "It costs 4.5 per cent p.a.", ""),
        ("The United States emits a quarter of the carbon", "China emits a quarter of the carbon,"
         " more than the United States.", "does not say this of"),
        ("China emits more carbon than the United States", "China emits a quarter of the carbon,"
         " more than the United States.", ""),
        ("The United States emits less carbon than China", "China emits more carbon than the United"
         " States.", ""),
        ("After a warning you will decide to part ways", "After a warning we'll decide to part"
         " ways.", "one of us"),
        ("After a warning we'll decide to part ways", "After a warning we'll decide to part ways.",
         ""),
        ("China sanctioned scholars, four entities, and four entities", "China sanctioned scholars"
         " and four entities.", "the same twice"),
        ("China sanctioned four entities: politicians, scholars, four entities", "China sanctioned"
         " politicians, scholars and four entities.", "the same twice"),
        ("China sanctioned ten scholars, four entities, and four banks", "China sanctioned ten"
         " scholars, four entities and four banks.", ""),
        ("You can take a client laptop outside of the UK", "Client laptops: you are not able to"
         " take a client laptop outside of the UK.", "allows nothing"),
        ("You may take a client laptop abroad with approval", "You are not able to take a client"
         " laptop abroad without approval.", ""),
        ("You can claim a ticket for work", "You can claim a ticket for work, but are not able"
         " to claim one for a commute.", ""),
        ("You must return the laptop, and we pay for it", "You must return the laptop, and we will"
         " pay for it.", ""),
    ],
)  # fmt: skip
def test_a_small_change_of_words_is_another_claim(claim: str, text: str, reason: str) -> None:
    found = judge(claim, text, question="What did China, the EU and the United States do, and why?")
    if reason:
        assert reason in found.reason
    else:  # what else may be missing is not looked at here
        assert not found.reason or found.reason.startswith("too little"), found


def test_who_asks_as_we_is_the_you_of_the_text() -> None:
    claim, text = "We may use the logo on posters", "You may use the logo on posters."
    assert judge(claim, text, question="May we use the logo?").reason == ""
    assert "one of us" in judge(claim, text, question="Who may use the logo?").reason


@pytest.mark.parametrize(
    ("question", "text", "context", "fits"),
    [
        ("Which cities are the meet-ups in for 2024?", "In 2023, Lund and Malmo.", "", False),
        ("Which cities are the meet-ups in for 2024?", "Lund in 2024, Malmo in 2023.", "", True),
        ("Which cities are the meet-ups in for 2024?", "Lund and Malmo.", "", True),
        ("What was sold in May 2024?", "Of the 2023 model few were sold.", "Sales of 2024", True),
        ("What has been built since 2020?", "The bridge was built in 2022.", "", True),
    ],
)
def test_a_text_of_another_year_does_not_answer(
    question: str, text: str, context: str, fits: bool
) -> None:
    span = Span(DOCUMENT, 0, len(text), text, context)
    assert (not of_another_year(question, (span,))) == fits


def test_what_a_country_has_with_another_is_not_the_others_alone() -> None:
    text = "The deficit in favour of Beijing had reached 396 billion."
    span = Span(DOCUMENT, 0, len(text), text, context=f"European exports rose by 3%. {text}")
    claim = "The EU's deficit with China had reached 396 billion"
    assert not stranger(claim, [span], "How large was the EU's deficit?")
    assert stranger(claim, [replace(span, context=text)], "How large was the EU's deficit?")
    assert stranger("The EU had reached 396 billion", [span], "What had the EU reached?")


def test_a_question_that_gives_a_country_is_not_answered_by_its_adjective() -> None:
    question = "What is the name of China's envoy?"
    assert "no name" in out_of_kind(question, "The Chinese envoy travels")
    assert out_of_kind(question, "The Chinese envoy is Li") == ""
