"""The second story from end to end: every claim has its sources, word for word, or is withheld."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SEEDS, IndexBuilder

from rag.answering import REFUSAL, Engine
from rag.answers.claims import Limits
from rag.answers.said import Verifier
from rag.backends.embed import HashEmbedder
from rag.backends.extractive import ExtractiveGenerator
from rag.errors import UsageError
from rag.records import (
    Answer,
    Citation,
    Claim,
    Evidence,
    FloatMatrix,
    Generator,
    Prompt,
    Stats,
)
from rag.retrieval.evidence import select_evidence
from rag.storage.dense import open_dense
from rag.storage.store import open_index

QUESTION = "What did trade between Russia and China reach in 2023?"
QUESTIONS = [
    QUESTION,
    "Why was the CAI suspended by the European Parliament?",
    "What did Xi Jinping say about the Ukraine war in France?",
    "What will the US and EU discuss about China?",
]
LIMITS = Limits(
    passages=12, evidence=7, max_answer_tokens=120, max_claims=5,
    answer_threshold=0.5, support_threshold=0.5,
)  # fmt: skip
INVENTED = "Quantum penguins rule Neptune with 9,999 lasers"


class Scripted(ExtractiveGenerator):
    """Says yes, then writes whatever a script makes of the prompt, counting what is taken."""

    name = "scripted"

    def __init__(self, script: Callable[[list[str]], list[str]]) -> None:
        super().__init__()
        self._script = script
        self.taken = 0

    def log_odds(self, yes: str, no: str) -> float:
        return 20.0

    def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
        assert self._prompt
        for text in self._script([e.clean for e in self._prompt.evidence]):
            self.taken += 1
            self.written += len(text.split())
            yield text


@pytest.fixture
def engine(shared_index: Path) -> Iterator[Callable[..., Engine]]:
    store = open_index(shared_index)

    def make(generator: Generator | None = None, **changed: float) -> Engine:
        return Engine(
            store=store,
            dense=open_dense(store),
            embedder=HashEmbedder(),
            generator=generator or ExtractiveGenerator(),
            limits=replace(LIMITS, **changed),  # type: ignore[arg-type]
        )

    yield make
    store.close()


def check_contract(answer: Answer) -> None:
    """What holds for every answer, whoever wrote it."""
    joined = " ".join(f"{c.text} {''.join(f'[{n}]' for n in c.labels)}." for c in answer.claims)
    assert answer.answer == (joined if answer.claims else REFUSAL)
    assert answer.status == ("answered" if answer.claims else "unanswerable")
    used = list(dict.fromkeys(label for claim in answer.claims for label in claim.labels))
    assert used == [c.label for c in answer.citations] == list(range(1, len(used) + 1))
    assert all(c.labels and c.verdict == "supported" and not c.reason for c in answer.claims)
    assert all(c.verdict == "unsupported" and c.reason for c in answer.dropped)
    for citation in (*answer.citations, *answer.nearest):
        text = (SEEDS / citation.document).read_bytes().decode()
        assert text[citation.start : citation.end] == citation.quote != ""
        lines = re.split(r"\r\n|\r|\n", text)
        assert citation.quote.split("\n")[0] in lines[citation.line_start - 1]
        assert citation.quote.split("\n")[-1] in lines[citation.line_end - 1]


def test_every_claim_of_the_seeds_has_its_words_in_the_file(engine: Callable[..., Engine]) -> None:
    ready = engine(answer_threshold=0.0)
    for question in QUESTIONS:
        answer = ready.answer(question)
        check_contract(answer)
        assert answer.status == "answered", question
        assert answer.retrieved
        assert (answer.question, answer.standalone_question) == (question, question)
        assert (answer.embedder, answer.llm, answer.index_generation) == ("hash", "extractive", 1)
        assert answer.stats.prompt_tokens > 0
        assert answer.stats.answer_tokens > 0
    again = ready.answer(QUESTIONS[-1])
    assert replace(again, stats=Stats()) == replace(answer, stats=Stats()), "the same every time"
    followed = ready.answer("And in 2023?", standalone=QUESTION)
    assert (followed.question, followed.standalone_question) == ("And in 2023?", QUESTION)
    assert followed.citations == ready.answer(QUESTION).citations


def test_nothing_is_tried_for_a_name_that_no_document_mentions(
    engine: Callable[..., Engine],
) -> None:
    generator = ExtractiveGenerator()
    ready = engine(generator, answer_threshold=0.0)
    answer = ready.answer("What did Tromvik say of the trade of China with Russia?")
    check_contract(answer)
    assert (answer.status, answer.absent) == ("unanswerable", ("Tromvik",))
    assert (answer.stats.prompt_tokens, answer.answerability) == (0, 0.0)
    assert answer.nearest
    both = ready.answer("What did Xi say of trade, and what did Tromvik say of the sanctions?")
    check_contract(both)
    assert (both.status, both.absent) == ("answered", ("Tromvik",))
    assert both.unanswered == ("What did Tromvik say of the sanctions?",)
    assert ready.answer(QUESTION).absent == ()


def test_what_is_asked_of_one_of_two_rests_on_what_mentions_that_one(
    engine: Callable[..., Engine],
) -> None:
    ready = engine(answer_threshold=0.0)
    answer = ready.answer("How do Maas and Lo differ on the 240 billion of trade?")
    check_contract(answer)
    assert [claim.reason for claim in answer.dropped] == ["no cited document mentions Maas"]
    assert answer.unanswered == ("What does Maas say about the 240 billion of trade?",)
    assert {c.document[:3] for c in answer.citations} == {"003"}, "that one speaks of Lo"


def test_what_the_documents_do_not_answer_is_refused(engine: Callable[..., Engine]) -> None:
    said: list[Claim] = []
    answer = engine().answer("Flurb zxqv wobblegock snorfle?", on_claim=lambda c, _: said.append(c))
    check_contract(answer)
    assert (answer.status, answer.answer, said) == ("unanswerable", REFUSAL, [])
    assert answer.answerability < 0.5
    assert answer.nearest
    assert answer.stats.answer_tokens == 0, "nothing was written"
    with pytest.raises(UsageError):
        engine().answer(" \n ")
    with pytest.raises(UsageError):
        engine().answer("word " * 10_000)


def test_claims_are_told_as_they_are_verified_and_one_span_has_one_label(
    engine: Callable[..., Engine],
) -> None:
    said: list[Claim] = []
    new: list[Citation] = []

    def tell(claim: Claim, citations: tuple[Citation, ...]) -> None:
        said.append(claim)
        new.extend(citations)
        assert set(claim.labels) <= {citation.label for citation in new}

    writer = Scripted(lambda shown: [shown[0], "Indeed " + shown[0], shown[1], shown[2]])
    answer = engine(writer).answer(QUESTION, on_claim=tell)
    check_contract(answer)
    assert (tuple(said), tuple(new)) == (answer.claims, answer.citations)
    assert len(answer.claims) == 4
    assert answer.claims[0].labels[0] == answer.claims[1].labels[0] == 1
    assert len(answer.citations) < sum(len(claim.labels) for claim in answer.claims)


def test_what_nothing_supports_is_withheld_with_its_reason(engine: Callable[..., Engine]) -> None:
    writer = Scripted(lambda shown: [f"{INVENTED}.", shown[0], "It lasted 77 years."])
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    assert [claim.text for claim in answer.dropped] == [INVENTED, "It lasted 77 years"]
    assert len(answer.claims) == 1
    assert "penguins" not in answer.answer
    assert "77" not in answer.answer
    nothing = engine(Scripted(lambda _: [f"{INVENTED}."])).answer(QUESTION)
    check_contract(nothing)
    assert nothing.status == "unanswerable"
    assert nothing.dropped
    assert nothing.nearest


class LostAmongMany(Scripted):
    """Says what no text supports where it is shown more than so many, and tells of each how sure
    it is that this one answers."""

    def __init__(self, most: int, odds: Callable[[str], float], stated: float = 20.0) -> None:
        super().__init__(lambda shown: shown[-1:] if len(shown) <= most else [f"{INVENTED}."])
        self._odds, self._stated = odds, stated
        self.shown: list[list[str]] = []

    def read(self, prompt: Prompt) -> int:
        self.shown.append([item.clean for item in prompt.evidence])
        return super().read(prompt)

    def log_odds(self, yes: str, no: str) -> float:
        assert self._prompt
        return 20.0 if len(self._prompt.evidence) > 2 else self._stated

    def judge(self, prompt: Prompt, yes: str, no: str) -> float:
        return self._odds(prompt.evidence[0].clean) if prompt.evidence else 3.0


def by_place() -> tuple[dict[str, float], Callable[[str], float]]:
    """The further behind a text comes, the surer it answers."""
    odds: dict[str, float] = {}
    return odds, lambda text: odds.setdefault(text, float(len(odds)))


def test_what_is_lost_among_many_is_answered_from_the_two_surest(
    engine: Callable[..., Engine],
) -> None:
    odds, sure = by_place()
    writer = LostAmongMany(2, sure)
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    surest = sorted(odds, key=lambda text: -odds[text])[:2]
    many, few = writer.shown
    assert set(many) < set(odds), "further texts are asked about than were shown"
    assert few == surest
    assert len(answer.claims) == 1
    assert [claim.text for claim in answer.dropped] == [INVENTED]
    assert answer.unanswered == ()
    assert answer.stats.prompt_tokens > answer.stats.reused_tokens > 0


def test_where_the_two_surest_give_nothing_the_surest_is_asked_alone(
    engine: Callable[..., Engine],
) -> None:
    odds, sure = by_place()
    writer = LostAmongMany(1, sure)
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    surest = max(odds, key=lambda text: odds[text])
    assert writer.shown[1][0] == surest
    assert writer.shown[2] == [surest]
    assert len(writer.shown) == 3
    assert answer.citations[0].quote[:20] in surest
    assert [claim.text for claim in answer.dropped] == [INVENTED]


def test_what_no_text_by_itself_states_is_not_tried_again(engine: Callable[..., Engine]) -> None:
    writer = LostAmongMany(2, lambda _: -0.1)
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    assert len(writer.shown) == 1
    assert (answer.status, [claim.text for claim in answer.dropped]) == ("unanswerable", [INVENTED])


def test_few_must_be_surer_than_all_together(engine: Callable[..., Engine]) -> None:
    """What passes of all together (0.5 at log odds of 0) does not of two by themselves."""
    writer = LostAmongMany(2, by_place()[1], stated=0.3)
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    assert len(writer.shown) == 3
    assert answer.status == "unanswerable"
    assert answer.nearest


def test_what_cannot_be_understood_alone_is_not_asked_of_one_source(
    engine: Callable[..., Engine],
) -> None:
    writer = LostAmongMany(2, lambda _: 20.0)
    answer = engine(writer).answer(f"{QUESTION[:-1]}, and what does he say of it?")
    check_contract(answer)
    assert answer.claims, "the first part"
    assert answer.unanswered == ("What does he say of it?",)


def test_one_that_repeats_itself_is_stopped(engine: Callable[..., Engine]) -> None:
    writer = Scripted(lambda shown: [shown[0], f"- {shown[0]}", shown[1], *shown * 50])
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    assert (len(answer.claims), writer.taken) == (1, 2)


@pytest.mark.parametrize(
    "label",
    ["[7]", "[7][8]", "[7, 8]"],
)
def test_labels_come_from_the_program_only(label: str, engine: Callable[..., Engine]) -> None:
    writer = Scripted(lambda shown: [f"{label} {shown[0].rstrip('.')} {label}.", f"{label}."])
    answer = engine(writer).answer(QUESTION)
    check_contract(answer)
    assert len(answer.claims) == 1
    assert "7" not in re.sub(r"\d{2,}", "", answer.answer)


def test_what_an_answer_quotes_is_in_its_sources(engine: Callable[..., Engine]) -> None:
    def script(shown: list[str]) -> list[str]:
        words = shown[0].rstrip(".").split()
        swapped = " ".join([*words[2:4], *words[:2], *words[4:]])
        return [f"“{' '.join(words)}", f"It is said that “{swapped}”"]

    answer = engine(Scripted(script)).answer(QUESTION)
    check_contract(answer)
    true, false = (claim.text for claim in answer.claims)
    assert true[0] + true[-1] == "“”", "closed"
    assert not set("“”") & set(false)


def test_a_later_part_goes_on_with_the_answer_to_those_before(
    engine: Callable[..., Engine],
) -> None:
    openings: list[tuple[str, str]] = []

    class Listening(Scripted):
        def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
            assert self._prompt
            if len(self._prompt.evidence) > 2:  # not of the surest by themselves
                openings.append((self._prompt.question, opening))
            return super().sentences(opening, max_tokens=max_tokens, limit=limit)

    asked = f"{QUESTION[:-1]}, and what does Xi Jinping say of overcapacity?"
    generator = Listening(lambda texts: texts[:1])
    answer = engine(generator).answer(asked)
    check_contract(answer)
    assert len(answer.claims) == 2
    (first, alone), (second, begun) = openings
    assert first == QUESTION
    assert second == asked
    assert begun == f"{alone} {answer.claims[0].text}."
    openings.clear()
    answer = engine(Listening(lambda texts: [INVENTED])).answer(asked)
    assert not answer.claims
    assert openings[1][1] == alone, "what was withheld is not gone on with"
    assert len(openings) == 2, "what was asked alone is not asked alone again"


def test_a_part_that_finds_nothing_by_going_on_is_asked_alone(
    engine: Callable[..., Engine],
) -> None:
    asked_: list[str] = []
    later = "What does Xi Jinping say of overcapacity?"

    class Listening(Scripted):
        def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
            assert self._prompt
            asked_.append(self._prompt.question)
            if len(asked_) == 2:
                return iter([INVENTED])
            return super().sentences(opening, max_tokens=max_tokens, limit=limit)

    whole = f"{QUESTION[:-1]}, and what does Xi Jinping say of overcapacity?"
    answer = engine(Listening(lambda texts: texts[:1])).answer(whole)
    check_contract(answer)
    assert asked_ == [QUESTION, whole, later]
    assert len(answer.claims) == 2
    assert not answer.unanswered
    assert [claim.text for claim in answer.dropped] == [INVENTED]
    asked_.clear()
    leaning = f"{QUESTION[:-1]}, and what does he say of it?"
    engine(Listening(lambda texts: texts[:1])).answer(leaning)
    assert len(asked_) == 2, "what leans on the part before cannot be asked alone"


def test_to_say_the_same_again_answers_no_other_part(engine: Callable[..., Engine]) -> None:
    said: list[str] = []

    def script(shown: list[str]) -> list[str]:
        said.append(said[0] if said else shown[0])
        return said[-1:]

    later = "What does Xi Jinping say of overcapacity?"
    answer = engine(Scripted(script)).answer(f"{QUESTION[:-1]}, and {later[0].lower()}{later[1:]}")
    check_contract(answer)
    assert len(answer.claims) == 1
    assert len(said) > 2
    assert answer.unanswered == (later,)


def test_a_part_that_leans_is_searched_beside_the_question_and_beside_its_answer(
    engine: Callable[..., Engine],
) -> None:
    shown: list[list[str]] = []

    class Listening(Scripted):
        def read(self, prompt: Prompt) -> int:
            shown.append([item.clean for item in prompt.evidence])
            return super().read(prompt)

    it = engine(Listening(lambda texts: texts[:1]))
    answer = it.answer(f"{QUESTION[:-1]}, and what does he say of the CAI?")
    part = "What does he say of the CAI?"
    beside = [f"{part} {QUESTION}", f"{part} {answer.claims[0].text}"]
    found = []
    for text in beside:
        query, hits = it.search(text, it.limits.passages)
        chosen = select_evidence(query, hits, store=it.store, limit=it.limits.evidence)
        found.append({item.clean: item.score for item in chosen})
    best = max(found[0] | found[1], key=lambda text: max(f.get(text, 0.0) for f in found))
    assert shown[1][0] == best
    for searched in found:
        assert set(shown[1]) & set(searched), "of both something is shown"
    assert set(shown[1]) <= set(found[0]) | set(found[1])


@contextlib.contextmanager
def engine_over(
    texts: Sequence[str], folder: Path, build: IndexBuilder, generator: Generator
) -> Iterator[Engine]:
    """An engine over an index of these texts, a file each."""
    documents = folder / "docs"
    documents.mkdir()
    for number, text in enumerate(texts):
        (documents / f"{number}.txt").write_text(text)
    build(documents)
    with contextlib.closing(open_index(folder / "index")) as store:
        yield Engine(
            store=store, dense=open_dense(store), embedder=HashEmbedder(), generator=generator,
            limits=LIMITS,
        )  # fmt: skip


@pytest.mark.parametrize("same", [False, True])
def test_what_leans_on_an_answer_rests_on_what_mentions_one_it_names(
    tmp_path: Path, build: IndexBuilder, same: bool
) -> None:
    offer = "The firm Armlet offered to host the spring meeting of the Lund developers."
    city = "In spring a firm offered to host the meeting in Holm, the city of charm and alarm."

    class Going(Scripted):
        def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
            return iter([city if offer.rstrip(".") in opening else offer])

    texts = (offer, f"{city} Armlet came, too." if same else city)
    with engine_over(texts, tmp_path, build, Going(lambda _: [])) as ready:
        answer = ready.answer("Which firm offered to host the meeting, and in what city?")
    assert [claim.text for claim in answer.claims] == [offer[:-1], city[:-1]][: 1 + same]
    if not same:
        assert "no cited document mentions Armlet, Lund" in [c.reason for c in answer.dropped]


@pytest.mark.parametrize("answers", [False, True])
def test_another_document_s_reason_is_added_where_it_answers_the_question(
    tmp_path: Path, build: IndexBuilder, answers: bool
) -> None:
    """A true sentence beside the question is no second reason."""
    own = "The harbour was closed in spring because mayor Oda feared a flood of the lower docks."
    other = "The harbour was closed in spring after engineer Lund found cracks below the docks"

    class Judge(Scripted):
        read_last = ""

        def tokenize(self, text: str, *, special: bool) -> list[int]:
            self.read_last += text
            return super().tokenize(text, special=special)

        def judge(self, prompt: Prompt, yes: str, no: str) -> float:
            asked, self.read_last = self.read_last, ""
            return 3.0 if answers or "Oda" in asked.rpartition("Answer:")[2] else -1.0

    texts = (own, f"But {other[0].lower()}{other[1:]}.")
    with engine_over(texts, tmp_path, build, Judge(lambda _: [own])) as ready:
        answer = ready.answer("Why was the harbour closed in spring?")
    assert answer.claims[0].text == own.rstrip(".")
    said = f"Another source says: “the{other[3:]}”"
    assert [claim.text for claim in answer.claims[1:]] == [said] * answers


def test_where_the_same_is_asked_of_another_that_one_opens_the_sentence(
    engine: Callable[..., Engine],
) -> None:
    openings: list[str] = []

    class Listening(Scripted):
        def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
            openings.append(opening)
            if opening.endswith(" Blinken"):
                return iter(["said this goal remained crucial.", "He left."])
            return super().sentences(opening, max_tokens=max_tokens, limit=limit)

    asked = "How did Trump and Blinken differ on NATO members' defence spending?"
    answer = engine(Listening(lambda texts: texts[:1]), passages=40, evidence=40).answer(asked)
    check_contract(answer)
    assert len(openings) == 2
    said = [claim.text for claim in (*answer.claims, *answer.dropped)]
    assert "Blinken said this goal remained crucial" in said
    assert not any("Blinken He left" in text for text in said)


def test_a_row_longer_than_the_embedder_reads_is_checked_all_the_same(shared_index: Path) -> None:
    class Strict(HashEmbedder):
        def embed(self, texts: list[str]) -> FloatMatrix:
            assert all(self.count(text) <= self.max_tokens for text in texts)
            return super().embed(texts)

    store = open_index(shared_index)
    row = " | ".join(f"column number {n}: {1000 + n}" for n in range(200))
    document = store.documents()[0]
    evidence = Evidence(document, 0, 9, f"ropes | {row}", None, 1, 1.0, 0.5)
    check = Verifier("How many ropes?", (evidence,), store=store, embedder=Strict(), threshold=0.1)
    found = check("Of ropes column number 7 has 1007")
    store.close()
    assert [span.clean for span in found.spans] == [evidence.clean]
    assert not found.reason
