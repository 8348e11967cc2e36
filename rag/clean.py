"""Stored text to what a reader sees, with the way back.

Markup, escapes, footnote marks and invisible characters are taken out of what is shown and
searched; every character that is left knows the offset it came from, so that a citation always
quotes the stored text as it is.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Of scripts that put spaces between words: within those, * and _ are no emphasis.
_LETTER = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
_ATTRIBUTE = r"(?:[.#][\w-]{1,60}|[\w-]{1,60}=\"[^\"\n]{0,200}\")"  # .class, #id, key="value"
# Each alternative says, by its group, what of the match stays visible. Every repeat is bounded
# and no two alternatives inside one can match the same text: hostile input costs linear time.
_MARKUP = re.compile(
    r"!\[[^\]\n]{0,500}\]\([^)\n]{0,2000}\)"  # image: nothing
    r"|\[(?P<link>(?:[^\[\]\n\\]|\\.){0,500})\]\([^)\n]{0,2000}\)"  # link: its text
    r"|(?P<note>\[\^?[1-9]\d{0,2}\])"  # footnote mark, never [0]: nothing
    r"|\\(?P<escaped>[!-/:-@\[-`{-~])"  # escaped punctuation: the punctuation
    rf"|(?<!{_LETTER})(?P<em>\*{{1,3}}|_{{1,3}})(?=\S)(?P<inner>[^*_\n]{{1,500}}?)(?<=\S)(?P=em)"
    rf"(?!{_LETTER})"
    r"|`(?P<code>[^`\n]{1,500})`"
    r"|</?(?:br|b|i|em|strong|p|span|div|sup|sub|u)\b[^>\n]{0,200}>"
    r"|<!--[\s\S]{0,2000}?-->"
    r"|(?<=[^\S\n])\{#[\w:.-]{1,100}\}(?=[^\S\n]*(?:\n|\Z))"  # a heading's anchor: nothing
    rf"|\{{:[^\S\n]?{_ATTRIBUTE}(?:[^\S\n]{_ATTRIBUTE}){{0,9}}[^\S\n]?\}}"  # kramdown: nothing
)

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Visible text and, for each of its characters, the offset in the stored text."""

    text: str
    offsets: list[int]


def clean(text: str, spans: list[tuple[int, int]]) -> Cleaned:
    """What a reader sees of some spans of a text, joined by single spaces.

    Args:
        text: The stored text.
        spans: (start, end) pairs in order; each is read on its own, so markup never joins two.
    """
    pieces: list[tuple[str, int]] = []
    for number, (start, end) in enumerate(spans):
        if number:
            pieces.append((" ", start))
        _visible(text, start, end, pieces)
    shown: list[str] = []
    offsets: list[int] = []
    for character, offset in pieces:
        category = unicodedata.category(character)
        if character.isspace() or character == "\ufeff":
            if not shown or shown[-1] == " ":
                continue
            character = " "
        elif category in ("Cc", "Cf", "Co", "Cs", "Cn"):
            continue
        shown.append(character)
        offsets.append(offset)
    while shown and shown[-1] == " ":
        shown.pop()
        offsets.pop()
    return Cleaned("".join(shown), offsets)


def _visible(text: str, start: int, end: int, out: list[tuple[str, int]]) -> None:
    at = start
    for match in _MARKUP.finditer(text, start, end):
        out.extend((text[i], i) for i in range(at, match.start()))
        group = match.lastgroup if match.lastgroup != "em" else "inner"
        if group in ("link", "inner"):
            _visible(text, *match.span(group), out)
        elif group in ("escaped", "code"):
            out.extend((text[i], i) for i in range(*match.span(group)))
        at = match.end()
    out.extend((text[i], i) for i in range(at, end))


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def shown(text: str) -> str:
    """What a reader sees of a whole text, on one line."""
    return clean(text, [(0, len(text))]).text


def line_starts(text: str) -> list[int]:
    """The offset of each line's first character.

    ``bisect_right(line_starts(text), offset)`` is the line of an offset, counted from 1.
    """
    return [0, *(match.end() for match in _LINE_END.finditer(text))]
