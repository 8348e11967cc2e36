"""Whether a question can be understood alone, or leans on what was said before it.

"And when was it signed?", "Why?", "What about Lithuania?" and "Who said that?" lean; "When did
China lift its sanctions?" does not, because what "its" stands for is in the question itself.
Grammar only, and of English: no model, and a question that does not lean is never touched.
"""

from __future__ import annotations

import re

from rag.words import STOPWORDS

_POLITE = re.compile(
    r"^(?:(?:ok(?:ay)?|well|right|thanks|thank you|i see|hm+|please|sorry)\b[\s,.!:–-]*)+",
    re.IGNORECASE,
)
WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*", re.UNICODE)
_WH = frozenset("who whom whose what which when where why how".split())
_DO = frozenset("do does did has have had can could will would shall should may might must".split())
_BE = frozenset("is are was were be been being".split())
_AUX = _DO | _BE
_CLAUSE = frozenset(
    "that if whether because when while as since before after until and but or so than why what how"
    " where which who whom".split()
)
_PREPOSITION = frozenset(
    "in on at by to for from of with under among since until against over about during between into"
    " after before through per".split()
)
_DETERMINER = frozenset(
    "the a an which what whose every each some many several few no any all most more".split()
)
_LONG, _SHORT = 14, 10  # words
_SUBJECT = frozenset("he she they it".split())
_OWNER = frozenset("his her its their".split())
_PERSON = frozenset("he she him his her hers".split())
_PERSONAL = _PERSON | frozenset("they them their theirs".split())
_PRONOUNS = _PERSONAL | {"it", "its"}
_PARTICIPLE = re.compile(r"(?:ed|en|aid|own|one|ent|ght|ld|und|ept|eld|ost|ade|ung|orn)$")

# What makes a question lean wherever it stands.
_OPENS = re.compile(
    r"^(?:(?:and|but|or|so|then|also|plus)\b|(?:what|how) about\b|what of\b|why not\b|how so\b)",
    re.IGNORECASE,
)
_NOUN = (
    r"(?:year|time|day|date|month|period|case|deal|agreement|treaty|pact|decision|statement|document"
    r"|paper|text|article|report|study|author|meeting|summit|visit|talks|country|countries|city"
    r"|man|woman|person|people|company|law|move|step|plan|claim|figure|number|amount|increase"
    r"|conflict|war|letters?|speech|view|position|point|phrase|term|word|quote|issue|matter"
    r"|problem|measure|reason|result|outcome|consequence|goal|purpose|aim|effect|cause|reaction"
    r"|response|reply|price|cost|deadline|condition|deficit|sanction|tariff|investigation|inquiry"
    r"|event|process|negotiation|vote|project|format|partnership|alliance|relationship|side|group"
    r"|leader|president|(?:foreign |prime )?minister|ambassador|official|analyst|expert|researcher"
    r"|initiative|launch)s?"
)
_POINTS = re.compile(
    rf"\bthat {_NOUN}\b|\bthose (?:\w+ )?{_NOUN}\b(?! (?:who|which|that|of)\b)"
    r"|\b(?:about|after|before|of|with|to|for|by|from|since|than|like|in|on|at|against|behind)"
    r" (?:that|this|these|those)(?=$|[,;?]| (?:in|at|on|by|and|for|then|now|later|too)\b)"
    r"|\b(?:says?|said|why|mean|means) (?:that|this)(?=$|[,;?])"
    r"|(?<!it )\b(?:is|was|are|were|did|does|do|has|have|had|would|will|could|can) (?:that|those)\b"
    r"|\bthis\b(?! (?:week|year|month|century|decade)\b)|\bthese\b(?! days\b)"
    r"|\b\w+ (?:that|this|those|these)$"
    r"|\b(?:which|that|this|the|another|each|other|first|second|third|last|next|previous|latter"
    r"|former|same|new|old) ones?\b|\bones? of (?:them|these|those)\b"
    r"|\bthe (?:former|latter|others?|rest|above)\b(?= |$)|\bof the (?:two|three)\b"
    r"|\bof (?:them|these|those)\b"
    r"|\bthe other (?:side|party|man|woman|country|one|document|leader|two|three)s?\b"
    r"|\b(?:by|since|until|from|back) then\b|\bthen$|\binstead$"
    r"|\b(?:both|either|neither|each) (?:of (?:them|these|those|the)\b|sides?\b|part(?:y|ies)\b"
    r"|countr|leaders?\b|governments?\b|documents?\b)"
    r"|\b(?:you|i) (?:just )?(?:said|mentioned|mean|meant|wrote|cited|asked)\b"
    r"|\byour (?:last |previous |first )?(?:answer|source|reply)\b|\b(?:source|citation) \d+\b"
    r"|\b(?:do|did|does|say|think|want) the same\b|\bthe same (?:year|day|time|month|thing)\b"
    r"|\bsuch (?:an? )?\w+s?$",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    r"\b(?:too|as well|either|neither|both|afterwards?|earlier|later|next|previously|again|before"
    r"|since)$",
    re.IGNORECASE,
)
# A thing that only what was said before can tell from others of its kind.
_BARE = re.compile(
    rf"\bthe (?:two |three |first |second |last )?{_NOUN}"
    r"(?=$|[,;?]| (?:is|are|was|were|did|do|does|has|have|had|will|would|can|could|say|says|said"
    r"|be|been|take|took|fail|end|begin|start|last|mean|work|happen|come|go|get|cover|apply|call"
    r"|think|want|signed|suspended|held|made|launched|reached|published|written|described)\b)"
    r"|\b(?:did|does|do|was|is|were|are|has|have|had|will|would|can|could) the "
    rf"{_NOUN}\b(?! (?:of|between|on|in|with|that|which|who|for|by|to|against|at|from|about)\b)",
    re.IGNORECASE,
)
# What is asked of is not said: "How did China respond?", "What was Italy's reaction?"
_UNSAID = re.compile(
    r"\b(?:respond|reply|replied|react|answer|retaliate|agree|disagree|object|comply|refuse|accept"
    r"|follow|decide|happen|happened|do|say|said|think|mean|want|responded|reacted|agreed|refused)$"
    r"|['’]s? (?:\w+ )?(?:reaction|response|reply|answer|reason|view|position|opinion|role|stance"
    r"|goal|aim|purpose|interest|explanation|argument|motive|attitude)s?$"
    r"|^how (?:many|much) (?:of \w+ )?(?:is|are|was|were|did|does|do|has|have|had|will|would)\b"
    r"(?=(?: \w+){0,3}$)|\bwhat else\b|\bwho else$|\banything else\b",
    re.IGNORECASE,
)
_IT_IS = re.compile(
    r"\b(?:is it|it is|was it|it was|it be)(?: \w+)? (?:true|false|possible|impossible|likely"
    r"|unlikely|clear|certain|necessary|legal|illegal|easy|hard|difficult|important|wrong|right|time|known"
    r"|said|reported|expected|common|worth|good|bad|better)\b"
    r"|\b(?:does|did|will|would) it (?:take|matter|mean|make sense) (?:to|for|that|whether|if)\b"
    r"|\bit (?:take|takes|took)s?\b",
    re.IGNORECASE,
)


def bare(question: str) -> str:
    """A question on one line, without politeness before it and marks behind it."""
    return _POLITE.sub("", " ".join(question.split())).strip().rstrip(" ?!.")


def leans(question: str) -> bool:
    """Whether a question can only be understood with what was said before it."""
    text = bare(question)
    if not text:
        return False
    if _OPENS.match(text) or cut_short(question) or vague(text):
        return True
    words = len(WORD.findall(text))
    return bool(
        (words <= _LONG and _AGAIN.search(text)) or (words <= _SHORT and _UNSAID.search(text))
    )


def vague(question: str) -> bool:
    """Whether a question names something by a word that only what was said before explains."""
    text = bare(question)
    if dangling(text):
        return True
    # A long question brings along what it points to.
    words = WORD.findall(text)
    names = sum(word[0].isupper() for word in words[1:])
    return bool(
        (len(words) <= _LONG and _POINTS.search(text))
        or (len(words) <= _SHORT and names <= 1 and _BARE.search(text))
    )


def dangling(question: str) -> bool:
    """Whether a pronoun stands for something that the question does not name before it."""
    text = bare(question)
    matches = list(WORD.finditer(text))
    words = [match.group().lower() for match in matches]
    # What a pronoun may stand for: things named so far, what is asked for ("which treaty"), people
    # asked for ("who").
    named = asked = people = 0
    plural = False
    for at, word in enumerate(words):
        before, follows = (words[n] if 0 <= n < len(words) else "" for n in (at - 1, at + 1))
        if word in _PRONOUNS:
            if word == "it" and _IT_IS.search(text):
                continue
            owner = word in _OWNER and bool(follows) and follows not in _PREPOSITION | _CLAUSE
            subject = word in _SUBJECT and (not before or before in _AUX | _CLAUSE)
            if owner or subject:
                known = named + (people if word in _PERSONAL else 0)
                # "Which treaty did it sign": what is asked for is not who did it.
                known += asked if word not in _PERSON and before not in _AUX else 0
            else:
                known = named + (asked if word not in _PERSON else 0) - 1
            if known < 1 or (word in ("they", "their") and not plural and known < 2):
                return True
        elif word == "there" and not {before, follows} & (_BE | {"been", "has", "have", "had"}):
            return True
        elif _is_thing(matches, words, at, named):
            asks = before in ("which", "what", "many", "much")
            named, asked = named + (not asks), asked + asks
            plural = plural or word.endswith("s") or word in ("people", "men", "women")
        elif word in ("who", "whom", "whose"):
            people, plural = people + 1, True
    return False


def _is_thing(matches: list[re.Match[str]], words: list[str], at: int, named: int) -> bool:
    """Whether a noun is named here, as far as its neighbours tell."""
    word, before = words[at], words[at - 1] if at else ""
    if word in STOPWORDS or word in _AUX:
        return False
    if matches[at].group()[0].isupper():
        return bool(at or len(words) == 1 or matches[at].group().isupper()) and not (
            before and matches[at - 1].group()[0].isupper() and before not in _WH | _AUX
        )
    if before in _DETERMINER or before.endswith(("'s", "’s")) or before.isdigit():
        return True
    if before in ("has", "have", "had") and words[0] == "who":
        return False
    asked_of = at > 1 and words[at - 2] in _WH - {"why", "when", "where", "how"}
    if named and word.endswith("s") and not word.endswith("ss"):
        return True  # what somebody does something to: "impose sanctions"
    return before in _AUX and not (
        (before in _BE and asked_of) or (before in _BE and bool(_PARTICIPLE.search(word)))
    )


def cut_short(question: str) -> bool:
    """Whether words are missing that only what was said before has: "Why?", "In which year?"."""
    text = bare(question)
    matches = list(WORD.finditer(text))
    words = [match.group().lower() for match in matches]
    said = [word for word in words if word not in STOPWORDS and word not in _AUX]
    if not said:
        return True
    first = next((word for word in words if word not in _PREPOSITION), words[0])
    helped = any(word in _AUX for word in words)
    names = any(m.group()[0].isupper() and n for n, m in enumerate(matches))
    if first not in _WH and not helped:  # no question: "Lithuania?", "in Germany"
        asks = question.rstrip().endswith("?") or words[0] in _PREPOSITION
        return len(words) <= (5 if asks else 2) and len(said) <= 3
    if first in _WH and not helped:  # "Which countries?", "By how many percent?"
        return len(words) <= 4 and (not names or words[0] in _PREPOSITION)
    if words[0] in _AUX:  # "Did Italy?"
        return len(words) <= 2
    return len(words) <= 3 and any(word in _DO for word in words)  # "Why did China?"
