"""A report of the schema ``rag.report/1`` as one page that a person would rather look at than JSON.

The page is one file: no scripts at all, its style sheet inside it and named by its hash in a
content security policy that forbids everything else, so that nothing in it can reach out or run,
whatever the documents say. Every value is stripped of invisible characters and escaped by the
template engine; the only text that is not is what ``plots`` draws, which does so itself.
Filters are form controls that the style sheet reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rag.errors import UsageError
from rag.evaluation import plots
from rag.evaluation.plots import Axis, Point, Series, percent
from rag.evaluation.report_figures import MOST_TYPES, figures, known, outcome_shares
from rag.evaluation.report_file import SCHEMA
from rag.evaluation.report_rows import OUTCOMES, room_for, row_view, seconds, type_of
from rag.files import replace_file
from rag.terminal import printable_lines

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a metric is named, explained and written."""

    name: str
    text: str
    unit: str = "share"  # or score, ms, tokens
    smaller_is_better: bool = False


MEANINGS = {
    "answer.correct": Meaning("Answered rightly", "of the questions that the documents answer"),
    "answer.f1": Meaning("Word overlap (F1)", "with the expected answers", "score"),
    "refusal.recall": Meaning(
        "Unanswerable, refused", "of the questions that the documents do not answer"
    ),
    "refusal.false": Meaning(
        "Answerable, refused", "of the questions that the documents answer; less is better",
        smaller_is_better=True,
    ),
    "citation.precision": Meaning("Citation precision", "citations that meet a gold quote"),
    "citation.recall": Meaning("Citation recall", "gold quotes that a citation meets"),
    "citation.valid": Meaning("Quotes verbatim", "citations word for word at their offsets"),
    "claim.supported": Meaning("Claims supported", "by the text that they cite"),
    "claim.cited": Meaning("Claims with a citation", "of all the claims shown"),
    **{
        f"retrieval.recall@{k}": Meaning(
            f"Found among the first {k}" if k > 1 else "Found at the first place",
            f"gold quotes covered by the first {k} passages" if k > 1
            else "gold quotes covered by the first passage",
        )
        for k in (1, 3, 5, 10)
    },
    "retrieval.mrr": Meaning("Reciprocal rank", "of the first gold quote, on average", "score"),
    "retrieval.ndcg@10": Meaning("nDCG at 10", "gold quotes, discounted by rank", "score"),
    **{
        f"latency.{what}_ms.{share}": Meaning(
            f"{words}, {'median' if share == 'p50' else '95th percentile'}",
            "time since the question was asked; less is better",
            "ms", smaller_is_better=True,
        )
        for what, words in (("first_token", "First token"), ("total", "Whole answer"))
        for share in ("p50", "p95")
    },
    "judge.correct": Meaning(
        "Correct, says the judge",
        "of the questions that the documents answer; what was refused or failed is not",
    ),
    "judge.agreement": Meaning(
        "Judge and facts agree", "judgements that say what “answered rightly” says"
    ),
    "judge.failed": Meaning(
        "Failed judgements", "they count as wrong; less is better", smaller_is_better=True
    ),
    "prompt_tokens.p50": Meaning(
        "Prompt, median", "tokens that the language model reads", "tokens", smaller_is_better=True
    ),
}  # fmt: skip
_HEADLINES = (
    "answer.correct", "refusal.recall", "refusal.false", "citation.precision", "retrieval.recall@5",
    "latency.first_token_ms.p50", "retrieval.recall@1", "retrieval.recall@10", "retrieval.mrr",
    "retrieval.ndcg@10",
)  # fmt: skip


def write_report(report: dict[str, Any], folder: Path) -> Path:
    """Write ``folder/report.html``, whole or not at all.

    Args:
        report: Of the schema ``rag.report/1``; what it lacks, the page leaves out.
        folder: Made where it is missing.

    Returns:
        The file.

    Raises:
        UsageError: The report has another schema, or the folder cannot be written.
        OutOfResources: The disk is full; an older report is untouched.
    """
    if report.get("schema") != SCHEMA:
        raise UsageError(
            f"not a report of the schema {SCHEMA}: {str(report.get('schema'))[:40]}",
            hint="make it again with: rag eval",
        )
    page = render(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}",
            hint="choose a folder that you may write to",
        ) from error
    file = folder / "report.html"
    replace_file(file, page.encode())
    return file


def render(report: dict[str, Any]) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        # Before it is escaped, whatever a place in the template prints goes through this.
        finalize=_visible,
        keep_trailing_newline=True,
        loader=FileSystemLoader(_TEMPLATES),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    rows = report.get("rows") or []
    types = [name for name, _ in Counter(map(type_of, rows)).most_common(MOST_TYPES)]
    types.sort()
    style = environment.get_template("report.css.jinja").render(
        outcomes=OUTCOMES, kinds=range(len(types))
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("report.html.jinja").render(
        style=style, style_hash=f"sha256-{digest}", **_page(report, rows, types)
    )


def _visible(value: object) -> object:
    """What a reader can see of a text; what is already safe for a page stays as it is."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else printable_lines(str(value))


def _page(report: dict[str, Any], rows: list[dict[str, Any]], types: list[str]) -> dict[str, Any]:
    metrics = _known(report)
    room = room_for(len(rows))
    kinds = {name: number for number, name in enumerate(types)}
    views = [
        row_view(row, number=number, kind=kinds.get(type_of(row), len(types)), room=room)
        for number, row in enumerate(rows, 1)
    ]
    groups = [(o, [view for view in views if view["outcome"] == o]) for o in OUTCOMES]
    counted = Counter(map(type_of, rows))
    gold = report.get("gold") or {}
    return {
        "gold_path": gold.get("path") or "",
        "created": _moment(str(report.get("created") or "")),
        "models": report.get("models") or {},
        "judged": report.get("correctness") or "",
        "metrics": [_metric(name, value) for name, value in metrics.items()],
        "headlines": [_metric(name, metrics[name]) for name in _HEADLINES if name in metrics][:6],
        "shares": outcome_shares(rows),
        "figures": figures(report, metrics, rows),
        "judge": _judge(report.get("judge")),
        "comparison": _comparison(report.get("baseline"), views),
        "groups": [group for group in groups if group[1]],
        "types": [(name, number, counted[name]) for name, number in kinds.items()],
        "total": len(rows),
        "answered": any(row.get("status") for row in rows),
        "shortened": room != room_for(0),
        "facts_of_run": _facts_of_run(report, gold),
    }


def _known(part: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in (part.get("metrics") or {}).items() if known(v.get("value"))}


def _judge(judge: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a model said of the answers, apart from what was measured."""
    if not judge:
        return None
    kappa = judge.get("kappa")
    return {
        "model": judge.get("model") or "",
        "note": judge.get("note") or "",
        "metrics": [_metric(name, value) for name, value in _known(judge).items()],
        "kappa": f"{kappa:.2f}" if known(kappa) else "",
    }


def _metric(name: str, value: dict[str, Any]) -> dict[str, Any]:
    meaning = MEANINGS.get(name) or Meaning(
        name, "", "ms" if "_ms" in name else "tokens" if "tokens" in name else "score"
    )
    form = _FORMS[meaning.unit]
    low, high = value.get("low"), value.get("high")
    drawn = meaning.unit in ("share", "score") and 0 <= value["value"] <= 1
    return {
        "key": name,
        "meaning": meaning,
        "value": form(value["value"]),
        "range": f"{form(low)} to {form(high)}" if known(low) and known(high) else "",
        "n": value.get("n"),
        "drawing": plots.interval(value["value"], low, high, form=form) if drawn else "",
    }  # fmt: skip


_FORMS: dict[str, Callable[[float], str]] = {
    "share": percent,
    "score": lambda value: f"{value:.2f}",
    "ms": seconds,
    "tokens": lambda value: f"{value:,.0f}",
}


def _comparison(
    baseline: dict[str, Any] | None, views: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Differences from an earlier report, over the questions that both have."""
    if not baseline:
        return None
    lines, same, labels, points = [], list[str](), list[str](), list[Point]()
    for name, change in (baseline.get("differences") or {}).items():
        difference, low, high = (change.get(key) for key in ("value", "low", "high"))
        if not (known(difference) and known(low) and known(high)):
            continue
        meaning = MEANINGS.get(name) or Meaning(name, "", "ms" if "_ms" in name else "score")
        if difference == low == high == 0:
            same.append(meaning.name)
            continue
        better = "no clear difference"
        if low > 0 or high < 0:
            better = "worse" if (low > 0) == meaning.smaller_is_better else "better"
        unit = meaning.unit
        lines.append({
            "name": meaning.name,
            "verdict": better,
            "difference": _signed(difference, unit) + _DIFFERENCES[unit][2],
            "range": f"{_signed(low, unit)} to {_signed(high, unit)}",
        })  # fmt: skip
        if meaning.unit == "share":
            points.append(Point(len(labels), difference, low, high))
            labels.append(meaning.name)
    svg = ""
    if points:
        ends = [abs(v) for p in points for v in (p.low, p.high) if v is not None]
        ticks = plots.nice_ticks(-max(*ends, 0.05), max(*ends, 0.05), most=6)
        x = Axis(
            "difference, in percentage points", ticks[0], ticks[-1], ticks,
            lambda value: _signed(value, "share").removesuffix(".0"),
        )  # fmt: skip
        title = "Differences from the earlier report"
        svg = plots.dots(labels, [Series("difference", tuple(points))], x=x, title=title, zero=0.0)
    anchors = {view["key"]: view for view in views}
    flips = [
        {**flip, "view": anchors.get(str(flip.get("id")))} for flip in baseline.get("flipped") or ()
    ]
    return {
        "path": baseline.get("path") or "",
        "paired": baseline.get("paired"),
        "same_gold": baseline.get("same_gold", True),
        "lines": lines,
        "same": ", ".join(same),
        "svg": svg,
        "p": (baseline.get("mcnemar") or {}).get("p"),
        "gained": [flip for flip in flips if flip.get("now") == "right"],
        "lost": [flip for flip in flips if flip.get("now") != "right"],
    }


def _moment(stamp: str) -> str:
    """An ISO 8601 time as it is read; anything else as it is."""
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{at.day} {at:%B %Y, %H:%M}" + (f" {at.tzname()}" if at.tzinfo else "")


def _signed(value: float, unit: str) -> str:
    scale, digits, _ = _DIFFERENCES[unit]
    text = f"{value * scale:+,.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


# How a difference is written: scale, decimals, unit.
_DIFFERENCES = {
    "share": (100, 1, " points"),
    "score": (1, 3, ""),
    "ms": (0.001, 2, " s"),
    "tokens": (1, 0, " tokens"),
}


def _facts_of_run(report: dict[str, Any], gold: dict[str, Any]) -> list[tuple[str, str]]:
    """Everything needed to make the same report again."""
    pairs = [
        ("made", report.get("created")),
        ("gold set", gold.get("path")),
        ("gold set, SHA-256", gold.get("sha256")),
        ("index generation", report.get("index_generation")),
        *((f"model: {name}", value) for name, value in (report.get("models") or {}).items()),
        *((name, value) for name, value in (report.get("settings") or {}).items()),
    ]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in pairs
        if value is not None and value != ""
    ]
