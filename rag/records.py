"""The nouns. Frozen dataclasses and nothing else; every stage takes and returns these.

Offsets are Python string code points into ``Document.text``, end exclusive, so that
``document.text[start:end]`` is the quoted text, always.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]
_APART = re.compile(r"[-_.\s]+")  # between the words of a file's name
READ_BY_OCR = ", read by OCR"  # ends the label of a page whose letters are not the document's own


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stretch of a document stands in its own terms; it holds up to the next place.

    Attributes:
        start: Offset of its first code point.
        label: As a person says it: ``p. 3``, ``slide 2``, ``Sheet1 row 5``, ``Methods › Data``.
        page: Page of a PDF or slide of a presentation, counted from 1; else None.
    """

    start: int
    label: str
    page: int | None = None

    @property
    def ocr(self) -> bool:
        """Whether its text was recognised in a picture and may differ from what that shows."""
        return self.page is not None and self.label.endswith(READ_BY_OCR)


@dataclass(frozen=True, slots=True)
class Document:
    """One source file as it was read.

    Attributes:
        path: Relative to the indexed root, with ``/``.
        text: The stored text; every offset in the program refers to it. Of a text file it is the
            file's own decoded text, of other formats what ``rag show`` prints.
        sha256: Of the file's bytes, hexadecimal.
        encoding: The codec that decoded it; "" for formats that are no text.
        format: As ``formats.py`` names it.
        title: What the format says of itself; "" leaves it to be read off the text.
        date: The same, ISO ``YYYY-MM-DD``.
        author: The same.
        language: The same, a tag such as ``en`` or ``de-AT``.
        places: In order of their offsets; empty where lines are all there is.
        warning: What of the file could not be read; "" where all of it was.
    """

    path: str
    text: str
    sha256: str
    encoding: str
    format: str = "text"
    title: str = ""
    date: str = ""
    author: str = ""
    language: str = ""
    places: tuple[Place, ...] = ()
    warning: str = ""


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
    """What the index knows of a document without its text.

    ``also_in`` holds the other paths, in order, under which the same text was found.
    """

    id: int
    path: str
    title: str
    date: str
    author: str
    also_in: tuple[str, ...] = ()
    language: str = ""
    format: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path under which its text was found, the one that is cited first."""
        return (self.path, *self.also_in)

    @property
    def file(self) -> str:
        """The name of its file in words, without its ending: "minutes 2019 05 02"."""
        return _APART.sub(" ", PurePath(self.path).stem)

    @property
    def head(self) -> str:
        """What it goes by: its title, author and path."""
        return f"{self.title} {self.author} {self.path}"


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
        place: Where it begins in the document's own terms, if it has any.
    """

    passage_id: int
    document: DocumentInfo
    passage: Passage
    line_start: int
    line_end: int
    score: float
    ranks: dict[str, int]
    stage_scores: dict[str, float]
    place: Place | None = None


NEXT = 40  # code points at most between a sentence and the next: spaces, markup


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence, or a sentence with the one before it, that the model is shown.

    Attributes:
        document: Where it comes from.
        start: Offset of the sentence that is cited.
        end: Offset behind it.
        clean: The cited sentence as a reader sees it, a row of a table with its columns' names,
            what introduces a list with its short entries.
        lead: The sentence that this one leans on, mostly the one before; else None.
        passage_id: The passage that brought it in.
        context: That passage under its heading, as a reader sees it: who "he" may be.
        section: What stands over it (author, title, headings) and has something of the question
            that it lacks.
        score: Selection score; larger is better, comparable within one question only.
        cosine: Similarity to the question, -1 to 1.
    """

    document: DocumentInfo
    start: int
    end: int
    clean: str
    lead: Sentence | None
    passage_id: int
    score: float
    cosine: float
    context: str = ""
    section: str = ""

    @property
    def shown(self) -> str:
        """What the model reads."""
        over = f"{self.section}: " if self.section else ""
        if not self.lead:
            return f"{over}{self.clean}"
        skipped = "" if self.start - self.lead.end <= NEXT else " …"
        return f"{over}{self.lead.clean}{skipped} {self.clean}"


@dataclass(frozen=True, slots=True)
class Citation:
    """A label in an answer and the exact text it stands for.

    ``also_in`` holds the other documents with the same text, word for word.
    ``page`` and ``place`` are those of the ``Place`` in which it begins; None and "" without one.
    ``ocr`` says that the quote is of recognised text, not of the document's own letters.
    """

    label: int
    document: str
    title: str
    page: int | None
    start: int
    end: int
    line_start: int
    line_end: int
    quote: str
    also_in: tuple[str, ...] = ()
    place: str = ""
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the language model reads, as token ids.

    Kept as pieces, not as one list, so that what was read before can be told apart from what is
    new.

    Attributes:
        pieces: Token ids in reading order; the first piece never changes between questions.
        question: What is asked, with acronyms expanded.
        evidence: The evidence that fitted, best first; it is shown the other way round.
        dropped: How many pieces of evidence were left out because the context is full.
    """

    pieces: tuple[tuple[int, ...], ...]
    question: str
    evidence: tuple[Evidence, ...]
    dropped: int = 0

    @property
    def tokens(self) -> list[int]:
        """All pieces joined."""
        return [token for piece in self.pieces for token in piece]


Message = dict[str, str]
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
    documents answer the question; ``dropped`` holds the claims that were withheld, ``unanswered``
    the parts of an answered question that were not, ``absent`` its names that no document mentions,
    for which nothing was tried. ``scope`` holds the globs of the only documents
    that were searched, ``where`` the conditions they meet; empty means all.
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
    unanswered: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    answerability: float = 0.0
    error: Failure | None = None
    stats: Stats = field(default_factory=Stats)
    embedder: str = ""
    llm: str = ""
    index_generation: int = 0
    documents_searched: int = 0
    scope: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a file of answers holds after a run.

    Attributes:
        total: Questions, each with one row.
        resumed: Rows that were there when the run began, and stayed.
        answered: Rows with an answer.
        unanswerable: Rows that say that the documents do not answer.
        failed: Rows with an error.
        seconds: How long this run took.
    """

    total: int
    resumed: int
    answered: int
    unanswerable: int
    failed: int
    seconds: float


class Generator(Protocol):
    """A language model that reads token ids and writes sentences."""

    @property
    def name(self) -> str:
        """What answers are stamped with."""
        ...

    @property
    def context_tokens(self) -> int:
        """The most tokens that prompt and answer may have together."""
        ...

    def chat(self, messages: list[Message]) -> str:
        """The model's own chat template around some messages, ready for an answer."""
        ...

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text; control tokens are recognised only where ``special``."""
        ...

    def read(self, prompt: Prompt) -> int:
        """Read a prompt; returns how many of its tokens were known from before."""
        ...

    def log_odds(self, yes: str, no: str) -> float:
        """How much likelier the model finds ``yes`` than ``no`` as what comes next (logits)."""
        ...

    def judge(self, prompt: Prompt, yes: str, no: str) -> float:
        """The same for a prompt beside the one that was read, which stays as it is."""
        ...

    def complete(self, prompt: Prompt, *, max_tokens: int, without: Collection[str] = ()) -> str:
        """One line that it writes, greedily, after a prompt beside the one that was read.

        It holds none of the words ``without``. "" where the line did not end within ``max_tokens``,
        or the backend writes none.
        """
        ...

    def copy(self, prompt: Prompt, text: str) -> str:
        """The beginning of ``text`` that it copies after a prompt beside the one that was read.

        "" where the backend copies nothing.
        """
        ...

    def sentences(self, opening: str, *, max_tokens: int, limit: int) -> Iterator[str]:
        """Write after ``opening``, greedily; each sentence is yielded as it closes."""
        ...

    @property
    def log_probs(self) -> list[float]:
        """Log probability of each token written since the last ``read``."""
        ...

    @property
    def written(self) -> int:
        """Tokens written since the last ``read``."""
        ...

    @property
    def first_token_at(self) -> float:
        """``time.perf_counter()`` when the first token since ``read`` was there; 0.0 before."""
        ...


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
