"""Answers over converted public sets, scored, one column a set.

    python -m bench.quality --sets xquad musique --split dev --limit 40

Sets with an unanswerable variant get a column for that too: there refusing is right. Everything is
done by the product's own command line; answers are written to ``--out`` one by one, so a run that
was killed goes on where it stopped. Tune on ``--split dev``, report ``--split test``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.peers.table import Report, table
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
    out = chosen.out / f"{chosen.split}-{chosen.limit}-{chosen.seed}"
    reports: dict[str, Report] = {}
    for set_name in chosen.sets:
        for made in convert(
            set_name, chosen.data, split=chosen.split, limit=chosen.limit, seed=chosen.seed
        ):
            print(made.name, file=sys.stderr)
            reports[made.name] = evaluated(write(made, out))
    text = table(reports)
    (out / "table.txt").write_text(f"{text}\n", encoding="utf-8")
    print(text)


def evaluated(folder: Path) -> Report:
    """Index ``folder/documents``, answer ``folder/gold.jsonl`` and score it."""
    index = str(folder / "index")
    _rag("index", str(folder / "documents"), "--index", index)
    _rag("eval", str(folder / "gold.jsonl"), "--index", index, "--report", str(folder / "report"))
    found: Report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    return found


def _rag(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "rag", *arguments], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
