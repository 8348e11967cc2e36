"""Answers, search results and status to terminal text or JSON; no decisions.

The one place where document text is made fit for a terminal: control, bidirectional and
zero-width characters never pass ``_safe``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rag.clean import shown
from rag.commands.doctor import Finding, IndexState
from rag.indexing import IndexReport
from rag.records import Answer, BatchReport, Citation, Claim, Evidence, Hit
from rag.terminal import json_text, printable, printable_lines

_QUOTE_CHARS = 240
_PARAGRAPH = re.compile(r"(?:\r\n|\n|\r)[^\S\r\n]*(?:\r\n|\n|\r)")
_LISTED = 10  # pairs of documents that are shown; JSON has all


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
                "retrieved", "dropped", "nearest", "unanswered", "absent", "answerability", "scope",
                "where", "error", "stats",
            )
        },
        "models": {"embedder": answer.embedder, "llm": answer.llm},
        "index_generation": answer.index_generation,
        **(extra or {}),
    }  # fmt: skip
    return json_text(document)


def search_json(query: str, expanded: str, hits: list[Hit]) -> str:
    """Schema ``rag.search/1``."""
    results = [
        {
            "document": hit.document.path,
            "also_in": list(hit.document.also_in),
            "title": hit.document.title,
            "page": hit.place.page if hit.place else None,
            "place": hit.place.label if hit.place else "",
            "ocr": hit.place.ocr if hit.place else False,
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
    return json_text(
        {"schema": "rag.search/1", "query": query, "expanded_query": expanded, "results": results}
    )


def search_text(expanded: str, hits: list[Hit], *, width: int, explain: bool) -> str:
    """Passages under their places; ``explain`` adds each stage's rank and score."""
    lines = [f"searched: {_safe(expanded)}", ""] if explain else []
    for number, hit in enumerate(hits, 1):
        where = _hit_place(hit)
        lines.append(f"{number}. {_safe(hit.document.title)} · {where}")
        if explain:
            lines.append(f"   {_fused(hit)}")
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
        also = f" (and {len(citation.also_in)} more)" if citation.also_in else ""
        lines.append(f"[{citation.label}] {_safe(citation.title)} · {where}{also}")
        quote = _safe(shown(citation.quote))
        if len(quote) > _QUOTE_CHARS:
            quote = quote[:_QUOTE_CHARS].rsplit(" ", 1)[0] + " …"
        lines += _wrap(f"“{quote}”", width, "    ")
    return "\n".join(lines)


def quote_text(citation: Citation, before: str, after: str, *, width: int, styled: bool) -> str:
    """A quote within its paragraph, highlighted, under its place.

    Args:
        citation: What is quoted.
        before: Stored text up to the quote; shown from its last blank line on.
        after: Stored text behind the quote; shown up to its first blank line.
        width: Columns.
        styled: Whether the terminal can show text in reverse; otherwise »quote«.
    """
    paragraph = _PARAGRAPH.split(before)[-1], citation.quote, _PARAGRAPH.split(after, 1)[0]
    # The marks stand where no text can put them: what is printable holds none of these.
    text = "{}\ue000{}\ue001{}".format(*map(printable_lines, paragraph))
    lines: list[str] = []
    within = False
    for line in text.strip("\n").split("\n"):
        for row in _wrap(line, width - 4, "") or [""]:
            shown_, within = _highlighted(row, within, styled=styled)
            lines.append(f"    {shown_}".rstrip())
    where = _place(citation.document, citation.line_start, citation.line_end, citation.place)
    return "\n".join([f"[{citation.label}] {_safe(citation.title)} · {where}", *lines])


def _highlighted(row: str, within: bool, *, styled: bool) -> tuple[str, bool]:
    """A row with its marks made visible, and whether the quote goes on in the next."""
    on, off = ("\x1b[7m", "\x1b[0m") if styled else ("»", "«")
    opens = within and styled
    within = (within or "\ue000" in row) and "\ue001" not in row
    text = row.replace("\ue000", on).replace("\ue001", off)
    return (on if opens else "") + text + (off if within and styled else ""), within


def why_text(
    answer: Answer,
    evidence: Sequence[Evidence],
    hits: Sequence[Hit],
    *,
    width: int,
    threshold: float,
    changed: bool,
) -> str:
    """How an answer came about.

    Args:
        answer: The answer.
        evidence: What the model was offered for the first thing that was asked.
        hits: The passages that it comes from.
        width: Columns.
        threshold: ``answerability`` from which a question is answered.
        changed: The index is not the one that was answered from.
    """
    lines = [f"asked as: {_safe(answer.standalone_question)}"]
    if changed:
        lines.append("the index has changed since: what follows is found in it now")
    lines.append(f"answerability {answer.answerability:.2f}, needed {threshold:.2f}")
    for claim in answer.claims:
        labels = "".join(f"[{label}]" for label in claim.labels)
        lines += _wrap(f"support {claim.score:.2f} {labels}: {_safe(claim.text)}", width, "")
    if answer.dropped:
        lines.append(dropped_text(answer, width=width))
    lines += ["", "evidence:"]
    for number, item in enumerate(evidence, 1):
        lines.append(
            f"{number}. score {item.score:.2f}, cosine {item.cosine:.2f} ·"
            f" {_safe(item.document.path)}"
        )
        lines += _wrap(_safe(item.shown), width, "   ")
    lines += ["", "passages:"]
    for number, hit in enumerate(hits, 1):
        where = _hit_place(hit)
        lines += _wrap(f"{number}. {where} · {_fused(hit)}", width, "")
    return "\n".join(lines)


def _fused(hit: Hit) -> str:
    stages = [
        f"{stage} rank {hit.ranks[stage]} (score {hit.stage_scores[stage]:.3f})"
        for stage in sorted(hit.ranks)
    ]
    return f"fused {hit.score:.5f} = " + ", ".join(stages)


def summary_text(answer: Answer) -> str:
    """One line on what was checked and what it took."""
    stats = answer.stats
    parts = []
    if answer.claims:
        count = len(answer.claims)
        parts.append(f"{count} claim{'s' * (count > 1)}, {'all ' * (count > 1)}supported")
    if answer.dropped:
        parts.append(f"{len(answer.dropped)} withheld")
    if answer.unanswered:
        quoted = ", ".join(f"“{_safe(part)}”" for part in answer.unanswered)
        parts.append(f"the documents do not answer: {quoted}")
    if answer.absent:
        quoted = ", ".join(f"“{_safe(name)}”" for name in answer.absent)
        parts.append(f"no document mentions {quoted}")
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
    lines += [f"near-duplicates ({alike:.0%}): {_safe(one)}, {_safe(other)}"
              for one, other, alike in report.near_duplicates[:_LISTED]]  # fmt: skip
    if report.mended:
        lines.append(f"mended: {_safe(report.mended)}")
    lines += [f"lost: {_safe(path)}" for path in report.lost]
    if report.dry_run:
        lines += [
            f"{word} {_safe(path)}"
            for word, paths in (
                ("add", report.added), ("change", report.changed), ("remove", report.removed),
                ("move", [f"{old} to {new}" for old, new in report.moved]),
            )
            for path in paths
        ]  # fmt: skip
    changes = [
        f"{len(paths)} {word}"
        for paths, word in (
            (report.added, "added"), (report.changed, "changed"), (report.moved, "moved"),
            (report.removed, "removed"),
        )
        if paths
    ]  # fmt: skip
    changes.append(f"{report.unchanged} unchanged")
    if report.skipped:
        changes.append(f"{len(report.skipped)} skipped")
    counts = report.counts
    if report.recognised:
        lines.append(f"read by OCR: pages of {len(report.recognised)} documents; quotes say so")
    lines.append(f"{'would be' if report.dry_run else 'documents'}: {', '.join(changes)}")
    if report.dry_run:
        return "\n".join(lines)
    if report.copies:
        more = sum(len(paths) - 1 for paths in report.copies)
        lines.append(f"copies: {more:,} files hold the text of another, stored once")
    lines.append(
        f"index: generation {report.generation}, {counts['documents']:,} documents,"
        f" {counts['passages']:,} passages, {counts['sentences']:,} sentences"
        f" ({report.embedded:,} texts embedded now)"
    )
    return "\n".join(lines)


def index_json(report: IndexReport) -> str:
    """Schema ``rag.index/1``."""
    return json_text({"schema": "rag.index/1", **asdict(report)})


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
    return json_text({"schema": "rag.batch/1", **asdict(report), "output": out})


def status_text(state: IndexState) -> str:
    """What is in the index, and whether it is sound."""
    counts = state.counts
    lines = [
        f"index       {_safe(state.folder)}, generation {state.generation}",
        f"documents   {counts.get('documents', 0):,}",
        f"passages    {counts.get('passages', 0):,}",
        f"sentences   {counts.get('sentences', 0):,}",
        f"copies      {state.copies:,}",
        *(
            [f"read by OCR {state.recognised:,} of the documents, at least in part"]
            if state.recognised
            else []
        ),
        f"bytes       {state.bytes:,}",
        f"written     {_safe(state.written)}",
        *(f"{kind:11} {_safe(name)}" for kind, name in state.models.items()),
        *(
            f"alike       {alike:.0%}: {_safe(one)}, {_safe(other)}"
            for one, other, alike in state.near_duplicates[:_LISTED]
        ),
        f"sound       {'yes' if state.sound else 'no'} (looked at: {state.checked})",
        *(f"problem     {_safe(problem)}" for problem in state.problems),
    ]
    return "\n".join(lines)


def status_json(state: IndexState) -> str:
    """Schema ``rag.status/1``."""
    counts = {key: state.counts.get(key, 0) for key in ("documents", "passages", "sentences")}
    return json_text(
        {
            "schema": "rag.status/1",
            "generation": state.generation,
            **counts,
            "bytes": state.bytes,
            "models": state.models,
            "sound": state.sound,
            "problems": list(state.problems),
            "checked": state.checked,
            "written": state.written,
            "copies": state.copies,
            "recognised": state.recognised,
            "near_duplicates": [list(pair) for pair in state.near_duplicates],
        }
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
    return json_text({"schema": "rag.doctor/1", "ok": ok, "checks": checks})


def _place(path: str, first: int, last: int, label: str) -> str:
    lines = f"{_safe(path)}:{first}" + (f"-{last}" if last != first else "")
    return f"{lines} ({_safe(label)})" if label else lines


def _hit_place(hit: Hit) -> str:
    label = hit.place.label if hit.place else ""
    return _place(hit.document.path, hit.line_start, hit.line_end, label)


def _safe(text: str) -> str:
    return " ".join(printable(text).split())


def _wrap(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, 20), initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
