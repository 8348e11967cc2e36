"""Answers, search results and status to terminal text or JSON; no decisions.

The one place where document text is made fit for a terminal: control, bidirectional and
zero-width characters never pass ``_safe``.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import Any

from rag.clean import shown
from rag.doctor import Finding, IndexState
from rag.indexing import IndexReport
from rag.records import Answer, BatchReport, Citation, Claim, Hit
from rag.terminal import printable

_QUOTE_CHARS = 240


def answer_json(answer: Answer, *, id_: object = None, extra: dict[str, Any] | None = None) -> str:
    """One line, schema ``rag.answer/1``."""
    record = asdict(answer)
    document = {
        "schema": "rag.answer/1",
        "id": id_,
        **{
            key: record[key]
            for key in (
                "question", "standalone_question", "status", "answer", "claims", "citations",
                "retrieved", "dropped", "nearest", "unanswered", "answerability", "error", "stats",
            )
        },
        "models": {"embedder": answer.embedder, "llm": answer.llm},
        "index_generation": answer.index_generation,
        **(extra or {}),
    }  # fmt: skip
    return json.dumps(document, ensure_ascii=False)


def search_json(query: str, expanded: str, hits: list[Hit]) -> str:
    """Schema ``rag.search/1``."""
    results = [
        {
            "document": hit.document.path,
            "title": hit.document.title,
            "page": hit.place.page if hit.place else None,
            "place": hit.place.label if hit.place else "",
            "start": hit.passage.start,
            "end": hit.passage.end,
            "line_start": hit.line_start,
            "line_end": hit.line_end,
            "heading": hit.passage.heading,
            "text": hit.passage.clean,
            "score": round(hit.score, 6),
            "ranks": hit.ranks,
            "stage_scores": {k: round(v, 4) for k, v in hit.stage_scores.items()},
        }
        for hit in hits
    ]
    return json.dumps(
        {"schema": "rag.search/1", "query": query, "expanded_query": expanded, "results": results},
        ensure_ascii=False,
    )


def search_text(expanded: str, hits: list[Hit], *, width: int, explain: bool) -> str:
    """Passages under their places; ``explain`` adds each stage's rank and score."""
    lines = [f"searched: {_safe(expanded)}", ""] if explain else []
    for number, hit in enumerate(hits, 1):
        where = _place(
            hit.document.path, hit.line_start, hit.line_end, hit.place.label if hit.place else ""
        )
        lines.append(f"{number}. {_safe(hit.document.title)} · {where}")
        if explain:
            stages = [
                f"{stage} rank {hit.ranks[stage]} (score {hit.stage_scores[stage]:.3f})"
                for stage in sorted(hit.ranks)
            ]
            lines.append(f"   fused {hit.score:.5f} = " + ", ".join(stages))
        lines += _wrap(_safe(hit.passage.clean), width, "   ")
    return "\n".join(lines) if hits else "nothing found"


def claim_text(claim: Claim) -> str:
    """A claim as a person reads it."""
    return f"{_safe(claim.text)} {''.join(f'[{label}]' for label in claim.labels)}."


def sources_text(citations: tuple[Citation, ...], *, width: int) -> str:
    """Each source with its document, title, lines and quotation."""
    lines: list[str] = []
    for citation in citations:
        where = _place(citation.document, citation.line_start, citation.line_end, citation.place)
        lines.append(f"[{citation.label}] {_safe(citation.title)} · {where}")
        quote = _safe(shown(citation.quote))
        if len(quote) > _QUOTE_CHARS:
            quote = quote[:_QUOTE_CHARS].rsplit(" ", 1)[0] + " …"
        lines += _wrap(f"“{quote}”", width, "    ")
    return "\n".join(lines)


def summary_text(answer: Answer) -> str:
    """One line on what was checked and what it took."""
    stats = answer.stats
    parts = []
    if answer.claims:
        count = len(answer.claims)
        parts.append(f"{count} claim{'s' * (count > 1)}, {'all ' * (count > 1)}supported")
    if answer.dropped:
        parts.append(f"{len(answer.dropped)} withheld (no support found)")
    if answer.unanswered:
        quoted = ", ".join(f"“{_safe(part)}”" for part in answer.unanswered)
        parts.append(f"the documents do not answer: {quoted}")
    if stats.evidence_dropped:
        parts.append(f"{stats.evidence_dropped} pieces of evidence left out (context full)")
    count = answer.documents_searched
    parts.append(f"{count} document{'s' * (count != 1)} searched")
    if answer.claims:
        parts.append(f"first token {stats.first_token_ms / 1000:.1f} s")
    parts.append(f"{stats.total_ms / 1000:.1f} s")
    return " · ".join(parts)


def dropped_text(answer: Answer, *, width: int) -> str:
    """What was withheld, and why."""
    lines: list[str] = []
    for claim in answer.dropped:
        lines += _wrap(f"withheld: {_safe(claim.text)} ({_safe(claim.reason)})", width, "")
    return "\n".join(lines)


def wrapped(text: str, *, width: int) -> str:
    """Plain text, wrapped."""
    return "\n".join(_wrap(text, width, ""))


def index_text(report: IndexReport) -> str:
    """What a run of ``rag index`` did."""
    lines = [f"skipped {_safe(skip.path)}: {_safe(skip.reason)}" for skip in report.skipped]
    lines += [f"warning {_safe(part.path)}: {_safe(part.reason)}" for part in report.warnings]
    changes = [
        f"{len(paths)} {word}"
        for paths, word in (
            (report.added, "added"), (report.changed, "changed"), (report.removed, "removed"),
        )
        if paths
    ]  # fmt: skip
    changes.append(f"{report.unchanged} unchanged")
    if report.skipped:
        changes.append(f"{len(report.skipped)} skipped")
    counts = report.counts
    lines.append(f"documents: {', '.join(changes)}")
    lines.append(
        f"index: generation {report.generation}, {counts['documents']:,} documents,"
        f" {counts['passages']:,} passages, {counts['sentences']:,} sentences"
        f" ({report.embedded:,} texts embedded now)"
    )
    return "\n".join(lines)


def index_json(report: IndexReport) -> str:
    """Schema ``rag.index/1``."""
    return json.dumps({"schema": "rag.index/1", **asdict(report)}, ensure_ascii=False)


def batch_text(report: BatchReport, out: str) -> str:
    """What a file of answers holds, and what this run did for it."""
    if report.resumed == report.total:
        first = f"all {report.total:,} answered already"
    else:
        first = f"{report.total:,} question{'s' * (report.total != 1)}"
        if report.resumed:
            first += f", {report.resumed:,} of them answered before"
    parts = [f"{report.answered:,} answered", f"{report.unanswerable:,} unanswerable"]
    if report.failed:
        parts.append(f"{report.failed:,} failed")
    return f"{first}: {', '.join(parts)} · {report.seconds:.1f} s · {_safe(out)}"


def batch_json(report: BatchReport, out: str) -> str:
    """Schema ``rag.batch/1``."""
    return json.dumps(
        {"schema": "rag.batch/1", **asdict(report), "output": out}, ensure_ascii=False
    )


def status_text(state: IndexState) -> str:
    """What is in the index, and whether it is sound."""
    counts = state.counts
    lines = [
        f"index       {_safe(state.folder)}, generation {state.generation}",
        f"documents   {counts.get('documents', 0):,}",
        f"passages    {counts.get('passages', 0):,}",
        f"sentences   {counts.get('sentences', 0):,}",
        f"bytes       {state.bytes:,}",
        *(f"{kind:11} {_safe(name)}" for kind, name in state.models.items()),
        f"sound       {'yes' if state.sound else 'no'}",
        *(f"problem     {_safe(problem)}" for problem in state.problems),
    ]
    return "\n".join(lines)


def status_json(state: IndexState) -> str:
    """Schema ``rag.status/1``."""
    counts = {key: state.counts.get(key, 0) for key in ("documents", "passages", "sentences")}
    return json.dumps(
        {
            "schema": "rag.status/1",
            "generation": state.generation,
            **counts,
            "bytes": state.bytes,
            "models": state.models,
            "sound": state.sound,
            "problems": list(state.problems),
        },
        ensure_ascii=False,
    )


def findings_text(findings: list[Finding]) -> str:
    """One line a check, and under each that failed what mends it."""
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:12} {_safe(finding.what)}")
        if finding.hint:
            lines.append(f"     {'':12} -> {_safe(finding.hint)}")
    return "\n".join(lines)


def findings_json(findings: list[Finding]) -> str:
    """Schema ``rag.doctor/1``."""
    checks = [asdict(finding) for finding in findings]
    ok = all(finding.ok for finding in findings)
    return json.dumps({"schema": "rag.doctor/1", "ok": ok, "checks": checks}, ensure_ascii=False)


def _place(path: str, first: int, last: int, label: str) -> str:
    lines = f"{_safe(path)}:{first}" + (f"-{last}" if last != first else "")
    return f"{lines} ({_safe(label)})" if label else lines


def _safe(text: str) -> str:
    return " ".join(printable(text).split())


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, 20), initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
