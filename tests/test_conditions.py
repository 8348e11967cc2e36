"""Conditions on documents: what they mean, what they refuse, and every asker that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import NO_WEIGHTS, invoke, restricted_batch
from conftest import IndexBuilder
from typer.testing import CliRunner

from rag.cli import app
from rag.errors import UsageError
from rag.records import DocumentInfo
from rag.retrieval.conditions import condition_of, is_condition
from rag.retrieval.scope import scope_of

DOCUMENTS = [
    DocumentInfo(1, "a.md", "Trade in 2023", "2023-12-31", "Ann Smith", (), "en", "markdown"),
    DocumentInfo(2, "b.md", "Handel", "2024-06-15", "Bo Weiß", ("old/B.md",), "de-AT", "markdown"),
    DocumentInfo(3, "c.pdf", "On trade", "2024", "", (), "en-GB", "pdf"),
    DocumentInfo(4, "d.txt", "Notes", "", "", (), "", "text"),
    DocumentInfo(5, "e.txt", "Tides", "long ago", "SMITH, J.", (), "EN", "text"),
]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["date>=2024"], {2, 3}),
        (["date>2023"], {2, 3}),
        (["date>2023-12-30"], {1, 2, 3}),
        (["date<=2023"], {1}),
        (["date<2024-06"], {1}),  # of "2024" nobody knows the month
        (["date<=2024-06"], {1, 2}),
        (["date<2025"], {1, 2, 3}),
        (["date=2024"], {2, 3}),
        (["date=2024-06-15"], {2}),
        (["date!=2024"], {1, 4, 5}),
        (["author~smith"], {1, 5}),
        (["author = ann  SMITH"], {1}),
        (["author~WEISS"], {2}),
        (["author!=Ann Smith"], {2, 3, 4, 5}),
        (["language=en"], {1, 3, 5}),
        (["language=en_gb"], {3}),
        (["language==de"], {2}),
        (["title~trade"], {1, 3}),
        (["format=PDF"], {3}),
        (["format=md"], {1, 2}),
        (["format=TXT"], {4, 5}),
        (["format!=md"], {3, 4, 5}),
        (["path~old/"], {2}),
        (["path=b.md"], {2}),
        (["path!=b.md"], {1, 3, 4, 5}),
        (["title~trade", "date>=2024"], {3}),
        (["date>=2024", "date>=2024", " date >= 2024 "], {2, 3}),
    ],
)
def test_what_meets_a_condition(conditions: list[str], found: set[int]) -> None:
    scope = scope_of([], DOCUMENTS, where=conditions)
    assert set(scope.documents or ()) == found
    assert scope.where == tuple(sorted({str(condition_of(text)) for text in conditions}))


def test_conditions_and_globs_must_hold_together() -> None:
    scope = scope_of(["*.md", "*.pdf"], DOCUMENTS, where=["date>=2024"])
    assert (scope.globs, scope.where) == (("*.md", "*.pdf"), ("date>=2024",))
    assert set(scope.documents or ()) == {2, 3}
    with pytest.raises(UsageError, match=r"no document is left by \*\.txt and date>=2024"):
        scope_of(["*.txt"], DOCUMENTS, where=["date>=2024"])


@pytest.mark.parametrize(
    ("condition", "message", "hint"),
    [
        ("", "no condition", "the fields are title, author, date, language, format, path"),
        ("date", "no condition", "date>=2024-06"),
        ("date>=", "no condition", "the fields are"),
        ("~Smith", "no condition", "the fields are"),
        ("x" * 50 + "=1", "no condition", "the fields are"),
        ("autor~Smith", "no field 'autor'", "the fields are title, author"),
        ("date>=last year", "no date", "2024-06-30"),
        ("date>=2024-13", "no date", "2024-06-30"),
        ("date=2023-02-29", "no date", "2024-06-30"),
        ("date~2024", "a date is none", "'date=2024'"),
        ("title>=M", "only dates", "compare a title with ="),
        ("a\x1b[31m=b", "no condition", "the fields are"),
        ("date>=2030", "no document meets 'date>=2030'", "from 2023-12-31 to 2024-06-15"),
        ("language=fr", "no document meets", "languages that there are: EN, de-AT, en, en-GB"),
        ("path=old", "no document meets", "'path~old'; the paths that there are: a.md, b.md"),
        ("format=docx", "no document meets", "formats that there are: markdown, pdf, text"),
        ("author~\x1b[31m", "no document meets", "Ann Smith"),
    ],
)
def test_what_is_refused_says_what_there_is(condition: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        scope_of([], DOCUMENTS, where=["title~t", condition])
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\x1b" not in caught.value.message + caught.value.hint


def test_a_field_that_no_document_has_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        scope_of([], DOCUMENTS[3:4], where=["date>=2024"])
    assert caught.value.hint == "the index knows the date of none of its documents"


def test_what_looks_like_a_condition_among_globs() -> None:
    words = ["date>=2024", "author~Bo Weiß", "*.md", "reports/", "a=b.txt", "notes~", "path"]
    assert [word for word in words if is_condition(word)] == words[:2]


# -- on the command line ------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, build: IndexBuilder) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for year, author, beast in (
        (2021, "Ann Smith", "panda"), (2023, "Bo Jones", "heron"), (2024, "Ann Smith", "otter"),
    ):  # fmt: skip
        (docs / f"{beast}.md").write_text(
            f"---\ntitle: On the {beast}\nauthor: {author}\ndate: {year}-05-06\n---\n"
            f"The {beast} of the valley sleeps beside the old river mill at noon.\n"
        )
    build(docs)
    return tmp_path / "index"


QUESTION = "What sleeps beside the old river mill?"
EASY = {"RAG_ANSWER_THRESHOLD": "0"}


def test_where_on_the_command_line(index: Path) -> None:
    where = ("--where", "author~smith", "--where", "date>2021", "--index", str(index))
    found = json.loads(invoke("search", QUESTION, "--json", *where).stdout)
    assert [row["document"] for row in found["results"]] == ["otter.md"]
    answer = json.loads(invoke("ask", QUESTION, "--json", *where, **EASY).stdout)
    assert answer["where"] == ["author~smith", "date>2021"]
    assert answer["scope"] == []
    assert {row["document"] for row in answer["retrieved"]} == {"otter.md"}
    both = invoke("search", QUESTION, "--json", *where, "--docs", "p*", "--docs", "o*")
    assert [row["document"] for row in json.loads(both.stdout)["results"]] == ["otter.md"]
    for command in (["search", "x"], ["ask", "x"], ["chat"]):
        for wrong in ("date>=2030", "autor~Smith", "nonsense"):
            refused = invoke(*command, "--where", wrong, "--index", str(index))
            assert isinstance(refused.exception, UsageError), command


def test_a_batch_goes_on_under_the_conditions_it_began_with(index: Path, tmp_path: Path) -> None:
    row = restricted_batch(
        QUESTION, index=index, folder=tmp_path,
        nothing=["--where", "date>=2030"],
        given=["--where", "date >= 2023", "--where", "author~ann"],
        again=["--where", "author~ann", "--where", "date>=2023"],
        others=[[], ["--where", "date>=2023"]], refused_as="where was",
    )  # fmt: skip
    assert row["where"] == ["author~ann", "date>=2023"]
    assert {passage["document"] for passage in row["retrieved"]} == {"otter.md"}


def talk(*arguments: str, said: str) -> Any:
    return CliRunner().invoke(
        app, ["chat", "--json", *arguments], input=said, env={**NO_WEIGHTS, **EASY}
    )


def test_conditions_of_a_conversation(index: Path, tmp_path: Path) -> None:
    file, common = str(tmp_path / "talk.jsonl"), ("--index", str(index))
    first = talk("--save", file, *common, said=f"/scope o* date>=2023\n{QUESTION}\n")
    row = json.loads(first.stdout)
    assert (row["scope"], row["where"]) == (["o*"], ["date>=2023"])
    on = talk("--resume", file, *common, said=f"{QUESTION}\n/why\n/scope\n")
    assert json.loads(on.stdout)["where"] == ["date>=2023"], "it goes on in the scope it was in"
    assert "scope: o* date>=2023" in on.stderr
    assert "asked as" in on.stderr
    other = ("--where", "author~jones")
    row = json.loads(talk("--resume", file, *common, *other, said=f"{QUESTION}\n").stdout)
    assert (row["scope"], row["where"]) == ([], ["author~jones"]), "unless another is named"
    everything = talk(*common, *other, said=f"/scope *\n{QUESTION}\n")
    assert json.loads(everything.stdout)["where"] == []
