"""Whether a claim says of somebody what its text says of somebody else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from rag.verification.spans import Span
from rag.words import (
    PHRASE,
    STOPWORDS,
    TITLES,
    named,
    names,
    nowhere,
    open_quotation,
    passive,
    stem,
    subject,
    terms,
    tokens,
)

_LEADS_IN = 200  # code points before a quotation that may name its speaker
_OPENING_WORDS = 8  # where the subject of a sentence stands
_PLACE = re.compile(rf"\b(?:in|at|near|city of|town of) ({PHRASE.pattern})")


def unmentioned(claim: str, cited: list[Span], question: str) -> set[str]:
    """Stems of a name that nothing around the text speaks of; else nothing.

    What one program's manual says of its port is not said of another's, of which only the
    question speaks; and a small model adds the city where it thinks that something was signed.
    But a company's handbook speaks of the company where it does not name it.

    Args:
        claim: One sentence.
        cited: The texts that it rests on, the main one first.
        question: What was asked.
    """
    about, throughout = cited[0].document, cited[0].throughout
    same = (span.whole for span in cited if span.document.id == about.id)
    known = " ".join((*same, about.author, cited[0].dated))
    every = " ".join((question, *(f"{span.whole} {span.document.title}" for span in cited)))
    asked, inside = names(question), names(claim)
    for phrase, called in _called(claim, known):
        if called & asked:
            # The text may have the long form that the question gives with it.
            if not (f"({phrase})" in question or called & throughout or named(called, known)):
                return called
        elif called & inside and nowhere(called, every) == called:
            return called
    # A government may go by its seat, but nothing happens there for that.
    places = (set(terms(place)) for place in _PLACE.findall(claim))
    return next((place for place in places if not named(place, every, seats=False)), set())


_CAPITALISED = re.compile(r"\b[A-ZÀ-ÖØ-Þ][\w-]+")
_OFTEN = 3  # mentions of what a document keeps coming back to, at least
_EVERY = 1500  # code points, in which there is one on average
_READ = 100_000  # code points: more of a document would not change what it is about


def spoken_of_throughout(text: str) -> frozenset[str]:
    """Stems of the names that a document keeps coming back to, all through it."""
    text = text[:_READ]
    least = max(_OFTEN, len(text) / _EVERY)
    often = (word for word, n in Counter(_CAPITALISED.findall(text)).items() if n >= least)
    return frozenset(stem_ for word in often for stem_ in terms(word))


# Written in capitals, and as little a name as "link".
_THINGS = frozenset(
    "api cd cpu csv cv dvd faq gif gps html id jpeg pc pdf pin png ram sms tv url usb vat".split()
)


def _called(claim: str, known: str) -> Iterator[tuple[str, set[str]]]:
    """The names of a claim and their stems, without titles ("the President") and things ("a URL").

    "Belvidere, Illinois" is where Belvidere is, whoever says so: a name behind a known one is
    left out too.
    """
    before = ""
    for match in PHRASE.finditer(claim):
        phrase, called = match.group(), names(match.group(), first=True)
        behind = claim[: match.start()].endswith(f"{before}, ")
        if not (called <= TITLES | _THINGS or (behind and named(names(before, first=True), known))):
            yield phrase, called
        before = phrase


_NAMES = rf"(?P<names>{PHRASE.pattern}(?:(?:,? and |,? or |, ){PHRASE.pattern})*)"
_RELATION = re.compile(
    r"\b(?P<what>[^\W\d_]{3,}) (?P<how>of|in|with|to|from|for|by|against|on|at|into|between|over)"
    rf" (?:the |its |their )?\(?{_NAMES}"
)
_PAIR = re.compile(r"\b([A-ZÀ-ÖØ-Þ][\w.]+)[-–]([A-ZÀ-ÖØ-Þ][\w.]+)\b")


def misplaced(claim: str, cited: list[Span]) -> set[str]:
    """Stems of a name that stands where the texts have others; else nothing.

    "Its border with China" is not said by "a border with the EU", nor "sanctions against Oda" by
    "sanctions against Berg, after measures against Oda"; and a text on "the Lund-Holm road" names
    both.
    """
    texts = [" ".join(span.clean for span in cited), *(span.context for span in cited)]
    over = " ".join(span.section for span in cited)
    for name in (name for pair in _PAIR.findall(claim) for name in pair):
        # Nobody is called Jean in "Jean-Luc", and somebody is China in "Russia-China".
        by_itself = re.compile(rf"(?<![\w–-]){re.escape(name)}(?![\w–-])")
        if any(map(by_itself.search, texts)) and not named(set(terms(name)), f"{texts[0]} {over}"):
            return set(terms(name))
    shown, around_ = _relations(texts[0]), _relations(" ".join(texts))
    for relation, those in _relations(claim).items():
        called = names(" ".join(those), first=True)
        if called and relation in shown and not named(called, " ".join(around_[relation])):
            return called
    return set()


def _relations(text: str) -> dict[tuple[str, str], list[str]]:
    """What stands how to whom: a noun or verb and its preposition, to the names behind it."""
    found: dict[tuple[str, str], list[str]] = {}
    for match in _RELATION.finditer(text):
        what = match["what"].lower()
        if what not in STOPWORDS:
            found.setdefault((stem(what), match["how"]), []).append(match["names"])
    return found


_SOMEBODY = re.compile(
    r"\b(?:I|we|my|our|he|she|they|his|her|their|it|this|these"
    r"|that (?:would|will|is|was|has|had|can|could|may|might|should|meant|means))\b",
    re.I,
)
_VERB = 5  # words in which a verb stands behind its subject
_ALSO = re.compile(r"\s*,|\s+(?:and|or)\b")  # the subject goes on
_SAYING = r"(?:said|says|told|tells|added|adding|claimed|claims|argued|argues|explained|explains)"
_SPEAKER = re.compile(
    rf"(?:(?:[^\s,“”\"]+\s+){{1,4}}{_SAYING}\b|\b{_SAYING}(?:\s+[^\s,“”\"]+){{1,4}})", re.I
)


def _done_by_another(of: set[str], does: str, claim: str, text: str, known: set[str]) -> bool:
    """Whether a text opens with somebody else, who does what the claim says of its subject.

    "The EU has lifted its sanctions" is no "China lifted sanctions against officials of the EU".
    """
    other, act = subject(text, known)
    at_once, claimed = (" ".join(part.split()[:_VERB]) for part in (act, does))
    return bool(
        other
        and not named(of, text[: len(text) - len(act)])
        and not named(other, claim)
        and not _ALSO.match(act)
        and not passive(at_once)
        and not passive(claimed)
        and not _SOMEBODY.search(at_once)
        and set(terms(at_once)[:1]) & set(terms(claimed))
    )


_THAN = re.compile(
    rf"\bthan (?:(?:in|of|that|those|those of|that of) )?(?:[Tt]he |[Aa]ny )?{PHRASE.pattern}"
)


def _only_compared(of: set[str], claim: str, text: str) -> bool:
    """Whether a text names somebody only to say that another has more or less than they."""
    left = _THAN.sub("than", text)
    return named(of, text) and not named(of, left) and not re.search(r"\bthan\b", claim)


_DOES = re.compile(
    r"\b(?P<who>we|you)(?:['’](?:ll|ve|re|d))? (?:(?:may|must|can|cannot|will|would|should|shall"
    r"|might|could|have|has|are|do|don['’]t|won['’]t|not|also|only|always|never|usually|then) )*"
    r"(?P<does>[a-z]{3,})",
    re.IGNORECASE,
)


def exchanged(claim: str, text: str, question: str) -> bool:
    """Whether "you" do in a claim what "we" do in its text, or the other way round.

    Who asks "May we ...?" is the "you" of the text, and may be answered as "we".
    """
    who_asks = set(tokens(question)) & {"we", "our", "us"}
    doers: dict[str, set[str]] = {}
    for match in _DOES.finditer(text):
        doers.setdefault(stem(match["does"]), set()).add(match["who"].lower())
    return any(
        match["who"].lower() not in doers.get(stem(match["does"]), {match["who"].lower()})
        for match in _DOES.finditer(claim)
        if not (who_asks and match["who"].lower() == "we")
    )


def _quoted(span: Span) -> str:
    """What stands before the quotation that a text is in the midst of, or ""."""
    before = span.context[: max(span.context.find(span.clean), 0)]
    opened = open_quotation(before)
    return before[max(opened - _LEADS_IN, 0) : opened] if opened >= 0 else ""


def _done(of: set[str], does: str, texts: list[Span]) -> bool:
    """Whether a text names somebody, and what a claim says that they do."""
    act = set(terms(does)[:1])
    return any(named(of, span.clean) and act & set(terms(span.clean)) for span in texts)


def stranger(claim: str, cited: list[Span], question: str) -> set[str]:
    """Whom the claim speaks of, where the text it mainly rests on speaks of others; else nothing.

    A question gives a name, and a small model says of it what the sources say of somebody else. A
    text that opens with another name, or quotes another speaker, is about that one; what opens
    with none ("He said ...", "I promised ...") may be about anybody; what an author writes is the
    author's, and a file may go by the name of whom it is about ("minneapolis-budget.md").
    """
    main = cited[0]
    texts = [span.clean for span in cited]
    asked = names(question, first=True)
    known = asked | names(" x ".join(["", *texts, *(s.context for s in cited)]))
    of, does = subject(claim, known)
    of -= TITLES
    if of and not passive(does) and _only_compared(of, claim, main.clean):
        return of
    if of and _done_by_another(of, does, claim, main.clean, known):
        return of
    if not of or named(of, f"{main.clean} {main.document.author} {main.document.file}"):
        return set()
    if not of & asked and _done(of, does, cited[1:]):
        return set()  # an answer that another of the texts gives
    opening = " ".join(main.clean.split()[:_OPENING_WORDS])
    told_of = " x ".join([opening, *_SPEAKER.findall(main.clean)])
    speaker = _quoted(main)
    if speaker and (named(of, speaker) or _SOMEBODY.search(speaker)):
        return set()
    if _SOMEBODY.search(told_of):
        return set()
    # A word that the claim writes small is no name: "Production of data: $20 an account".
    plain = set(terms(" ".join(re.findall(r"\b[^\W\d_A-Z][\w’'-]*", claim))))
    others = (names(told_of, first=True) & known) - plain
    if does.startswith(("'", "’")) and named(of, main.context):
        # "The deficit in favour of Beijing" is "the EU's deficit with China".
        others = {other for other in others if not named({other}, claim)}
    return of if others else set()
