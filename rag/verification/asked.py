"""Whether what was found is what was asked: of that kind, of that one, of that time."""

from __future__ import annotations

import re

from rag.verification.hops import described_by
from rag.verification.spans import Span
from rag.words import MONTHS, PHRASE, YEAR, named, names, numbers, passive, subject, terms

_QUANTITY = re.compile(
    r"\bhow (?:many|much)\b|\b(?:what|which) (?:number|percentage|share|rate|price|amount"
    r"|proportion|sum|total)\b"
    r"|\b(?:what|which) (?:[\w-]+ ){1,2}(?:percentage|rate|price|amount)"
    r"(?= (?:did|do|does|has|have|had|is|are|was|were|will|would|can|could|of|for|per)\b|[?,]|$)",
    re.IGNORECASE,
)
# "Extensive" is no answer to how high something is, "until they agree" one to how long it lasts.
_MEASURE = re.compile(
    r"\bhow (?:long|high|large|big|tall|old|wide|heavy|often|soon|quickly"
    r"|far (?:ahead|away|apart|in advance|from|before))\b(?! an?\b)"
    r"|\bwhat (?:age|height|size|distance)\b",
    re.IGNORECASE,
)
_MEASURED = re.compile(
    r"\b(?:(?:hour|minute|second|generation|season|term)s?|hourly|daily|nightly|weekly|fortnight"
    r"|monthly|quarterly|yearly|annual(?:ly)?|annum|every|each|always|never|forever|indefinitely"
    r"|permanent(?:ly)?|immediately|at once|until|till|while|than|as \w+ as|regularly|rarely"
    r"|seldom|times?)\b",
    re.IGNORECASE,
)
_HOW_LONG = re.compile(r"\bhow long\b", re.IGNORECASE)
_SINCE = re.compile(r"\b(?:since|from|until|till|to|through|between|by|after|before)\b")
_VAGUE = re.compile(
    r"\b(?:half|third|quarter|tenth|dozens?|doubled?|tripled?|twice|thrice|none|no)\b", re.I
)
_MONTH = rf"(?:{'|'.join(map(str.capitalize, MONTHS))})\b"
_DATE = re.compile(
    rf"\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}|\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b"
    rf"|\b(?:[Ii]n|[Ss]ince|[Uu]ntil|[Dd]uring) {YEAR}"
    r"(?=[^\w\s]|$| (?:and|as|at|but|by|for|from|of|on|the|to|when|with)\b)"
)
_DURATION = re.compile(r"\b(?:years?|months?|weeks?|days?|decades?|centur\w+|old)\b", re.IGNORECASE)

# Where a question may begin.
_ASKED = r"(?:^|, |\band | [-–] )(?:(?:in|on|by|since|until|to|for|of|with) )?"
_TIME = re.compile(
    rf"{_ASKED}(?:when\b|(?:what|which) (?:time|year|month|day|date|century|decade)\b)",
    re.IGNORECASE,
)
# "When may we ...?" is answered by a condition as well.
_WHEN_MAY = re.compile(
    r"\bwhen\b(?:, if ever,)? (?:can|could|may|might|must|should|shall|(?:is|are|am) [\w ]{1,30}"
    r"(?:allowed|permitted|required|obliged)|(?:do|does) [\w ]{1,30}(?:have|need) to)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(?:if|unless|only|when|whenever|where|provided|except|as long as)\b", re.IGNORECASE
)
_TIME_WORD = re.compile(
    r"\b\d{3,4}s?\b|\b\d{1,2}(?:[:.]\d{2}|st|nd|rd|th)\b"
    r"|\b\d{1,2} ?[ap]\.?m\b"
    r"|\b(?:jan|feb|mar(?:ch|\b)|apr|may\b|june?\b|july?\b|aug|sep|oct|nov|dec|mon|tues|wednes"
    r"|thurs|fri|satur|sun)\w*|\b(?:year|month|week|day|century|decade|ago|today|yesterday|tomorrow"
    r"|after|before|during|since|until|once)s?\b",
    re.IGNORECASE,
)
_LASTING = re.compile(r"\b\w+-(?:minute|hour|day|week|month|year)\b")  # a "64-day" thing
_WHEN = re.compile(r"\bwhen \w+", re.IGNORECASE)  # "when the bridge was closed"
_NAME_OF = re.compile(r"\bwhat (?:is|was|are|were) the names? of\b", re.IGNORECASE)
_NAME = re.compile(
    rf"{_ASKED}(?:(?:who|whose|whom)\b|(?:which|what) (?:city|country|countries|person|people"
    rf"|leaders?|company|organi[sz]ation|group)\b|{_NAME_OF.pattern})",
    re.IGNORECASE,
)
# Nor has everything a name with a capital: "The teacher is known as a guru".
_CALLED = re.compile(
    r"\b(?:(?:called|named|termed|dubbed|known as)(?: an?| the)?|(?:is|are|was|were) an?)"
    r" [\"“‘']?(?P<called>[^\W\d_]+)"
)
# What is dialled or written to has signs of its own; what one signs in with may be "your own".
_TO = (
    r"(?: (?:of|for)\b"
    r"|[^.;?!]{1,60}\b(?:call|contact|dial|email|mail|phone|reach|ring|send|write)\b)"
)
_REACHED = tuple(
    (re.compile(rf"\b(?:what|which) (?:[\w-]+ ){{0,2}}{thing}{_TO}", re.IGNORECASE), sign, kind)
    for thing, sign, kind in (
        (r"(?:(?:tele)?phone|fax|mobile|cell|hotline) numbers?", re.compile(r"\d{2}"), "number"),
        (r"e-?mail address(?:es)?", re.compile(r"\S@\S"), "address"),
    )
)
# "Did he say how much they pay?" asks whether he said it; "Can you tell me how much?" asks that.
_WHETHER = re.compile(
    r"(?:and |but |so )?(?:is|are|was|were|do|does|did|has|have|had|will|would|should|may|might"
    r"|must|(?:can|could)(?! (?:you|anybody|anyone|somebody|someone)\b))\b",
    re.IGNORECASE,
)
# Of a case of one's own a role decides ("your supervisor"), or an address to write to.
_OWN = re.compile(r"\b(?:I|[Ww]e|[Mm]y|[Oo]ur|me|us)\b")
_MODAL = frozenset({"must", "may", "need"})
_REPLY = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:how|what) (?:did|does|do|has|have|had|will|would) (?P<one>[^?,]{2,80}?)"
        r" (?:respond|react|repl(?:y|ie)|answer|retaliate)(?:s|d|ed)?\b(?P<other>.*)",
        r"\bwhat (?:was|were|is) (?P<one>[^?,]{2,80}?)['’]s? (?:answer|reaction|reply"
        r"|response)\b(?P<other>.*)",
    )
)
_OF = re.compile(r"\s(?:to|of|in|for|at|on|from|with)\s")
_WHEN_DONE = re.compile(rf"\bwhen (?:the )?({PHRASE.pattern})")
_ABOUT = re.compile(r"\b(?:when|whether|if|that|about|on|over|regarding)\b")


def out_of_kind(question: str, claim: str) -> str:
    """Why a claim cannot be what was asked for, or "".

    A question for a quantity is not answered without a number, one for a time not without a time,
    one for a measure ("How high?") not without any of them, one for a name not without a name,
    beside those that the question itself gives, unless it is about a case of the asker's own, one
    for a telephone number or an e-mail address not without one; and how one replied to another is
    not answered by what that other did. Whether something is so has no such kind.
    """
    if _of_the_other(question, claim):
        return "it says what the other did, and a reply to it was asked for"
    if _WHETHER.match(question):
        return ""
    for asks, sign, what in _REACHED:
        if asks.search(question):
            return "" if sign.search(claim) else f"it gives no {what}, and one was asked for"
    if _QUANTITY.search(question):
        # A date is none, but it may say how long something took.
        told = claim if _DURATION.search(question) else _DATE.sub(" ", claim)
        counted = _VAGUE.search(told) or numbers(told) - numbers(question)
        return "" if counted else "it gives no number, and one was asked for"
    if _MEASURE.search(question):
        kinds = (_DURATION, _MEASURED, _VAGUE, _TIME_WORD)
        # When something was tells not how long it took; from when, or until when, may.
        only_when = _HOW_LONG.search(question) and not _SINCE.search(claim)
        told = _DATE.sub(" ", claim) if only_when and len(_DATE.findall(claim)) == 1 else claim
        measured = numbers(told) - numbers(question) or any(kind.search(told) for kind in kinds)
        return "" if measured else "it gives no measure, and one was asked for"
    if _TIME.search(question):
        told = _LASTING.sub(" ", claim)
        new = " ".join(word for word in told.split() if word not in question.split())
        given = _TIME_WORD.search(new) or _WHEN.search(new)
        given = given or (_WHEN_MAY.search(question) and _CONDITION.search(new))
        return "" if given else "it gives no time, and one was asked for"
    if _NAME.search(question):
        # "The Data Protection Officer is the DPO" names nobody.
        initials = "".join(re.findall(r"\b[A-Z]", question)).lower()
        new_names = {name for name in names(claim, first=True) if name not in initials}
        if _NAME_OF.search(question):
            new_names |= {t for m in _CALLED.finditer(claim) for t in terms(m["called"])}
        if _OWN.search(question):
            new_names |= {t for t in terms(claim) if t not in _MODAL}
        new_names = {name for name in new_names if not named({name}, question, seats=False)}
        return "" if new_names else "it gives no name, and one was asked for"
    return ""


def _of_the_other(question: str, claim: str) -> bool:
    """Whether a claim speaks of what the one did to whom another was to reply."""
    asked = next(filter(None, (reply.search(question) for reply in _REPLY)), None)
    if not asked:
        return False
    one, did = subject(claim, names(claim, first=True))
    replying = " ".join(names(_OF.split(asked["one"])[0], first=True))
    other = " ".join((_ABOUT.split(asked["other"])[0], *_WHEN_DONE.findall(asked["other"])))
    if not one or not replying or not named(one, other) or named(one, replying):
        return False
    # "Chinese sanctions led to ...", "China was hit with ...", "China's plan ..." may be the reply.
    same_thing = set(terms(did)[:1]) & set(terms(other))
    return not (same_thing or passive(did) or did.startswith(("'", "’")))


def of_another(question: str, cited: tuple[Span, ...]) -> str:
    """Why texts cannot be about the one whom a question describes, or "".

    "The city where WILM is licensed" is not answered by a passage that never speaks of WILM.
    """
    described = described_by(question)
    known = " ".join(f"{s.clean} {s.context} {s.dated}" for s in cited)
    if not described or named(described, known):
        return ""
    return f"the cited text does not speak of {', '.join(sorted(described))}"


def of_another_time(question: str, claim: str, cited: tuple[Span, ...]) -> str:
    """Why texts that lack the time a question gives cannot be about what it asks, or "".

    Where a claim loses that time, what else it takes from the question must stand in the texts:
    "ratified in 2022" is nothing that a text on the signing in 2020 answers.
    """
    taken = set(terms(claim)) & set(terms(question))
    known = " ".join(f"{s.clean} {s.document.title}" for s in cited)
    missing = {term for term in taken if not named({term}, known)}
    return "the cited text speaks of another time" if 3 * len(missing) > len(taken) else ""


_IN_YEAR = re.compile(rf"\b(?:in|for|of|during|by the end of) (?:[A-Z]\w+ )?({YEAR})\b")
_YEAR = re.compile(rf"\b{YEAR}\b")


def of_another_year(question: str, cited: tuple[Span, ...]) -> str:
    """Why texts that are of another year than a question asks for cannot answer it, or "".

    What has no year of its own may be of any; one that stands around it will do.
    """
    asked = set(_IN_YEAR.findall(question))
    said = set(_YEAR.findall(cited[0].clean)) if cited else set()
    if not asked or not said:
        return ""
    whole = " ".join(f"{s.whole} {s.document.title} {s.document.date}" for s in cited)
    return "" if asked & set(_YEAR.findall(whole)) else "the cited text is of another year"
