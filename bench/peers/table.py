"""One table from several reports of ``rag eval`` over one gold set.

    python -m bench.peers.table rag=FILE.json naive=FILE.json llamaindex=FILE.json

A citation counts as precise where it overlaps a gold quote, which favours whoever cites long
passages: read precision and recall beside the length of what is cited.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Report = dict[str, Any]
SHARES = (
    "answer.correct", "answer.f1", "refusal.false", "refusal.recall", "citation.valid",
    "claim.cited", "citation.precision", "citation.recall",
)  # fmt: skip
TIMES = ("first_token_ms", "total_ms", "prompt_tokens", "answer_tokens")


def table(reports: dict[str, Report]) -> str:
    """Reports side by side: share, 95% interval and n; then medians of lengths, times, tokens."""
    lines = [f"{'':20}" + "".join(f"{name:>26}" for name in reports)]
    for metric in SHARES:
        cells = []
        for report in reports.values():
            found = report["metrics"].get(metric)
            if not found or not found["n"] or found["value"] is None:
                cells.append("-")
                continue
            interval = f"[{found['low']:.2f}, {found['high']:.2f}]"
            cells.append(f"{found['value']:.2f} {interval} {found['n']:>4}")
        lines.append(f"{metric:20}" + "".join(f"{cell:>26}" for cell in cells))
    lines.append(_medians("cited characters", reports, _lengths))
    lines += [_medians(field, reports, partial(_stat, field)) for field in TIMES]
    return "\n".join(lines)


def _lengths(row: dict[str, Any]) -> list[int]:
    return [c["end"] - c["start"] for c in row["citations"]]


def _stat(name: str, row: dict[str, Any]) -> list[int]:
    return [row["stats"][name]] if row["status"] != "error" else []


def _medians(
    name: str, reports: dict[str, Report], values: Callable[[dict[str, Any]], list[int]]
) -> str:
    cells = []
    for report in reports.values():
        numbers = [number for row in report["rows"] for number in values(row)]
        cells.append(f"{np.median(numbers):,.0f}" if numbers else "-")
    return f"{name:20}" + "".join(f"{cell:>26}" for cell in cells)


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("systems", nargs="+", metavar="NAME=FILE")
    chosen = parser.parse_args(arguments)
    reports = {}
    for argument in chosen.systems:
        name, _, file = argument.partition("=")
        if not file:
            parser.error(f"{argument}: write NAME=FILE")
        reports[name] = json.loads(Path(file).read_text(encoding="utf-8"))
    counts = {len(report["rows"]) for report in reports.values()}
    print(f"{sorted(counts)} questions; share, 95% interval, n; medians below")
    print(table(reports))


if __name__ == "__main__":
    main()
