"""The nouns. Frozen dataclasses and nothing else; every stage takes and returns these.

Offsets are Python string code points into ``Document.text``, end exclusive, so that
``document.text[start:end]`` is the quoted text, always.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Document:
    """One source file as it was read.

    Attributes:
        path: Relative to the indexed root, with ``/``.
        text: The decoded text; every offset in the program refers to it.
        sha256: Of the file's bytes, hexadecimal.
        encoding: The codec that decoded it.
        title: From the text where it shows one, else made from its first words.
        date: ISO ``YYYY-MM-DD`` (or shorter) where the text shows one, else "".
        author: Where the text shows one, else "".
    """

    path: str
    text: str
    sha256: str
    encoding: str
    title: str = ""
    date: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not indexed, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document.

    Attributes:
        start: Offset of its first code point.
        end: Offset behind its last.
        clean: The words a reader sees: markup, escapes and line breaks taken out.
    """

    start: int
    end: int
    clean: str


@dataclass(frozen=True, slots=True)
class Passage:
    """What is searched: consecutive sentences of one section of one document."""

    start: int
    end: int
    heading: str
    sentences: tuple[Sentence, ...]

    @property
    def clean(self) -> str:
        """The passage as a reader sees it."""
        return " ".join(sentence.clean for sentence in self.sentences)


@dataclass(frozen=True, slots=True)
class Acronym:
    """A short form and what it stands for, as a document defines it."""

    short: str
    long: str


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What the index knows of a document without its text."""

    id: int
    path: str
    title: str
    date: str
    author: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage.

    Attributes:
        passage_id: Its key in the index.
        document: Where it comes from.
        passage: Its span, heading and sentences.
        line_start: First line, counted from 1.
        line_end: Last line.
        score: The fused score; larger is better.
        ranks: Rank in each stage that found it, counted from 1.
        stage_scores: The raw score in each such stage.
    """

    passage_id: int
    document: DocumentInfo
    passage: Passage
    line_start: int
    line_end: int
    score: float
    ranks: dict[str, int]
    stage_scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence, or a sentence with the one before it, that the model is shown.

    Attributes:
        document: Where it comes from.
        start: Offset of the sentence that is cited.
        end: Offset behind it.
        clean: The cited sentence as a reader sees it.
        lead: What is put before it so that it can be understood alone; "" if nothing.
        passage_id: The passage that brought it in.
        score: Selection score; larger is better, comparable within one question only.
        cosine: Similarity to the question, -1 to 1.
    """

    document: DocumentInfo
    start: int
    end: int
    clean: str
    lead: str
    passage_id: int
    score: float
    cosine: float

    @property
    def shown(self) -> str:
        """What the model reads."""
        return f"{self.lead} {self.clean}" if self.lead else self.clean


@dataclass(frozen=True, slots=True)
class Citation:
    """A label in an answer and the exact text it stands for."""

    label: int
    document: str
    title: str
    page: int | None
    start: int
    end: int
    line_start: int
    line_end: int
    quote: str


Verdict = Literal["supported", "unsupported"]
Status = Literal["answered", "unanswerable", "error"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of an answer, with what supports it.

    Attributes:
        text: The sentence without its labels and without its full stop.
        labels: Citations, in the answer's numbering.
        verdict: Whether the cited text supports it.
        score: Support, 0 to 1.
        reason: Why it was not supported; "" where it was.
    """

    text: str
    labels: tuple[int, ...]
    verdict: Verdict
    score: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A retrieved passage as the answer reports it."""

    document: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What an answer cost. Times in milliseconds, sizes in tokens of the language model."""

    retrieve_ms: int = 0
    first_token_ms: int = 0
    total_ms: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    answer_tokens: int = 0
    evidence_offered: int = 0
    evidence_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a question has no answer: the JSON form of an error."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one question; ``render.py`` turns it into text or JSON.

    ``answer`` is what the person reads. ``answerability`` is the probability, 0 to 1, that the
    documents answer the question; ``dropped`` holds the claims that were withheld.
    """

    question: str
    standalone_question: str
    status: Status
    answer: str
    claims: tuple[Claim, ...] = ()
    citations: tuple[Citation, ...] = ()
    retrieved: tuple[Retrieved, ...] = ()
    dropped: tuple[Claim, ...] = ()
    nearest: tuple[Citation, ...] = ()
    answerability: float = 0.0
    error: Failure | None = None
    stats: Stats = field(default_factory=Stats)
    embedder: str = ""
    llm: str = ""
    index_generation: int = 0
    documents_searched: int = 0


class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def name(self) -> str:
        """What the index is stamped with: another name means another vector space."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest text, in the embedder's own tokens, special ones included."""
        ...

    def count(self, text: str) -> int:
        """The text's length in the embedder's own tokens, special ones included."""
        ...

    def embed(self, texts: list[str]) -> FloatMatrix:
        """Return float32 (n, dimension), rows of unit length."""
        ...
