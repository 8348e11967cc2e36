"""The page of a report: complete, true to the numbers, and harmless whatever documents say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rag.errors import UsageError
from rag.evaluation.report import render, write_report
from rag.evaluation.report_rows import OUTCOMES, Room, answer_parts, cut, outcome_of, row_view

EVIL = (
    "<script>alert(1)</script></details></p></style></title><!-- ' onclick=\"x\" \" onerror='y'"
    " <img src=https://evil.example/x.png> javascript:alert(2) [a](javascript:alert(3))"
    " {{ 7*7 }} {% raw %} ${x} \u202e\u2066\u200b\x1b[31m\x00 &amp; <svg onload=x> ]]> [1] [7]"
)
VOID = {"meta", "input", "br", "link", "img", "hr"}
Json = dict[str, Any]


def rate(value: float | None, n: int = 8) -> Json:
    """A figure with an interval of a tenth on each side."""
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": max(value - 0.1, 0), "high": min(value + 0.1, 1), "n": n}


def row(number: int, *, status: str | None = "answered", correct: bool | None = True,
        answerable: bool = True, text: str = "plain", kind: str = "fact") -> Json:  # fmt: skip
    """One question of a report, with one citation and three passages."""
    span = {"document": text, "start": 10, "end": 20, "quote": text}
    answered = status == "answered"
    return {
        "id": f"id{number} {text}", "type": kind, "question": f"question {number} {text}?",
        "gold_answer": text if answerable else None, "facts": [[text, "other"], ["second"]],
        "gold_spans": [span, {**span, "start": 90, "end": 99, "quote": f"missed {text}"}]
        if answerable else [],
        "status": status, "answer": f"{text} [1]." if answered else text,
        "correct": correct, "f1": 0.5, "why": f"because {text}", "answerability": 0.75,
        "retrieval": {"recall@1": 1.0, "mrr": 0.5} if answerable else None,
        "citation": {"valid": 1.0, "precision": 1.0, "recall": 0.5} if answered else None,
        "claims": [{"text": text, "labels": [1], "verdict": "supported", "score": 0.9,
                    "reason": ""}] if answered else [],
        "citations": [{"label": 1, "document": text, "title": text, "page": 3, "start": 12,
                       "end": 18, "line_start": 5, "line_end": 6, "quote": f"quoted {text}",
                       "verbatim": False, "gold": True, "before": f"before\n{text}",
                       "after": f"after {text}"}] if answered else [],
        "retrieved": [{"document": text, "start": 30 * n, "end": 30 * n + 25, "score": 0.03,
                       "relevant": n == 0, "text": f"passage {n} {text}"} for n in range(3)],
        "dropped": [{"text": f"withheld {text}", "labels": [], "verdict": "unsupported",
                     "score": 0.2, "reason": f"no support {text}"}],
        "stats": {"first_token_ms": 1000 * number + 500, "total_ms": 9000, "prompt_tokens": 1234},
        "judge": {"correct": number == 1, "score": 0.93 if number == 1 else None, "model": text,
                  "failed": "" if number == 1 else f"unheard {text}"} if answered else None,
        "error": {"kind": "bug", "message": f"failed {text}", "hint": text}
        if status == "error" else None,
    }  # fmt: skip


def rows(text: str = "plain") -> list[Json]:
    """One question of each outcome."""
    return [
        row(1, text=text),
        row(2, correct=False, text=text, kind=f"why {text}"),
        row(3, status="unanswerable", correct=False, text=text),
        row(4, status="unanswerable", correct=None, answerable=False, text=text),
        row(5, correct=None, answerable=False, text=text),
        row(6, status="error", correct=False, text=text),
        row(7, correct=None, text=text),
    ]


def report(text: str = "plain") -> Json:
    """A report that has everything, with a text in every place that can hold one."""
    return {
        "schema": "rag.report/1", "created": "2026-11-22T06:40:12+00:00",
        "gold": {"path": text, "sha256": text, "questions": 7},
        "settings": {"answer_threshold": 0.5, "corpus": text, text: text, "list": [text]},
        "models": {"embedder": text, "llm": text}, "index_generation": 3, "correctness": "mixed",
        "metrics": {
            "answer.correct": rate(0.614, 88), "refusal.false": rate(0.182, 88),
            "retrieval.mrr": rate(0.876), "citation.recall": rate(None),
            "latency.first_token_ms.p50": {"value": 4500, "low": 3500, "high": 5500, "n": 7},
            "latency.first_token_ms.p95": {"value": 7200, "low": 6500, "high": 7500, "n": 7},
            f"new.{text}": rate(0.333),
        },
        "curves": {
            "recall": [{"k": k, **rate(v)} for k, v in ((1, 0.6), (5, 0.8), (10, 0.9))],
            "refusal": [{"threshold": t, "recall": t, "false": t / 2, "correct": 1 - t}
                        for t in (0.0, 0.5, 1.0)],
        },
        "by_type": {
            f"fact {text}": {"n": 5, "correct": rate(0.7), "refused": rate(0.2)},
            "unanswerable": {"n": 2, "correct": None, "refused": rate(0.5)},
        },
        "baseline": {
            "path": text, "paired": 7, "same_gold": False,
            "mcnemar": {"gained": 1, "lost": 1, "p": 0.0421},
            "differences": {
                "answer.correct": {"value": 0.12, "low": 0.05, "high": 0.2, "n": 7},
                "refusal.false": {"value": 0.12, "low": 0.05, "high": 0.2, "n": 7},
                "citation.valid": {"value": 0.0, "low": 0.0, "high": 0.0, "n": 7},
                "citation.recall": {"value": None, "low": None, "high": None, "n": 0},
                f"new.{text}": {"value": -0.01, "low": -0.1, "high": 0.1, "n": 7},
            },
            "flipped": [
                {"id": f"id2 {text}", "question": text, "now": "wrong", "why": text,
                 "why_before": text},
                {"id": "gone", "question": text, "now": "right", "why": text, "why_before": text},
            ],
        },
        "judge": {"model": text, "prompt": text, "note": f"an opinion {text}", "kappa": 0.41,
                  "judged": 4, "failed": 3, "metrics": {"judge.correct": rate(0.222, 5),
                                                        "judge.agreement": rate(None)}},
        "rows": rows(text),
    }  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of a page; fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.text += data
        self.texts.append((self.open[-1] if self.open else "", data))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        """The attributes of every such element of a class."""
        return [a for t, a in self.tags if t == tag and (not kind or kind in a.get("class", ""))]


@pytest.mark.parametrize("text", ["plain", EVIL], ids=["plain", "hostile"])
def test_nothing_in_a_report_can_run_reach_out_or_break_the_page(text: str) -> None:
    source = render(report(text))
    page = Page(source)
    used = {tag for tag, _ in page.tags}
    assert not used & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "style", "action", "formaction", "xlink:href")
            assert name != "href" or re.fullmatch(r"#[a-z]+[\d-]*(c\d+)?", value), value
            assert name in ("aria-label", "content") or "evil" not in value
    styles = [data for tag, data in page.texts if tag == "style"]
    assert len(styles) == 1
    assert "http" not in styles[0]
    assert "@import" not in styles[0]
    assert "url(" not in styles[0]
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    policy = page.all("meta")[1]["content"]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    invisible = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    assert not {c for c in source if unicodedata.category(c) in invisible} - {"\n"}
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in page.all("a")}
    assert targets <= set(ids), "no link leads nowhere"


def test_hostile_text_changes_no_tag_and_is_shown_as_it_is() -> None:
    plain, hostile = Page(render(report())), Page(render(report(EVIL)))
    count = Counter(tag for tag, _ in plain.tags)
    # The answer's [1] is a link, and the text brings labels of its own: nothing else may differ.
    count["a"] = Counter(tag for tag, _ in hostile.tags)["a"]
    assert Counter(tag for tag, _ in hostile.tags) == count
    for part in ("<script>alert(1)</script>", "{{ 7*7 }}", "{% raw %}", "</details>", "&amp;"):
        assert hostile.text.count(part) > 50


def test_every_question_is_there_with_all_that_belongs_to_it() -> None:
    page = Page(render(report()))
    found = page.all("details", "row")
    assert len(found) == 7
    kinds = [a["class"].split()[-1] for a in found]
    order = [outcome.key for outcome in OUTCOMES]
    assert sorted(kinds, key=order.index) == kinds, "what went wrong comes first"
    assert Counter(kinds) == {key: 1 for key in (
        "error", "wrong", "unfounded", "refused", "unscored", "declined", "right")}  # fmt: skip
    for part in (
        *(f"question {n} plain?" for n in range(1, 8)),
        "because plain", "“plain” or “other”", "failed plain", "no support plain (support 0.20)",
        "page 3, lines 5 to 6", "not verbatim", "gold quote", "3 passages retrieved, relevant at"
        " rank 1", "first token 1.5 s · whole answer 9.0 s · prompt 1,234 tokens",
        "retrieval: recall@1 1.00, mrr 0.50", "characters 30 to 55", "22 November 2026, 06:40 UTC",
    ):  # fmt: skip
        assert part in page.text, part
    marked = [data for tag, data in page.texts if tag == "mark"]
    assert marked == ["quoted plain"] * 4
    assert "before\nplainquoted plainafter plain" in page.text, "nothing is put into a paragraph"
    assert all(a["class"] == "gold" for a in page.all("mark"))
    assert len(page.all("tr", "relevant")) == 7
    assert "missed plain" in page.text
    radios = [a["id"] for a in page.all("input")]
    assert radios == ["o-all", *(f"o-{k}" for k in kinds), "k-all", "k-0", "k-1"]


def test_the_figures_and_their_intervals_are_there() -> None:
    page = Page(render(report()))
    for part in (
        "61%", "51% to 71%, n = 88", "18%", "8% to 28%", "0.88", "4.5 s", "3.5 s to 5.5 s",
        "new.plain", "+12.0 points", "+5.0 to +20.0", "−0.100 to +0.100", "0.042",
        "not the same file", "The same as before: Quotes verbatim.",
    ):  # fmt: skip
        assert part in page.text, part
    assert "citation.recall" not in page.text, "what nothing defines is left out"
    verdicts = [a["class"] for a in page.all("td", "verdict")]
    assert verdicts == ["verdict better", "verdict worse", "verdict no-clear-difference"]
    intervals = [a["aria-label"] for a in page.all("svg", "interval")]
    assert any(label.startswith("61% (95% interval 51% to 71%)") for label in intervals)
    assert any(label.startswith("0.88 (95% interval 0.78 to 0.98)") for label in intervals)
    bars = [a["aria-label"] for a in page.all("svg", "shares")]
    assert bars == [
        "5 answerable: 1 right, 1 not scored, 1 refused, 1 wrong, 1 error",
        "2 unanswerable: 1 refused rightly, 1 answered though unanswerable",
    ]


def test_what_a_judge_said_stands_apart() -> None:
    page = Page(render(report()))
    for part in (
        "Judged by plain", "an opinion plain", "by 0.41 (Cohen's kappa", "22%", "12% to 32%",
        "the judge says: correct (probability of yes 0.93)",
    ):  # fmt: skip
        assert part in page.text, part
    assert page.text.count("the judge says: no judgement: unheard plain") == 3
    measured, judged = page.text.split("Judged by plain")
    assert "judge.correct" not in measured
    assert "judge.correct" in judged
    assert "judge.agreement" not in page.text, "what nothing defines is left out"


def test_the_pictures_show_the_report() -> None:
    page = Page(render(report()))
    said = [data for tag, data in page.texts if tag == "desc"]
    assert len(said) == len(page.all("svg", "plot")) == 5
    recall, refusal, kinds, times, differences = said
    assert "5: 80% (95% interval 70% to 90%)" in recall
    assert "unanswerable, refused: 0: 0%; 0.5: 50%; 1: 100%." in refusal
    assert "answerable, refused (less is better): 0: 0%; 0.5: 25%; 1: 50%." in refusal
    assert "fact plain (5), answered rightly 70% (95% interval 60% to 80%)" in kinds
    assert "unanswerable (2), refused 50% (95% interval 40% to 60%)" in kinds
    assert "questions" in times
    assert sum(int(n) for n in re.findall(r": (\d+)", times)) == 6, "the failed one took no time"
    assert "Answered rightly, difference +12 (95% interval +5 to +20)" in differences
    shown = [data for tag, data in page.texts if tag == "text"]
    for label in ("used: 0.5", "half within 4.5 s", "95% within 7.2 s", "passages retrieved (k)"):
        assert label in shown


@pytest.mark.parametrize(
    "missing",
    ["gold", "settings", "models", "metrics", "curves", "by_type", "rows", "baseline", "judge"],
)
def test_what_is_missing_is_left_out(missing: str) -> None:
    whole = report()
    for value in (None, "gone"):
        partial = {**whole, missing: None} if value is None else dict(whole)
        if value == "gone":
            del partial[missing]
        page = Page(render(partial))
        assert "None" not in page.text
        assert len(page.all("details", "row")) == (0 if missing == "rows" else 7)


def test_a_report_of_retrieval_alone() -> None:
    only = report()
    for question in only["rows"]:
        question.update(
            status=None, answer="", correct=None, f1=None, why="", answerability=None,
            citation=None, claims=[], citations=[], dropped=[], stats={}, error=None,
        )  # fmt: skip
    only["rows"][1]["retrieved"] = []
    only.update(metrics={"retrieval.recall@5": rate(0.8)}, by_type=None, baseline=None)
    only["curves"] = {"recall": only["curves"]["recall"], "refusal": None}
    page = Page(render(only))
    assert "How good is the search?" in page.text
    assert len(page.all("svg", "plot")) == 1
    kinds = Counter(a["class"].split()[-1] for a in page.all("details", "row"))
    assert kinds == {"found": 4, "missed": 1, "unscored": 2}
    assert "Answer\n" not in page.text
    assert "not retrieved" in page.text


def test_an_empty_report_is_a_page() -> None:
    page = Page(render({"schema": "rag.report/1", "metrics": {}, "rows": []}))
    assert "0 questions" in page.text


def test_five_thousand_questions_stay_a_file_that_opens() -> None:
    long = row(1, text="word " * 400)
    long["retrieved"] *= 4
    source = render({"schema": "rag.report/1", "metrics": {}, "rows": [long] * 5000})
    assert len(source) < 75_000_000  # with every text far longer than any real one
    assert source.count('<details class="row') == 5000
    assert "long texts and lists are shortened here" in source
    assert "content-visibility: auto" in source


def test_labels_become_links_only_where_they_are_citations() -> None:
    assert answer_parts("One [1]. Two [2][9].", {1, 2}) == [
        ("One ", 0), ("[1]", 1), (". Two ", 0), ("[2]", 2), ("[9].", 0),
    ]  # fmt: skip
    assert answer_parts("", {1}) == []


def test_a_gold_quote_that_is_cited_at_one_of_its_places_is_not_missed() -> None:
    question = row(1)
    question["gold_spans"] = [
        {"document": "plain", "start": 500, "end": 510, "quote": "twice"},
        {"document": "plain", "start": 10, "end": 20, "quote": "twice"},
        {"document": "plain", "start": 35, "end": 40, "quote": "passed over"},
    ]
    view = row_view(question, number=1, kind=0, room=Room())
    left = [(quote["quote"], quote["where"]) for quote in view["gold_left"]]
    assert left == [("passed over", "retrieved at rank 2")]
    assert outcome_of(question).key == "right"


def test_texts_are_cut_at_words() -> None:
    assert cut("one two three", 9) == "one two …"
    assert cut("one two", 7) == "one two"


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = write_report(report(), tmp_path / "a" / "b")
    assert file == tmp_path / "a" / "b" / "report.html"
    first = file.read_text(encoding="utf-8")
    assert first == render(report()), "the same report makes the same page"
    write_report(json.loads(json.dumps(report("other"))), file.parent)
    assert file.read_text(encoding="utf-8") != first
    assert [f.name for f in file.parent.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_said_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken" / "report.html" / "full").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "taken"):
        with pytest.raises(UsageError, match="cannot be") as caught:
            write_report(report(), folder)
        assert "may write to" in caught.value.hint
    assert [f.name for f in (tmp_path / "taken").iterdir()] == ["report.html"]
    with pytest.raises(UsageError, match="schema") as caught:
        write_report({"schema": "rag.report/2"}, tmp_path)
    assert "rag eval" in caught.value.hint
