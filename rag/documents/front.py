"""What the head of a text file states of it: YAML and TOML front matter, fields of RST.

Front matter is no part of what is read: it is neither searched nor quoted. The fields of
reStructuredText (``:Author: Ann``) are shown to readers, and stay text.
"""

from __future__ import annotations

import re
from typing import Any

_FRONT = re.compile(
    r"\ufeff?(?:---[ \t]{0,9}(?:\r\n?|\n)(?P<yaml>.*?)(?:\r\n?|\n)(?:---|\.\.\.)"
    r"|\+\+\+[ \t]{0,9}(?:\r\n?|\n)(?P<toml>.*?)(?:\r\n?|\n)\+\+\+)[ \t]*(?:\r\n?|\n|\Z)",
    re.DOTALL,
)
# What its first entry looks like: text between two rules is no front matter.
_ENTRY = re.compile(r"[\"']?[\w.-]{1,60}[\"']?[ \t]{0,9}[:=](?:\s|$)|\[{1,2}[\w.-]{1,60}\]")
_LINE = re.compile(r"(title|date|author|lang)(?:s|uage)?[ \t]*[:=][ \t]*(.*)", re.I)
_FIELD = re.compile(r":([A-Za-z]{1,12}):(?:[ \t]+(\S.*)|[ \t]*)")
_HEAD_LINES = 60
_KEYS = {"authors": "author", "language": "lang"}
_NAMES = ("title", "date", "author", "lang")
_MAX_PARSED = 20_000  # code points; what is longer is read line by line


def front_matter(text: str) -> int:
    """The length of a YAML or TOML front matter block, 0 where there is none."""
    match = _front(text)
    return match.end() if match else 0


def _front(text: str) -> re.Match[str] | None:
    match = _FRONT.match(text)
    lines = (match["yaml"] or match["toml"] or "").splitlines() if match else []
    first = next((line for line in lines if line.strip() and line[0] != "#"), "")
    return match if _ENTRY.match(first) else None


def stated(text: str, *, fields: bool) -> dict[str, str]:
    """Title, date, author and lang as the head of a text states them; "" where it does not.

    Args:
        text: The whole text.
        fields: Whether it may be reStructuredText, with a field list.
    """
    found = dict.fromkeys(_NAMES, "")
    if match := _front(text):
        body = match["yaml"] if match["yaml"] is not None else match["toml"]
        parsed = _parsed(body, toml=match["toml"] is not None)
        found.update(_line_by_line(body) if parsed is None else parsed)
    elif fields:
        found.update(_fields(text))
    return found


def _parsed(body: str, *, toml: bool) -> dict[str, str] | None:
    """The entries by the rules of their language, or None where they break them."""
    import tomllib

    import yaml

    if len(body) > _MAX_PARSED:
        return None
    try:
        # The plain loader in Python: all is text, nothing is built, and deep nesting is an error.
        entries = tomllib.loads(body) if toml else yaml.load(body, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(entries, dict):
        return None
    found: dict[str, str] = {}
    for key, value in entries.items():
        name = _KEYS.get(str(key).lower(), str(key).lower())
        if name in _NAMES and (said := _said(value)):
            found.setdefault(name, said)
    return found


def _said(value: Any, depth: int = 2) -> str:
    """A value as text: of several all, of a table its name."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_said(each, depth - 1) for each in value))) if depth else ""
    if isinstance(value, dict):
        return _said(value.get("name"), depth - 1) if depth else ""
    return "" if value is None else " ".join(str(value).split())


def _line_by_line(body: str) -> dict[str, str]:
    """What can be read of front matter that breaks the rules, as "title: One: two" does."""
    found = dict.fromkeys(_NAMES, "")
    listed = ""  # the key whose list follows, one entry a line
    for line in body.splitlines():
        entry = line.strip()
        if listed and entry.startswith("- "):
            value = entry[2:].strip().strip("\"'")
            found[listed] += f", {value}" if found[listed] else value
            continue
        listed = ""
        if match := _LINE.match(line):
            key, value = match[1].lower(), match[2].strip()
            listed = "" if value else key
            names = [name.strip().strip("\"'") for name in value.strip("[]").split(",")]
            found[key] = ", ".join(names) if value.startswith("[") else value.strip("\"'[]")
    return found


def _fields(text: str) -> dict[str, str]:
    """The fields before the first paragraph, below the title or above it."""
    found: dict[str, str] = {}
    lines = re.split(r"\r\n?|\n", text[:8000].lstrip("\ufeff"), maxsplit=_HEAD_LINES)[:_HEAD_LINES]
    name = ""
    for at, line in enumerate(lines):
        if match := _FIELD.fullmatch(line):
            name = _KEYS.get(match[1].lower(), match[1].lower())
            if name in _NAMES:
                found.setdefault(name, match[2] or "")
        elif line[:1].isspace() and name in _NAMES:
            entry = line.strip()
            comma = ", " if entry.startswith("- ") and found[name] else " "
            found[name] += comma + entry.removeprefix("- ")
        elif line.strip() and not line[:1].isspace() and not line.startswith(".. "):
            name = ""
            below = lines[at + 1] if at + 1 < len(lines) else ""
            if not _adornment(line) and not _adornment(below) and not line.startswith(":"):
                break
    return {name: " ".join(value.split()).strip("$") for name, value in found.items()}


def _adornment(line: str) -> bool:
    return len(line.rstrip()) > 1 and len(set(line.rstrip())) == 1 and not line[0].isalnum()
