"""One table from several answers files over one gold set, by one scorer.

    python -m bench.peers.table GOLD --corpus DIR rag=FILE naive=FILE llamaindex=FILE

A file holds answers (``rag batch``, the peers) or rows of ``bench.gold``. A question without an
answer counts as wrong. A citation counts as precise where it overlaps a gold quote, which favours
whoever cites long passages: read precision and recall beside the length of what is cited.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.gold import Row, interval, score
from bench.peers.common import documents, rows

TIMES = ("first_token_ms", "total_ms", "prompt_tokens", "answer_tokens")
_NONE: Row = {"status": "error", "answer": "", "claims": [], "citations": [], "dropped": []}


def scored(gold: list[Row], answers: list[Row], texts: dict[str, str]) -> list[Row]:
    """Rows for ``bench.gold.score``: the question, its quotes' spans, the answer.

    Raises:
        ValueError: A gold quote is not in its document.
    """
    by_id = {}
    for row in answers:
        plain = row["answer"] if isinstance(row.get("answer"), dict) else row
        by_id[row["gold"]["id"] if "gold" in row else row["id"]] = plain
    found = []
    for question in gold:
        answer = dict(by_id.get(question["id"], _NONE))
        answer["citations"] = [
            {**c, "verbatim": texts.get(c["document"], "")[c["start"] : c["end"]] == c["quote"]}
            for c in answer["citations"]
        ]
        spans = []
        for source in question["sources"]:
            at = texts[source["document"]].find(source["quote"])
            if at < 0:
                raise ValueError(f"{question['id']}: a quote is not in {source['document']}")
            spans.append((source["document"], at, at + len(source["quote"])))
        found.append({"gold": question, "spans": spans, "answer": answer})
    return found


def table(systems: dict[str, list[Row]]) -> str:
    """Systems side by side: mean and 95% interval of each share, medians of times and tokens."""
    columns = {name: score(found) for name, found in systems.items()}
    for name, found in systems.items():
        if not any(row["gold"]["facts"] for row in found):
            columns[name]["answer.correct"] = []  # there is nothing to tell right from wrong by
    lines = [f"{'':20}" + "".join(f"{name:>24}" for name in systems)]
    for metric in next(iter(columns.values())):
        cells = []
        for values in (column[metric] for column in columns.values()):
            mean, low, high = interval(values)
            cells.append(f"{mean:.2f} [{low:.2f}, {high:.2f}] {len(values):>4}" if values else "-")
        lines.append(f"{metric:20}" + "".join(f"{cell:>24}" for cell in cells))
    lines.append(_medians("cited characters", systems, _lengths))
    for field in TIMES:
        lines.append(_medians(field, systems, partial(_stat, field)))
    missing = [sum("stats" not in row["answer"] for row in found) for found in systems.values()]
    lines.append(f"{'without an answer':20}" + "".join(f"{count:>24}" for count in missing))
    return "\n".join(lines)


def _lengths(row: Row) -> list[int]:
    return [c["end"] - c["start"] for c in row["answer"]["citations"]]


def _stat(name: str, row: Row) -> list[int]:
    return [row["answer"]["stats"][name]] if "stats" in row["answer"] else []


def _medians(name: str, systems: dict[str, list[Row]], values: Callable[[Row], list[int]]) -> str:
    cells = []
    for found in systems.values():
        numbers = [number for row in found for number in values(row)]
        cells.append(f"{np.median(numbers):,.0f}" if numbers else "-")
    return f"{name:20}" + "".join(f"{cell:>24}" for cell in cells)


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("gold", type=Path)
    parser.add_argument("systems", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="only each Nth question")
    parser.add_argument("--offset", type=int, default=0, help="first question")
    parser.add_argument("--limit", type=int, default=None)
    chosen = parser.parse_args(arguments)
    gold = rows(chosen.gold)[chosen.offset :: chosen.every][: chosen.limit]
    texts = documents(chosen.corpus)
    systems = {}
    for argument in chosen.systems:
        name, _, file = argument.partition("=")
        if not file:
            parser.error(f"{argument}: write NAME=FILE")
        systems[name] = scored(gold, rows(Path(file)), texts)
    print(f"{len(gold)} questions of {chosen.gold}; mean, 95% bootstrap interval, n; medians below")
    print(table(systems))


if __name__ == "__main__":
    main()
