"""Answers over converted public sets, scored, one column a set.

    python -m bench.quality --sets xquad musique --split dev --limit 40

Sets with an unanswerable variant get a column for that too: there refusing is right. Answers are
written to ``--out`` one by one, so a run that was killed goes on where it stopped; delete them to
measure again after a change. Tune on ``--split dev``, report ``--split test``.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from bench.gold import Row, run
from bench.peers.common import rows
from bench.peers.table import table
from bench.sets.convert import DATA, LOADERS, convert
from bench.sets.records import write

ANSWERED = tuple(name for name in LOADERS if name != "scifact")  # that one is retrieval only


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, convert, answer, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", nargs="+", choices=ANSWERED, default=["xquad", "musique"])
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--limit", type=int, default=40, help="questions of each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("bench/results/quality"))
    chosen = parser.parse_args(arguments)
    if not chosen.data.is_dir():
        parser.error(f"no folder {chosen.data}: name the public sets with --data DIR")
    name = f"{chosen.split}-{chosen.limit}-{chosen.seed}"
    answers: dict[str, list[Row]] = {}
    for set_name in chosen.sets:
        for made in convert(
            set_name, chosen.data, split=chosen.split, limit=chosen.limit, seed=chosen.seed
        ):
            folder = write(made, chosen.out / name)
            gold = rows(folder / "gold.jsonl")
            answers[made.name] = run(
                gold,
                corpus=folder / "documents",
                out=folder / "answers.jsonl",
                progress=partial(_progress, made.name, len(gold)),
            )
    print("\r", end="", file=sys.stderr)
    report = table(answers)
    (chosen.out / name / "table.txt").write_text(f"{report}\n", encoding="utf-8")
    print(report)


def _progress(name: str, count: int, number: int) -> None:
    print(f"\r{name}: {number} of {count} ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
