"""Prompt template and evidence to token ids within a budget.

Template parts are tokenised with control tokens on; the question and document text with them off.
What is not template never shares a token with it, and cannot end its own part of the prompt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template

from rag.errors import UsageError
from rag.records import Evidence, Generator, Message, Prompt

# What the model is made to write before its answer, and the two ways in which it may go on.
JUDGE, YES, NO = "Stated:", " yes", " no"
JUDGEMENT = ("yes", "no")
ANSWER_OPENING = f"{YES}\nAnswer:"
_OF_ANSWERS = ("answer", "description", "judge", "rerank")
_ROLE = re.compile(r"^\[(system|user|assistant)\]\n", re.MULTILINE)
_MARK = "\ue000{}\ue001"  # private-use characters: no chat template contains them
_SPLIT = re.compile("\ue000(.*?)\ue001")
_MAX_JUDGED = 1200  # code points of text that a judgement reads
# Tokens: signs of which each is several would else make a prompt too long for where it is read.
_MOST_OF_A_FIELD = 480
# What is shown of a conversation: turns, code points of a question and of an answer; and the most
# tokens of the whole prompt, which lies where judgements do.
_TURNS, _MAX_ASKED, _MAX_SAID = 3, 240, 400
_MAX_FOLLOWUP = 1800


@cache
def template(name: str, *fields: str) -> list[Message]:
    """The messages of ``prompts/<name>.txt`` with marks where the fields go.

    Raises:
        UsageError: The file lacks a field or names an unknown one.
    """
    text = _prompt_file(name).read_text(encoding="utf-8")
    parsed = Template(text)
    if not parsed.is_valid() or set(parsed.get_identifiers()) != set(fields):
        raise UsageError(
            f"prompts/{name}.txt must hold {sorted(fields)} and no other $ field",
            hint="write $$ for a dollar sign",
        )
    filled = parsed.substitute({field: _MARK.format(field) for field in fields})
    parts = _ROLE.split(filled)[1:]
    return [
        {"role": role, "content": content.rstrip("\n")}
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    ]


@cache
def prompts_digest(*names: str) -> str:
    """Changes with every word of these templates: 16 hexadecimal digits of a SHA-256.

    Without names it is those that answers depend on.
    """
    texts = [_prompt_file(name).read_bytes() for name in names or _OF_ANSWERS]
    return hashlib.sha256(b"\x00".join(texts)).hexdigest()[:16]


def _prompt_file(name: str) -> Path:
    """In the wheel the templates lie inside the package, in a checkout beside it."""
    packaged = Path(str(resources.files("rag"))) / "_prompts" / f"{name}.txt"
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "prompts" / f"{name}.txt"


def compose(
    question: str,
    evidence: list[Evidence],
    *,
    generator: Generator,
    answer_tokens: int,
) -> Prompt:
    """Put a question and its evidence into the template.

    Args:
        question: What is asked, acronyms expanded.
        evidence: Best first; the least goes first where the context is full.
        generator: For its chat template, tokenizer and context.
        answer_tokens: Room to leave for the answer.

    Raises:
        UsageError: The question alone does not fit.
    """
    text = generator.chat(template("answer", "evidence", "question")) + JUDGE
    before, *rest = _SPLIT.split(text)
    asked = tuple(generator.tokenize(_one_line(question), special=False))
    fixed = [tuple(generator.tokenize(part, special=True)) for part in (before, *rest[1::2])]
    room = generator.context_tokens - answer_tokens - 16 - sum(map(len, fixed)) - len(asked)
    if room < 0:
        raise UsageError(
            "the question does not fit the language model's context",
            hint="ask a shorter question, or set a larger context_tokens",
        )
    kept: list[tuple[Evidence, tuple[int, ...]]] = []
    for item in evidence:
        ids = _evidence_ids(item, generator)
        if len(ids) <= room:
            room -= len(ids)
            kept.append((item, ids))
    # The best stands next to the question.
    filled = {"evidence": [ids for _, ids in reversed(kept)], "question": [asked]}
    pieces = [fixed[0]]
    for field, after in zip(rest[::2], fixed[1:], strict=True):
        pieces += [*filled[field], after]
    return Prompt(
        pieces=tuple(pieces),
        question=question,
        evidence=tuple(item for item, _ in kept),
        dropped=len(evidence) - len(kept),
    )


def _evidence_ids(item: Evidence, generator: Generator) -> tuple[int, ...]:
    return tuple(generator.tokenize("- " + _one_line(item.shown) + "\n", special=False))


def compose_judgement(question: str, text: str, answer: str, *, generator: Generator) -> Prompt:
    """Ask whether a text states this answer to this question."""
    values = {"question": question, "text": text[:_MAX_JUDGED], "answer": answer}
    lines = {field: _one_line(value) for field, value in values.items()}
    return Prompt(_filled("judge", lines, generator), question, ())


def compose_reranking(question: str, item: Evidence, *, generator: Generator) -> Prompt:
    """Ask whether one piece of evidence by itself states what a question asks."""
    lines = {"question": _one_line(question), "text": _one_line(item.shown[:_MAX_JUDGED])}
    return Prompt(_filled("rerank", lines, generator), question, (item,))


def compose_description(question: str, begun: str, *, generator: Generator) -> Prompt:
    """Ask for the whole of a description in a question, of which the first words are given."""
    pieces = _filled("description", {"question": _one_line(question)}, generator)
    return Prompt((*pieces, tuple(generator.tokenize(begun, special=False))), question, ())


def compose_grading(question: str, reference: str, answer: str, *, generator: Generator) -> Prompt:
    """Ask whether an answer states what the reference answer states."""
    return Prompt(_filled("grade", _grading(question, reference, answer), generator), question, ())


def grading_messages(question: str, reference: str, answer: str) -> list[Message]:
    """The same as a chat, for a server that tokenises it itself."""
    lines = _grading(question, reference, answer)
    return [
        {
            "role": message["role"],
            "content": _SPLIT.sub(lambda mark: lines[mark[1]], message["content"]),
        }
        for message in template("grade", *lines)
    ]


def _grading(question: str, reference: str, answer: str) -> dict[str, str]:
    values = {"question": question, "reference": reference, "answer": answer}
    return {field: _one_line(value) for field, value in values.items()}


def compose_followup(
    question: str, history: Sequence[tuple[str, str]], *, opening: str, generator: Generator
) -> Prompt | None:
    """Ask for a question in words that are understood without what was said before it.

    Args:
        question: What is asked now.
        history: What was asked and answered, oldest first. Only the last of it is shown, each cut;
            where that is too long in tokens the oldest goes first.
        opening: The words that the rewriting begins with.
        generator: For its chat template and tokenizer.

    Returns:
        The prompt, or None where the question alone is too long.
    """
    said = [
        f"Question: {_one_line(asked)[:_MAX_ASKED]}\nAnswer: {_one_line(answer)[:_MAX_SAID]}\n"
        for asked, answer in history[-_TURNS:]
    ]
    while True:
        lines = {"history": "".join(said), "question": _one_line(question)}
        begun = tuple(generator.tokenize(_one_line(opening), special=False))
        pieces = (*_filled("followup", lines, generator, most=None), begun)
        if sum(map(len, pieces)) <= _MAX_FOLLOWUP:
            return Prompt(pieces, question, ())
        if not said:
            return None
        said = said[1:]


def _filled(
    name: str, values: dict[str, str], generator: Generator, *, most: int | None = _MOST_OF_A_FIELD
) -> tuple[tuple[int, ...], ...]:
    """The pieces of a template with untrusted text in its fields, ``most`` tokens of each."""
    before, *rest = _SPLIT.split(generator.chat(template(name, *values)))
    pieces = [tuple(generator.tokenize(before, special=True))]
    for field, after in zip(rest[::2], rest[1::2], strict=True):
        pieces.append(tuple(generator.tokenize(values[field], special=False)[:most]))
        pieces.append(tuple(generator.tokenize(after, special=True)))
    return tuple(pieces)


def _one_line(text: str) -> str:
    return " ".join(text.replace("\ue000", "").replace("\ue001", "").split())
