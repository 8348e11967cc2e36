"""A follow-up to a question that is understood alone: "And Lithuania?" is searched as it is meant.

A question that does not lean on what was said is left as it is. One that does is rewritten by the
language model, and the rewriting is checked in code: it may only bring words, names and numbers
that were said, and must keep those of the follow-up. Where it fails, or there is no model, simple
rules put the follow-up and the question before it together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answers.compose import compose_followup
from rag.answers.leaning import WORD, bare, leans, vague
from rag.records import Generator
from rag.words import NEGATIONS, STOPWORDS, YEAR, capital, content, figures, stem, tokens

_MOST_TOKENS = 64  # a rewriting
_MOST_WORDS = 45
_LONGEST = 600  # code points; what is longer brings its own background
_ALIKE = 5  # letters that tell a word from another: "Russia", "Russian"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was asked and answered.

    Attributes:
        question: As it is understood alone.
        answer: What was said to it, without labels; "" where the documents do not answer.
    """

    question: str
    answer: str


def standalone(question: str, history: Sequence[Exchange], *, generator: Generator) -> str:
    """The question as it is understood without the conversation; itself where it is already.

    Args:
        question: As the person asked it.
        history: What was said before, oldest first.
        generator: Rewrites what leans on the history.
    """
    if not history or len(question) > _LONGEST or not leans(question):
        return question
    alone = _FRAGMENT.sub("", bare(question))
    if first := _FIRST_WHO.fullmatch(alone):
        alone = f"{first['asks']} {first['who']}{first['rest']}"
        question = f"{capital(alone)}?"
    if _is_question(alone) and _named(alone) and not leans(alone):
        return f"{capital(alone)}?"  # "And what does France want?"
    if _TOPIC.fullmatch(alone) and not _POINTERS.search(alone):
        return f"What is said about {alone}?"
    opening, banned = begun(question, history[-1].question)
    openings = [opening]
    if opening and banned == _ABOUT:
        # Where it only copies the question before, what is asked about comes first.
        openings.append(f"{opening} {alone}")
    said = [(e.question, e.answer or "not stated") for e in history]
    for words in openings:
        prompt = compose_followup(question, said, opening=words, generator=generator)
        if not prompt:
            break
        rest = generator.complete(prompt, max_tokens=_MOST_TOKENS, without=banned)
        written = f"{' '.join(f'{words}{rest}'.split()).rstrip(' .?')}?"
        if opening and rest.lstrip()[:1].isdigit() and banned != _ABOUT:
            break  # a number that was answered is not what "that" stands for
        if rest and faithful(written, question, history):
            # What is left vague is searched together with the question before.
            return by_rule(written, history[-1]) if vague(written) else written
    return by_rule(question, history[-1])


# -- the model's rewriting ----------------------------------------------------------------------

_AUX = r"(?:do|does|did|has|have|had|is|are|was|were|can|could|will|would|should|may|might|must)"
_FRAGMENT = re.compile(
    r"^(?:(?:and|but|or|so|then|also|plus)\b,?\s*)*(?:(?:what about|how about|what of)\s+)?",
    re.IGNORECASE,
)
# "What about Lithuania and the 17+1 format?" is a topic of its own: what was asked of one thing is
# not asked of how two of different kinds stand to each other.
_TOPIC = re.compile(r"(?:[Tt]he )?[A-Z][^,?]{1,80} and the [a-z0-9][^,?]{2,80}")
_POINTERS = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|there|this|these|those|that|then|one|ones)\b",
    re.IGNORECASE,
)
_SAID_THAT = re.compile(
    r"\b(?P<verb>says?|said|claims?|claimed|thinks?|wrote) (?:that|this|so)$", re.IGNORECASE
)


_ASKS = re.compile(
    r"\b(who|whom|whose|when|where|why|how many|how much|how long|how|which|what)\b", re.IGNORECASE
)
_QUESTION = re.compile(rf"^(?:(?:\w+ )?{_ASKS.pattern}|{_AUX}\b)", re.IGNORECASE)
# A question up to its first auxiliary, or its first word.
_OPENING = re.compile(rf"^(?:[^\s?]+ ){{0,9}}?{_AUX}\b|^(?:\w+ )?{_ASKS.pattern}", re.IGNORECASE)
_ABOUT = ("about",)
_CUT = 4  # words of a question that is cut short: "By how much?"
_TIME = re.compile(r"\b(?:when|year|date|day|month|time|long)\b", re.IGNORECASE)
# What may be said of anything, and what a follow-up says in place of the thing itself.
_GLUE = frozenset(map(stem, "say happen regard concern respect relate take place occur".split()))
_STANDS_FOR = frozenset(
    map(
        stem,
        "one thing case other else latter former way matter point country side person man woman"
        " happen time year day reason result outcome".split(),
    )
)
# "And Germany, what did it do?" asks what Germany did.
_FIRST_WHO = re.compile(
    r"(?P<who>(?:[Tt]he )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*),"
    rf" (?P<asks>{_ASKS.pattern} (?:\w+ ){{0,3}}?{_AUX})"
    r" (?:it|he|she|they)\b(?P<rest>.*)"
)


def begun(question: str, before: str) -> tuple[str, tuple[str, ...]]:
    """How a rewriting must begin, and the words that it may not have.

    A small model likes to copy a follow-up as it is. So what it says before its first pronoun is
    given, and the pronouns that it has are forbidden; "What about X?" begins as the question before
    it does.
    """
    text = bare(question)
    about = _FRAGMENT.sub("", text)
    if not _is_question(about):
        opening = _OPENING.match(_topic(before))
        return (capital(opening.group()) if opening else ""), _ABOUT
    found = _POINTERS.search(about)
    if not found or _SAID_THAT.search(about):
        return (capital(about) if len(about.split()) <= _CUT else ""), ()
    banned = {m.group().lower() for m in _POINTERS.finditer(about)}
    return capital(about[: found.start()].strip()), tuple(sorted(banned))


def _is_question(text: str) -> bool:
    return bool(_QUESTION.match(text))


def faithful(written: str, question: str, history: Sequence[Exchange]) -> bool:
    """Whether a rewriting says what a follow-up asks, and nothing that nobody said.

    Args:
        written: The rewriting.
        question: The follow-up.
        history: What was said before it.
    """
    said = " ".join([question, *(f"{e.question} {e.answer}" for e in history)])
    if not written or len(written.split()) > _MOST_WORDS or _repeats(written, said):
        return False
    if _same(written, question) or any(_same(written, e.question) for e in history):
        return False
    new, asked, known = content(written), content(question), content(said)
    if not new or not figures(written) <= figures(said):
        return False
    beginnings = {word[:_ALIKE] for word in known}
    if any(word not in known | _GLUE and word[:_ALIKE] not in beginnings for word in new):
        return False
    if not figures(question) <= figures(written):
        return False
    kept = asked - _STANDS_FOR
    lost = {word for word in kept if word[:_ALIKE] not in {other[:_ALIKE] for other in new}}
    if 2 * len(lost) > len(kept) or any(stem(w.lower()) in lost for w in _named(bare(question))):
        return False
    if _POINTERS.search(bare(question)) and not new - asked:
        return False  # a pronoun was left out, and nothing put in its place
    negates = {word for word in tokens(written) if word in NEGATIONS}
    return negates <= set(tokens(said)) and _asks_the_same(written, question)


def _repeats(written: str, said: str) -> bool:
    """Whether it says twice what was never said twice: "the country brought the country"."""
    once = Counter(word for word in tokens(written) if word not in STOPWORDS)
    known = Counter(tokens(said))
    return any(count > max(1, known[word]) for word, count in once.items())


def _same(one: str, other: str) -> bool:
    return WORD.findall(one.lower()) == WORD.findall(other.lower())


def _named(text: str) -> list[str]:
    """Words with a capital, the first one left out."""
    return [word for word in WORD.findall(text)[1:] if word[0].isupper()]


def _asks_the_same(written: str, question: str) -> bool:
    """Whether both ask who, or when, or why: a rewriting is no other question."""
    asked = _ASKS.search(_FRAGMENT.sub("", question))
    if not asked:
        return True
    kind = asked.group(1).lower()
    if kind in ("who", "whom", "whose"):
        return bool(re.search(r"\b(?:who|whom|whose|which|what)\b", written, re.IGNORECASE))
    if kind == "when" or (kind in ("which", "what") and _TIME.search(question)):
        return bool(_TIME.search(written))
    if kind in ("which", "what"):
        return bool(_ASKS.search(written))
    return bool(re.search(rf"\b{kind}\b", written, re.IGNORECASE))


# -- without a model ----------------------------------------------------------------------------

_NAME = re.compile(
    r"(?:\b[Tt]he |(?:\b(?:von|van|de|der|la) )+)?(?<![\w-])[A-Z][\w.-]*"
    r"(?:(?: (?:of|for|on|de|von|van|der|la|du))? [A-Z][\w.-]*)*"
)
_SUBJECT = re.compile(rf"\b{_AUX} (?P<name>{_NAME.pattern})")
_PLAIN = 6  # words of a question in which a pronoun most likely is what the last one was about
_TOO = re.compile(r"\s+(?:too|as well|either|also|then)$", re.IGNORECASE)
_SWAPPED = re.compile(r"^(?:why|when|where|how)$", re.IGNORECASE)
_LEADING = re.compile(rf"^(?:why|when|where|how)(?= {_AUX}\b)", re.IGNORECASE)
_YEAR = re.compile(rf"\b{YEAR}\b")
_IN = re.compile(r"^(?:in|on|by|since|during|for|from|with|against|to|at)\s+", re.IGNORECASE)
_WRAPPED = re.compile(r'^Regarding (?:"(?P<topic>[^"]+)": |[^:"]{1,80}: (?P<rest>.+)$)')
_ADJECTIVE = re.compile(r"(?:ese|ish|ian|ean|ch|ican)$")
_PRONOUN = re.compile(
    r"\b(?:(?P<owner>its|their)|it|they|them)\b",
    re.IGNORECASE,
)


def by_rule(question: str, before: Exchange) -> str:
    """The follow-up and the question before it in one, by rules alone.

    Args:
        question: The follow-up.
        before: The question before it, and its answer.
    """
    topic = _topic(before.question)
    about = _TOO.sub("", _FRAGMENT.sub("", bare(question))).strip()
    if before.answer and (said := _SAID_THAT.search(about)):
        return f"{capital(about[: said.start()])}{said['verb']} that {before.answer.rstrip(' .')}?"
    if _SWAPPED.match(about) and _LEADING.match(topic):
        return f"{_LEADING.sub(about.capitalize(), topic)}?"
    if not _is_question(about) and not re.search(rf", {_ASKS.pattern}", about):
        return _with(about, topic) or f"Regarding {about}: {_lower(topic)}?"
    names, pronouns = _names(topic), list(_PRONOUN.finditer(about))
    if len(names) == len(pronouns) == 1 and len(about.split()) <= _PLAIN:
        found, name = pronouns[0], names[0]
        if found["owner"]:
            name += "'" if name.endswith("s") else "'s"
        return f"{capital(about[: found.start()] + name + about[found.end() :])}?"
    return f'Regarding "{_lower(topic)}": {_lower(about)}?'


def quotes(understood: str) -> tuple[str, str] | None:
    """The question before that rules have quoted, and the follow-up; None where they have not."""
    wrapped = _WRAPPED.match(understood)
    return (wrapped["topic"], understood[wrapped.end() :]) if wrapped and wrapped["topic"] else None


def _topic(question: str) -> str:
    """What a question is about that rules have put together: never one within another."""
    text = bare(question)
    wrapped = _WRAPPED.match(text)
    return (wrapped["topic"] or wrapped["rest"]) if wrapped else text


def _with(about: str, earlier: str) -> str:
    """The earlier question with another thing of the same kind; "" where that is unclear."""
    names = _names(earlier)
    thing = _IN.sub("", about)
    if _YEAR.fullmatch(thing):
        years = _YEAR.findall(earlier)
        if len(years) == 1:
            return f"{capital(_YEAR.sub(thing, earlier))}?"
        return "" if years else f"{capital(earlier)} {about if thing != about else f'in {thing}'}?"
    if not _NAME.fullmatch(thing):
        return ""
    subject = _SUBJECT.search(earlier)
    old = names[0] if len(names) == 1 else subject["name"] if subject and thing == about else ""
    if _is_acronym(old) != _is_acronym(thing):
        return ""  # no thing of its kind: a treaty, and a country
    return f"{capital(earlier.replace(old, thing, 1))}?" if old else ""


def _is_acronym(name: str) -> bool:
    return bool(re.search(r"(?:^|\s)[A-Z]{3,}$", name))


def _names(text: str) -> list[str]:
    """Runs of capitalised words, each once; the word that opens the question is none."""
    found = [m.group() for m in _NAME.finditer(text) if m.start() or len(m.group().split()) > 1]
    return [
        name
        for name in dict.fromkeys(found)
        if not _ASKS.match(name) and not _ADJECTIVE.search(name)
    ]


def _lower(text: str) -> str:
    """With a small first letter where the first word is no name."""
    opens = _ASKS.match(text) or re.match(rf"{_AUX}\b", text, re.IGNORECASE)
    return text[:1].lower() + text[1:] if opens else text
