"""A question about one whom it only describes: who that is is found out first, and cited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.answering import REFUSAL, Engine
from rag.answers.claims import Limits
from rag.backends.embed import HashEmbedder
from rag.backends.extractive import ExtractiveGenerator
from rag.indexing import build_index
from rag.records import Answer, Claim, DocumentInfo, Prompt
from rag.storage.dense import open_dense
from rag.storage.store import open_index
from rag.verification.asked import of_another
from rag.verification.spans import Span

QUESTION = "When was the company that bought Lund Dairy founded?"
DESCRIPTION = "the company that bought Lund Dairy"
DOCUMENTS = {
    "dairy.txt": "Lund Dairy was sold. The company that bought Lund Dairy is Kestrel Foods. It was"
    " not Owl Foods that came first.",
    "kestrel.txt": "Kestrel Foods makes cheese. Kestrel Foods was founded in 1931 in Malmo.",
    "owl.txt": "Owl Foods makes bread. Owl Foods was founded in 1950 in Oslo.",
}


class Hopping(ExtractiveGenerator):
    """Copies a description to its end, and answers each question by a script."""

    def __init__(self, answers: dict[str, str], description: str = DESCRIPTION) -> None:
        super().__init__()
        self._answers, self._whole = answers, description
        self.asked: list[str] = []

    def log_odds(self, yes: str, no: str) -> float:
        return 20.0

    def copy(self, prompt: Prompt, text: str) -> str:
        return text[: len(self._whole.split(" ", 2)[2]) + 1]

    def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
        assert self._prompt
        self.asked.append(self._prompt.question)
        yield self._answers.get(self._prompt.question, "")


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[..., Answer]]:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text)
    build_index(
        [folder], folder=tmp_path / "index", open_embedder=HashEmbedder, embedder_name="hash",
        max_bytes=10**6,
    )  # fmt: skip
    store = open_index(tmp_path / "index")

    def answer(writer: Hopping, question: str = QUESTION, **more: object) -> Answer:
        engine = Engine(
            store=store, dense=open_dense(store), embedder=HashEmbedder(), generator=writer,
            limits=Limits(
                passages=12, evidence=6, max_answer_tokens=120, max_claims=5,
                answer_threshold=0.5, support_threshold=0.5,
            ),
        )  # fmt: skip
        return engine.answer(question, **more)  # type: ignore[arg-type]

    yield answer
    store.close()


WHO = f"Who or what is {DESCRIPTION}?"
THEN = "When was Kestrel Foods founded?"


def test_each_step_is_answered_and_cited(ask: Callable[..., Answer]) -> None:
    writer = Hopping({WHO: "Kestrel Foods.", THEN: "Kestrel Foods was founded in 1931."})
    told: list[tuple[Claim, int]] = []
    answer = ask(writer, on_claim=lambda claim, new: told.append((claim, len(new))))
    assert writer.asked == [QUESTION, WHO, THEN]
    assert [claim.text for claim in answer.claims] == [
        "The company that bought Lund Dairy is Kestrel Foods",
        "Kestrel Foods was founded in 1931",
    ]
    assert [citation.document for citation in answer.citations] == ["dairy.txt", "kestrel.txt"]
    assert told == [(answer.claims[0], 1), (answer.claims[1], 1)]
    assert answer.unanswered == ()
    assert {found.document for found in answer.retrieved} >= {"dairy.txt", "kestrel.txt"}


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({WHO: "Owl Foods."}, [QUESTION, WHO]),
        ({WHO: "Kestrel Foods."}, [QUESTION, WHO, THEN]),
        ({WHO: "Kestrel Foods.", THEN: "Owl Foods was founded in 1950."}, [QUESTION, WHO, THEN]),
        ({WHO: "Kestrel Foods.", THEN: "It was founded in 1777."}, [QUESTION, WHO, THEN]),
    ],
)
def test_one_step_that_fails_leaves_nothing(
    ask: Callable[..., Answer], answers: dict[str, str], asked: list[str]
) -> None:
    told: list[Claim] = []
    writer = Hopping(answers)
    answer = ask(writer, on_claim=lambda claim, _: told.append(claim))
    assert writer.asked == asked
    assert (answer.status, answer.answer, answer.claims) == ("unanswerable", REFUSAL, ())
    assert (told, answer.citations) == ([], ())
    assert answer.nearest
    steps = [claim.text for claim in answer.dropped if claim.reason.startswith("it is a step")]
    assert steps == [f"The company that bought Lund Dairy is {answers[WHO][:-1]}"]


def test_a_text_that_never_speaks_of_the_one_described_is_no_answer() -> None:
    def span(clean: str, context: str = "", title: str = "") -> Span:
        return Span(DocumentInfo(1, "a.txt", title, "", ""), 0, len(clean), clean, context)

    owl = "Owl Foods was founded in 1950."
    assert of_another(QUESTION, (span(owl),)) == "the cited text does not speak of dairi, lund"
    assert of_another(QUESTION, (span(owl, context=f"It bought the Lund dairy. {owl}"),)) == ""
    assert of_another(QUESTION, (span(owl, title="Lund Dairy"),)) == ""
    assert of_another("When was Owl Foods founded?", (span(owl),)) == "", "nothing is described"


def test_a_backend_that_copies_nothing_refuses(ask: Callable[..., Answer]) -> None:
    class Mute(Hopping):
        def copy(self, prompt: Prompt, text: str) -> str:
            return ""

    writer = Mute({WHO: "Kestrel Foods."})
    assert ask(writer).status == "unanswerable"
    assert writer.asked == [QUESTION]
