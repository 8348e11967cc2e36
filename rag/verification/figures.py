"""What a figure is of: a claim that has a text's digits may still have another quantity.

unit       years, percent or kilometres: what a claim counts, its text counts too
counted    "10 officials" of "10 Europeans"
beside     million for billion, euros for dollars, "at least" for "at most", a rise for a fall
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.words import NUMBER, YEAR, named, spelled, terms


def misread(claim: str, text: str) -> str:
    """The first fault in what a claim says that a figure is of, or "".

    Args:
        claim: One sentence.
        text: What it cites.
    """
    if unit := _other_unit(claim, text):
        return f"the cited text counts no {unit}"
    if counted := _other_counted(claim, text):
        return f"the cited text counts {counted}"
    if beside := _other_beside(claim, text):
        return f"the cited text has {beside}"
    return ""


_COUNTED = re.compile(
    r"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|hundred|thousand))"
    r"[ -](?P<unit>year|month|week|day|hour|minute|percent|per cent|kilomet(?:re|er)|mile)s?\b"
    r"(?! points?\b)|\d ?(?P<sign>%)",
    re.IGNORECASE,
)
_ALSO_CALLED = {
    "year": r"year|\b(?:bi|semi)?annu|\bp\.a\.|decade|centur|\byrs?\b|\d ?y\b",
    "month": r"\bmonth|\d ?mo\b",
    "week": r"week|fortnight|\d ?w\b",
    "day": r"\b(?:week|work)?days?\b|\bdaily|\d ?d\b",
    "hour": r"\bhour|\bhrs?\b|\d ?h(?:rs?)?\b", "minute": r"\bmin(?:ute|s?\b)|\d ?m(?:ins?)?\b",
    "mile": r"\bmi(?:le|\b)|\d ?mi\b",
    **dict.fromkeys(("percent", "per cent", "%"), r"%|per ?cent(?!age points?)|pct"),
    **dict.fromkeys(("kilometre", "kilometer"), r"km\b|\bkilo"),
}  # fmt: skip


def _other_unit(claim: str, text: str) -> str:
    """The unit that a claim counts in and its text never does: "one to two years" of young."""
    units = ((m["unit"] or m["sign"]).lower() for m in _COUNTED.finditer(claim))
    return next(
        (unit for unit in units if not re.search(_ALSO_CALLED[unit], text, re.IGNORECASE)), ""
    )


# Behind a year may stand anybody: "In 2022 Xi ...".
_OF_A_NAME = re.compile(rf"(?<![\d.,])(?!{YEAR}\b)(?P<figure>\d[\d.,]*) (?P<name>[A-Z][a-z]\w+)")
# "10 organisations" of "10 Europeans"; who these are may be said in a word for anybody.
_OF_A_THING = re.compile(
    r"(?<![\d.,$€£¥])(?P<figure>\d[\d.,]*) (?!(?:people|persons?|individuals|men|women|others|more"
    r"|(?:year|month|week|day|hour|minute|percent)s?|thousand|[mbtr]+illions?)\b)(?P<thing>[a-z]{4,})"
)


def _other_counted(claim: str, text: str) -> str:
    """Whom or what a text counts with a figure that a claim has of others: "10 Europeans"."""

    def of_whom(figure: str) -> list[re.Match[str]]:
        return [there for there in _OF_A_NAME.finditer(text) if there["figure"] == figure]

    for of in _OF_A_NAME.finditer(claim):
        there = of_whom(of["figure"])
        if there and not any(named(set(terms(of["name"])), m["name"]) for m in there):
            return there[0].group()
    for of in _OF_A_THING.finditer(claim):
        there = of_whom(of["figure"])
        other = there and set(terms(text)).isdisjoint(terms(of["thing"]))
        if other and not any(named(set(terms(m["name"])), claim) for m in there):
            return there[0].group()
    return ""


_FIGURE = re.compile(rf"(?<![\w.,])(?P<sign>[$€£¥])? ?(?P<figure>{NUMBER})")
_CURRENCY = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_SCALE = {
    **{word: word for word in ("thousand", "million", "billion", "trillion")},
    "mn": "million", "m": "million", "bn": "billion", "b": "billion", "tn": "trillion",
}  # fmt: skip
_BEHIND = re.compile(
    rf"(?:[ -]?(?P<scale>{'|'.join(_SCALE)})\b)?"
    r"(?:[ -]?(?:US )?(?P<money>dollar|euro|pound|yuan|yen|rouble|ruble|franc)s?\b)?",
    re.IGNORECASE,
)
_BY = r"\b[^\d.,;:]{0,20}\bby (?:about |around |nearly |almost |some |over )?[$€£¥]?"
_LEAST = r"at least|(?:no|not) less than|no fewer than|(?<!no )(?<!not )more than|a minimum of"
_MOST = r"at most|(?:no|not) more than|up to|(?<!no )(?<!not )(?:less|fewer) than|a maximum of"
_UP = r"rise[sn]?|rose|rising|grew|grow[ns]?|increase[ds]?|up"
_DOWN = r"fall(?:en|s)?|fell|shr[au]nk|shrinks?|decrease[ds]?|declined?s?|dropp?(?:ed|s)?|down"
_BEFORE = tuple(
    (kind, value, re.compile(rf"\b(?:{words}){then}\s*$", re.IGNORECASE))
    for kind, value, words, then in (
        ("bound", "at least", _LEAST, ""),
        ("bound", "at most", _MOST, ""),
        ("move", "a rise", _UP, _BY),
        ("move", "a fall", _DOWN, _BY),
    )
)
_NEAR = 40  # characters before a figure in which what it is of may be said


def _other_beside(claim: str, text: str) -> str:
    """What the text says beside a figure where a claim has something else beside it.

    Only what both say counts: a claim may leave out "million", and a text "dollars".
    """
    there = list(_beside(text))
    for figure, said in _beside(claim):
        same = [beside for other, beside in there if other == figure]
        for kind, value in said.items():
            values = [beside[kind] for beside in same if kind in beside]
            if values and len(values) == len(same) and value not in values:
                return f"“{values[0]}” beside {figure}"
    return ""


def _beside(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each figure with what is said right beside it: scale, money, bound, move."""
    for match in _FIGURE.finditer(text):
        found: dict[str, str] = {}
        if behind := _BEHIND.match(text, match.end()):
            if behind["scale"]:
                found["scale"] = _SCALE[behind["scale"].lower()]
            if behind["money"]:
                found["money"] = behind["money"].lower()
        if match["sign"]:
            found["money"] = _CURRENCY[match["sign"]]
        before = text[max(0, match.start() - _NEAR) : match.start()]
        found |= {kind: value for kind, value, said in _BEFORE if said.search(before)}
        yield spelled(match["figure"]), found
