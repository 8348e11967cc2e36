"""What counts as a word, a number and a name: one analyser for every stage."""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from functools import lru_cache
from typing import Any

# Function words only: words that carry no content whichever question is asked.
STOPWORDS = frozenset(
    "a about above after again against all also am an and any are aren't as at be because been "
    "before being below between both but by can cannot could did do does doing down during each "
    "few for from further had has have having he her here hers herself him himself his how i if "
    "in into is it its itself just let me more most my myself no nor not of off on once only or "
    "other our ours ourselves out over own s same she should so some such t than that the their "
    "theirs them themselves then there these they this those through to too under until up us "
    "very was we were what when where which while who whom whose why will with would you your "
    "yours yourself yourselves".split()
)
_NUMERO = re.compile(r"\bno\.\s*(?=\d)", re.IGNORECASE)
NEGATIONS = frozenset(
    "no not never none nothing nobody neither nor cannot without refuse refused refuses refusing "
    "reject rejected rejects deny denied denies fail failed fails unable hardly non "
    "refrain refrained refraining prevent prevents avoid avoids prohibit forbid lack lacks "
    "stop".split()
)

_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]+|\d+\.\d+|[^\W_{_CJK}]+(?:['’][^\W\d_]+)?", re.UNICODE)
_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # 2,257
_CJK_RUN = re.compile(rf"[{_CJK}]+")
_APOSTROPHE = re.compile(r"['’].*$")
_DOTTED = re.compile(r"\b(?:[^\W\d_]\.){2,}")  # U.S., e.g.
NUMBER = r"\d+(?:[.,]\d+)*"  # a pattern: digits as they are grouped and pointed
_NUMBER = re.compile(NUMBER)
_FRACTIONS = {"¼": ".25", "½": ".5", "¾": ".75"}
_FRACTION = re.compile(r"(?<=\d)[¼½¾]")
_RAISED = re.compile(r"(?<=\d)[⁰¹²³⁴-⁹]+")
_NARROW = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")  # 2 257 in one piece
# bzip2, under-17, 2FA; but 10GB, 5PM, 10KM and 5M are quantities.
_UNIT = r"(?:[KMGT]B|[AP]M|K[MGW]|[CM]M|MW|[KMB])\b"
_CODE = re.compile(rf"\b(?:[^\W\d_]+(?:\d+|-\d{{1,3}})|\d{{1,2}}(?!{_UNIT})[A-Z]{{1,3}})\b")
_WITHOUT = re.compile(r"\bwithout (?:(?:an?|the|any) )?[^\W\d_]+(?:-[^\W\d_]+)*", re.IGNORECASE)
_CONTRACTED = re.compile(r"n['’]t")
_ADVERB = re.compile(r"\w{3,}ly")  # "did not formally ratify"
_LEFT_UNDONE = re.compile(
    r"\b(?:refus|fail|declin)(?:e|es|ed|s|ing)? to\b|\bno longer\b", re.IGNORECASE
)
# "It wasn't until 1958 that the plan was approved": then it was.
_NOT_UNTIL = re.compile(
    r"\bit (?:was|is)(?: not|n['’]t) until\b(?=[^.;?!]{1,200}\bthat\b)", re.IGNORECASE
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
# "Rajendra K. Pachauri", "Dr. Oda": no sentence ends there.
_NO_END = re.compile(
    r"(?<!\w)(?:[A-ZÀ-ÖØ-Þ]|Mrs?|Ms|Dr|Prof|St|Sen|Gov|Gen|Rep|Lt|Col|Sgt|Capt|Rev|Hon)\.$"
)
_LONGEST = 6  # code points of these, and one before
_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_]*[A-ZÀ-ÖØ-Þ][^\W\d_]+\d*|[A-Z]{2,}\d*")
_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70",
     "eighty": "80", "ninety": "90", "hundred": "100"}  # fmt: skip
_ORDINALS = {
    word: str(value)
    for value, word in enumerate(
        "third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 3
    )
}
_ORDINAL = re.compile(rf"\b(?:{'|'.join(_ORDINALS)})\b")
_SCALES = {"hundred": 100, "thousand": 1000}
_TENS = "|".join(word for word in _NUMBER_WORDS if word.endswith("ty"))
_BELOW_TWENTY = "|".join(word for word, value in _NUMBER_WORDS.items() if int(value) < 20)
_SCALE = "|".join(_SCALES)
_IN_WORDS = re.compile(  # twenty-five, two hundred thousand; not the thousand of "5 thousand"
    rf"\b(?:(?P<counted>(?:{_TENS})(?:[- ](?:{_BELOW_TWENTY}))?|{_BELOW_TWENTY})"
    rf"|(?<!\d )(?=(?:{_SCALE})\b))(?P<scales>(?:[- ]?\b(?:{_SCALE}))*)\b"
)
_LETTERS = re.compile(r"[a-z]+")

# "Bank of Ireland", "Made Tech": capitalised words that make one name.
PHRASE = re.compile(
    r"[A-ZÀ-ÖØ-Þ][\w’'&.-]*(?:(?: (?:of|the|de|du|von|van|der|al))* [A-ZÀ-ÖØ-Þ][\w’'&.-]*)*"
)
MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sept sep", "october oct", "november nov", "december dec"), 1
    )
    for name in names.split()
}  # fmt: skip
YEAR = r"(?:1[5-9]|20)\d\d"  # a pattern: what is likely to be one
_DAY = re.compile(rf"(?<!\d){YEAR}[-_.](?P<month>\d\d)(?!\d)")  # 2019-05, 2019-05-02


def months(text: str) -> list[str]:
    """The names of the months of a text's dates in figures."""
    found = {int(match["month"]) for match in _DAY.finditer(text)}
    return [name for name, number in MONTHS.items() if number in found]


_stemmers = threading.local()  # a stemmer works on its own fields: two threads would mix words


def _stemmer() -> Any:
    if not hasattr(_stemmers, "english"):
        import snowballstemmer

        _stemmers.english = snowballstemmer.stemmer("english")
    return _stemmers.english


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The Snowball (Porter 2) stem of a lower-case word."""
    return str(_stemmer().stemWord(word))


def tokens(text: str) -> list[str]:
    """Lower-case words in order; runs of Chinese, Japanese or Korean as overlapping bigrams.

    Dotted initials lose their dots, ``US`` becomes ``usa`` (the stop word "us" is not the
    country), and numbers have one spelling: ``2,257`` is ``2257`` and ``seven`` is ``7``.
    """
    text = unicodedata.normalize("NFKC", text)
    text = _DOTTED.sub(lambda match: match.group().replace(".", ""), _COMMA.sub("", text))
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if _CJK_RUN.fullmatch(word):
            found += [word] if len(word) == 1 else [word[i : i + 2] for i in range(len(word) - 1)]
        elif word == "US":
            found.append("usa")
        else:
            word = _APOSTROPHE.sub("", word).lower()
            found.append(_NUMBER_WORDS.get(word, word) if word != "one" else word)
    return found


def has_word(text: str) -> bool:
    """Whether there is a letter or a digit in it, of whatever script."""
    return any(character.isalnum() for character in text)


def terms(text: str) -> list[str]:
    """Stems of the content words, in order, repeats kept."""
    return [stem(word) for word in tokens(text) if word not in STOPWORDS]


def numbers(text: str) -> set[str]:
    """The numbers in a text in one spelling: ``2,257`` and ``2257`` agree, ``seven`` is ``7``.

    ``twenty-five`` is ``25``, ``two hundred thousand`` is ``200000``, ``2½`` is ``2.5``, ``third``
    is ``3``, and what is raised behind a number is a note or a power, not part of it.
    """
    text = _RAISED.sub(" ", _FRACTION.sub(lambda match: _FRACTIONS[match.group()], text))
    text = unicodedata.normalize("NFKC", _NARROW.sub("", text))
    lowered = text.lower()
    in_words = {str(_in_words(match)) for match in _IN_WORDS.finditer(lowered)}
    ordinals = {_ORDINALS[word] for word in _ORDINAL.findall(lowered)}
    return set(map(spelled, _NUMBER.findall(text))) | in_words | ordinals


def _in_words(match: re.Match[str]) -> int:
    """The value of a number in words."""
    counted = _LETTERS.findall(match["counted"] or "one")  # "a hundred"
    value = sum(int(_NUMBER_WORDS[word]) for word in counted)
    return value * math.prod(_SCALES[word] for word in _LETTERS.findall(match["scales"]))


def spelled(number: str) -> str:
    """One number in one spelling: ``2,257`` is ``2257``, ``2,5`` is ``2.5``."""
    return number.replace(",", "" if _THOUSANDS.fullmatch(number) else ".")


def open_quotation(text: str) -> int:
    """Where the quotation begins that a text does not close; -1 where there is none."""
    opened = -1
    for at, character in enumerate(text):
        if character == "“":
            opened = at
        elif character == "”":
            opened = -1
        elif character == '"':
            opened = at if opened < 0 else -1
    return opened


_SMALL = {"1", "2"}  # "the two sides" is grammar, not a figure


def figures(text: str) -> set[str]:
    """The numbers that a claim must not invent, in digits or in words from three up."""
    digits = numbers(re.sub(r"[^\W\d_]+", " ", text))
    return digits | (numbers(text) - _SMALL)


def without_codes(text: str, question: str) -> str:
    """Without the names with digits in them that a question gives: ``bzip2``, ``under-17``."""
    given = {code.lower() for code in _CODE.findall(question)}
    return _CODE.sub(lambda match: "" if match.group().lower() in given else match.group(), text)


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def names(text: str, *, first: bool = False) -> set[str]:
    """Stems of capitalised words that do not merely open a sentence: people, places, bodies.

    With ``first`` the word that opens the text counts too: it is not the whole of a sentence.
    """
    found: set[str] = set()
    text = _DOTTED.sub(lambda m: m.group().replace(".", ""), seated(text))
    for match in _NAME.finditer(text):
        before = text[: match.start()].rstrip("\"'“”‘’([ ")
        ends = before.endswith((".", "!", "?", ":")) and not _NO_END.search(before[-_LONGEST:])
        opens = ends if before else not first
        word = match.group()
        if word.lower() in STOPWORDS and word != "US":
            continue
        if opens and not word[1:].isupper():
            continue
        found.update(terms(word))
    return found


def denied(text: str) -> list[str]:
    """Stems of what a text says is not so: the content word after each "not", repeats kept."""
    found: list[str] = []
    waiting = False
    for word in tokens(_denials_apart(text)):
        if word in ("not", "never", "cannot"):
            waiting = True
        elif waiting and word in ("only", "just", "yet", "necessarily", "fully", "entirely"):
            waiting = False
        elif waiting and word not in STOPWORDS and not _ADVERB.fullmatch(word):
            found.append(stem(word))
            waiting = False
    return found


def negated(text: str, question: str = "") -> bool:
    """Whether the text contains a word of negation.

    "No. 12" is none, nor "it was not until May that", nor "without a banner" where that is what a
    ``question`` asks about.
    """
    asked = question.lower()
    text = _WITHOUT.sub(lambda m: "" if m.group().lower() in asked else m.group(), text)
    return not NEGATIONS.isdisjoint(tokens(_NUMERO.sub(" ", _denials_apart(text))))


def _denials_apart(text: str) -> str:
    """A text with each "not" as a word of its own, but for those that deny nothing."""
    return _LEFT_UNDONE.sub(" not ", _CONTRACTED.sub(" not ", _NOT_UNTIL.sub(" ", text)))


_NOBODY = re.compile(r"(?:None of|Neither|Nobody|No one|No)\b(?! ?\.)")
_BUT_SOME = re.compile(
    r"\b(?:but|except|other|others|than|only|until|unless|without|doubt|matter|wonder|longer|sooner"
    r"|not|cannot|never)\b|n['’]t\b",
    re.IGNORECASE,
)


def nobody_did(text: str) -> bool:
    """Whether a sentence says that nobody did something: "Neither France nor Germany signed"."""
    return bool(_NOBODY.match(text)) and not _BUT_SOME.search(text)


# A house in which somebody governs, in two words, to the city in which it stands.
_HOUSES = {
    "White House": "Washington", "Capitol Hill": "Washington", "Oval Office": "Washington",
    "Downing Street": "London",
}  # fmt: skip
_HOUSE = re.compile(rf"\b(?:{'|'.join(_HOUSES)})\b")


def seated(text: str) -> str:
    """A text in which those who govern go by one word: ``Washington`` for the White House."""
    return _HOUSE.sub(lambda match: _HOUSES[match.group()], text)


# A capital, or where a government sits, stands for who governs: "Beijing wants new markets".
_SEATS = dict(
    pair.split(":")
    for pair in (
        "beijing:china moscow:russia kremlin:russia washington:usa brussels:eu berlin:germany "
        "paris:france elysee:france london:uk tokyo:japan delhi:india kiev:ukraine kyiv:ukraine "
        "ankara:turkey tehran:iran taipei:taiwan vilnius:lithuania warsaw:poland rome:italy "
        "madrid:spain ottawa:canada canberra:australia seoul:korea pyongyang:korea minsk:belarus "
        "budapest:hungary vienna:austria athens:greece lisbon:portugal stockholm:sweden "
        "helsinki:finland copenhagen:denmark oslo:norway dublin:ireland hague:netherlands "
        "pretoria:africa brasilia:brazil jerusalem:israel riyadh:arabia cairo:egypt"
    ).split()
)
_SAME = {
    "america": "usa", "american": "usa", "united": "usa", "states": "usa", "britain": "uk",
    "british": "uk", "french": "france", "dutch": "netherlands", "spanish": "spain",
    "greek": "greece", "europe": "eu", "european": "eu", "union": "eu", "chinese": "china",
    "swedish": "sweden", "danish": "denmark", "polish": "poland", "turkish": "turkey",
    "western": "west", "eastern": "east", "northern": "north", "southern": "south",
    "english": "england", "scottish": "scotland", "welsh": "wales", "irish": "ireland",
    "norwegian": "norway", "finnish": "finland", "swiss": "switzerland",
    **{month[:3]: month for month in MONTHS if len(month) > 3}, "sept": "september",
}  # fmt: skip
_SUBJECT = re.compile(
    r"[\"'“‘(]*(?:(?:According to|In|On|By|At|After|Before|Since|During|Under|From|As|Although"
    r"|Though|While|Despite|Because|If|When|Once|Unless|Whereas|Given|With|Instead of|Rather than"
    r"|Besides|Apart from|Unlike|Like|Together with|Along with) [^,]{2,60}, "
    r"|(?:In|By|Since) (?:[^\W\d_]{3,9} )?\d{4},? "
    r"|(?:Yes|No|However|Moreover|Meanwhile|Instead|Therefore|Thus|Hence|Still|Then|Today|Now|Later"
    r"|Indeed|Finally|Recently|Also|Similarly|Nevertheless|Furthermore|Additionally), ?"
    # "Dissatisfied with Berg's work, Oda ...", not "Beijing in ..."
    r"|(?!Beijing\b)[A-Z][a-z]{2,}(?:ed|ing) (?:with|by|at|in|on|to|for|from|of|as|that|about)"
    r" [^,]{2,60}, )*"
    r"(?:[Tt]he |[Aa]n? )?"
    r"(?P<name>(?:[^\W\d_]*[A-ZÀ-ÖØ-Þ][\w.-]*)(?:(?: (?:of|de|von|van|and|the|al|bin|der|la))*"
    r" [A-ZÀ-ÖØ-Þ][\w.-]*)*)"
)


_IRREGULAR = {
    irregular: base
    for base, forms in {
        "become": "became", "begin": "began begun", "break": "broke broken", "bring": "brought",
        "build": "built", "buy": "bought", "choose": "chose chosen", "come": "came", "cut": "cut",
        "fall": "fell fallen", "find": "found", "forbid": "forbade forbidden", "get": "got gotten",
        "give": "gave given", "go": "went gone", "grow": "grew grown", "have": "had",
        "hold": "held", "keep": "kept", "know": "knew known", "lead": "led", "leave": "left",
        "lose": "lost", "make": "made", "mean": "meant", "meet": "met", "pay": "paid",
        "rise": "rose risen", "say": "said", "see": "saw seen", "seek": "sought", "sell": "sold",
        "send": "sent", "show": "shown", "shrink": "shrank shrunk", "speak": "spoke spoken",
        "spend": "spent", "stand": "stood", "take": "took taken", "tell": "told",
        "think": "thought", "win": "won", "withdraw": "withdrew withdrawn",
        "write": "wrote written",
    }.items()
    for irregular in forms.split()
}  # fmt: skip


def content(text: str) -> set[str]:
    """What a text is about: stems of its content words, irregular verbs in one form."""
    plain = (word for word in tokens(text) if word not in STOPWORDS)
    return {stem(_IRREGULAR.get(word, word)) for word in plain}


# By which somebody is spoken of without a name: "the President".
TITLES = frozenset(
    map(stem, "president minister chancellor ambassador secretary chief head leader mayor".split())
)
_CONJUNCTIONS = frozenset(
    stem(word)
    for word in "although though while despite because unless whereas given until however".split()
)


def subject(text: str, known: set[str]) -> tuple[set[str], str]:
    """Stems of the name that a sentence opens with, or nothing; and how the sentence goes on.

    Args:
        text: A sentence.
        known: Stems of names; what is not among them opens the sentence by chance.
    """
    text = _DOTTED.sub(lambda m: m.group().replace(".", ""), seated(text))
    match = _SUBJECT.match(text)
    found = (set(terms(match["name"])) & known) - _CONJUNCTIONS if match else set()
    return (found, text[match.end() :]) if match and found else (set(), text)


_PASSIVE = re.compile(
    r"\s*(?:(?:has|have|had|will|would|also|then|since)\s+){0,2}(?:is|are|was|were|been|be)\s+"
    r"(?:\w+ly\s+)?\w+(?:ed|en|wn|ld|de|ht|nt|ft|ut)\b",
    re.I,
)


def passive(text: str) -> bool:
    """Whether what follows a subject says what was done to it."""
    return bool(_PASSIVE.match(text))


_ALIKE = 5  # letters in which a name and its adjective agree


def named(names_: set[str], text: str, *, seats: bool = True) -> bool:
    """Whether a text names any of these: itself, by its seat of government, or as an adjective.

    Without ``seats`` Brussels is the city alone.
    """
    standing = _standing_for(seats)
    there = {standing.get(term, term)[:_ALIKE] for term in terms(seated(text))}
    return any(standing.get(name, name)[:_ALIKE] in there for name in names_)


def nowhere(names_: set[str], text: str) -> set[str]:
    """Those of some names that a text has in no form, not even as part of a longer word."""
    whole = text.casefold()
    return {name for name in names_ if name not in whole and not named({name}, text)}


def beginnings(name: str) -> set[str]:
    """How the stems begin by which a text may name what has this stem."""
    standing = _standing_for(True)
    one = standing.get(name, name)
    same = {name, one, *(stem_ for stem_, meant in standing.items() if meant == one)}
    return {term[:_ALIKE] for term in same}


@lru_cache(maxsize=2)
def _standing_for(seats: bool) -> dict[str, str]:
    """Stem to stem: of a seat or an irregular adjective to the country's, "feb" to the month's."""
    pairs = (_SEATS if seats else {}) | _SAME
    return {stem(word): stem(country) for word, country in pairs.items()}
