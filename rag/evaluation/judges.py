"""Who may be asked whether an answer is correct: the local language model, or one behind a URL.

A judge sees the question, the reference answer and the given answer, not the sources, and says
whether the given answer states what the reference answer states.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from rag.answers.compose import JUDGEMENT, compose_grading, grading_messages, prompts_digest
from rag.backends.endpoint import Endpoint, NoReply, reply
from rag.backends.extractive import EXTRACTIVE
from rag.errors import UsageError
from rag.records import Generator

PROMPT = "grade"
CORRECT_FROM = 0.5
_MOST_TOKENS = 8  # of a reply: one word is wanted
_FIRST_WORD = re.compile(r"[^\w]{0,20}(yes|no)\b", re.IGNORECASE)
_SHOWN = 60  # code points of a reply that is neither


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said of one answer.

    Attributes:
        correct: Whether the answer states what the reference states; False where it failed.
        score: Probability of yes, of yes and no alone; 1 or 0 where a judge says no more than the
            word; None where it failed.
        failed: Why there is no judgement; "" where there is one.
    """

    correct: bool
    score: float | None
    failed: str = ""


Grade = Callable[[str, str, str], Judgement]
"""Question, reference answer and given answer to a judgement."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Somebody to ask.

    Attributes:
        name: Of the model.
        identity: Judgements with the same one are the same.
        prompt: Digest of the template that it reads.
        open: Makes it ready; called only if something is to be judged.
    """

    name: str
    identity: str
    prompt: str
    open: Callable[[], Grade]


def local_judge(name: str, open_generator: Callable[[], Generator]) -> Judge:
    """The language model of the settings.

    Raises:
        UsageError: It is the backend without weights.
    """
    if name == EXTRACTIVE:
        raise UsageError(
            "the extractive backend has no language model and cannot judge",
            hint="name a model with --llm, or the URL of an endpoint with --judge URL",
        )

    def opened() -> Grade:
        generator = open_generator()
        return lambda question, reference, answer: grade(
            question, reference, answer, generator=generator
        )

    digest = prompts_digest(PROMPT)
    return Judge(name, f"local {name} {digest}", digest, opened)


def grade(question: str, reference: str, answer: str, *, generator: Generator) -> Judgement:
    """What a language model says, by how much likelier yes is than no."""
    prompt = compose_grading(question, reference, answer, generator=generator)
    try:
        odds = generator.judge(prompt, *JUDGEMENT)
    except ValueError as error:  # nothing is cut: half an answer would get a wrong judgement
        return Judgement(False, None, f"it does not fit the model: {error}")
    score = (1 + math.tanh(odds / 2)) / 2  # the logistic function, for any odds
    return Judgement(score >= CORRECT_FROM, score)


def remote_judge(endpoint: Endpoint) -> Judge:
    """A model behind a URL."""

    def ask(question: str, reference: str, answer: str) -> Judgement:
        try:
            text = reply(
                endpoint, grading_messages(question, reference, answer), max_tokens=_MOST_TOKENS
            )
        except NoReply as error:
            return Judgement(False, None, str(error))
        return read_reply(text)

    name = endpoint.model or f"the model at {endpoint.url}"
    digest = prompts_digest(PROMPT)
    identity = f"{endpoint.url} {endpoint.model} {digest}"
    return Judge(name, identity, digest, lambda: ask)


def read_reply(text: str) -> Judgement:
    """A judgement from the first word of a reply, which must be yes or no."""
    word = _FIRST_WORD.match(text)
    if not word:
        said = " ".join(text[:_SHOWN].split())
        return Judgement(False, None, f"neither yes nor no: “{said}”")
    correct = word[1].lower() == "yes"
    return Judgement(correct, float(correct))
