"""Headings of Markdown and reStructuredText: what is one, its path, and what only looks so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from command import invoke
from conftest import IndexBuilder

from rag.backends.embed import HashEmbedder
from rag.documents.headings import heading_places, outline
from rag.documents.split import split
from rag.records import Document

MARKDOWN = """\
---
title: Manual
---
# Manual #

Install
=======

Some words on how to install it.

## Linux *and* kin ##

```sh
# no heading
make install
```

~~~~
```
## neither
~~~
# nor this
~~~~
### Debian

<!--
# commented out
-->

    # indented code

> # said by somebody else

1. first

   ## In a list

Use
---
***
A line of text
that goes on
---

#hashtag, and # no heading
"""
RST = """\
======
Manual
======

:Author: Ann

Install
-------

Run this::

  # no heading
  Neither
  -------

Linux
~~~~~
.. code-block:: sh

   # nor this

=====  =====
a      b
=====  =====

Some text of a paragraph
that goes on here
=================

1. Numbered
~~~~~~~~~~~

----------

Use
---
文書
====
Dash
--

- item
------
"""


def paths(text: str, format_: str) -> list[tuple[str, str]]:
    """The first line of each place, and its path."""
    places = heading_places(text, format_)
    return [(text[place.start :].splitlines()[0], place.label) for place in places]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headings_of_markdown(end: str) -> None:
    assert paths(MARKDOWN.replace("\n", end), "markdown") == [
        ("# Manual #", "Manual"),
        ("Install", "Install"),
        ("## Linux *and* kin ##", "Install › Linux and kin"),
        ("### Debian", "Install › Linux and kin › Debian"),
        ("   ## In a list", "Install › In a list"),
        ("Use", "Install › Use"),
        ("A line of text", "Install › A line of text that goes on"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headings_of_restructured_text(end: str) -> None:
    assert paths(RST.replace("\n", end), "rst") == [
        ("======", "Manual"),
        ("Install", "Manual › Install"),
        ("Linux", "Manual › Install › Linux"),
        ("1. Numbered", "Manual › Install › 1. Numbered"),
        ("Use", "Manual › Use"),
        ("文書", "Manual › Use › 文書"),
    ]


@pytest.mark.parametrize("text", [MARKDOWN, RST])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_spans_are_the_words_of_a_line(text: str, mark: str) -> None:
    format_ = "rst" if text is RST else "markdown"
    found = outline(mark + text, format_)
    assert found.headings
    for heading in found.headings.values():
        for start, end in heading.spans:
            said = (mark + text)[start:end]
            assert said.strip(" #=-~\n") == said


@pytest.mark.parametrize("format_", ["text", "code", "html", "pdf"])
def test_other_formats_have_none_here(format_: str) -> None:
    assert heading_places(MARKDOWN, format_) == ()


def test_passages_follow_the_outline() -> None:
    embedder = HashEmbedder()

    def passages(text: str, format_: str) -> dict[str, list[str]]:
        parts = split(
            Document("x", text, "", "utf-8", format=format_),
            count=embedder.count, max_tokens=embedder.max_tokens,
        )  # fmt: skip
        found: dict[str, list[str]] = {}
        for passage in parts.passages:
            for sentence in passage.sentences:
                assert sentence.clean.split()[0] in text[sentence.start : sentence.end]
                found.setdefault(passage.heading, []).append(sentence.clean)
        return found

    said = passages(MARKDOWN, "markdown")
    assert said["Linux and kin"] == [
        "# no heading", "make install", "## neither", "# nor this",
    ]  # fmt: skip
    assert "A line of text that goes on" in said
    assert not any("title: Manual" in line for lines in said.values() for line in lines)
    said = passages(RST, "rst")
    assert any("# no heading" in line for line in said["Install"])
    assert not any(set(line) <= set("=-~ ") for lines in said.values() for line in lines)


def test_levels_come_in_the_order_of_their_marks() -> None:
    text = "A\n^^\n\nB\n==\n\nC\n##\n\nD\n==\n\nE\n^^\n\nF\n##\n"
    assert [label for _, label in paths(text, "rst")] == [
        "A", "A › B", "A › B › C", "A › D", "E", "E › F",
    ]  # fmt: skip


def test_a_citation_names_the_path(tmp_path: Path, build: IndexBuilder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    said = "The harbour crane lifts nine tons of granite in a single minute."
    (docs / "a.md").write_text(f"# Install\n\nWords.\n\n## Linux\n\n{said}\n\n### More\n\nWords.\n")
    (docs / "b.rst").write_text(
        f"Install\n=======\n\nWords.\n\nWindows\n-------\n\n{said.replace('nine', 'ten')}\n"
    )
    build(docs)
    index = ("--index", str(tmp_path / "index"))
    asked = invoke("ask", "How many tons does the crane lift?", "--json", "--docs", "*.md", *index,
                   RAG_ANSWER_THRESHOLD="0")  # fmt: skip
    (citation,) = json.loads(asked.stdout)["citations"]
    assert citation["place"] == "Install › Linux"
    assert citation["page"] is None
    stored = (docs / "a.md").read_text()
    assert stored[citation["start"] : citation["end"]] == citation["quote"] == said
    found = invoke("search", "harbour crane granite", *index)
    assert "b.rst:9 (Install › Windows)" in found.stdout
    assert "── Install › Linux" in invoke("show", "a.md", "--line", "7", *index).stdout


@pytest.mark.parametrize(
    ("unit", "format_"),
    [
        ("# a\n", "markdown"), ("a\n===\n", "markdown"), ("> " * 50 + "a\n", "markdown"),
        ("- " * 500, "markdown"), ("[a]: b 'x\n", "markdown"), ("```\n", "markdown"),
        ("<!--\n", "markdown"), ("a\n=\n", "rst"), ("=====\na\n", "rst"), ("=" * 500, "rst"),
    ],
)  # fmt: skip
def test_hostile_text_costs_linear_time(unit: str, format_: str) -> None:
    started = time.process_time()
    outline(unit * (60_000 // len(unit)), format_)
    assert time.process_time() - started < 3.0


def test_more_marks_than_levels() -> None:
    marks = "".join(f"T\n{mark * 4}\n\n" for mark in "=-~^\"'`*+#.:_!$%&(),/;<>?@[]{|}\\")
    assert len(paths(marks, "rst")) == 32
