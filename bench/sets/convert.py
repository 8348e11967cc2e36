"""Convert public sets to documents plus gold under ``bench/results/sets/``.

    python -m bench.sets.convert                          # all sets, whole
    python -m bench.sets.convert xquad --split dev --limit 40

Tune on ``--split dev``, report ``--split test``: a question never changes its half. Sets with
short answers also get a variant ``<name>-unanswerable``, whose documents lack the passages that
answer its questions; what is checked of that is told in ``bench.sets.records.unanswerable``.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

from bench.sets import chunking, musique, scifact, xquad
from bench.sets.records import BenchSet, Half, choose, unanswerable, write

DATA = Path("../shared/data")
OUT = Path("bench/results/sets")
LOADERS: dict[str, Callable[[Path], BenchSet]] = {
    "musique": musique.load,
    "xquad": xquad.load,
    "chunking": chunking.load,
    "scifact": scifact.load,
}
_REMOVED = 4  # one paragraph of so many is taken away where paragraphs have several questions


def without_answers(whole: BenchSet) -> BenchSet | None:
    """The unanswerable variant of a set, or None where answers are not short strings."""
    if whole.name == "xquad":  # all paragraphs have questions: removing each would leave none
        taken = [path for path in whole.documents if _digest(path) % _REMOVED == 0]
        return unanswerable(whole, remove=taken)
    return unanswerable(whole) if whole.name == "musique" else None


def _digest(path: str) -> int:
    return hashlib.sha256(path.encode()).digest()[-1]


def convert(
    name: str,
    data: Path,
    *,
    split: Half | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> list[BenchSet]:
    """A set, and its unanswerable variant where there is one, cut to the chosen questions."""
    whole = LOADERS[name](data)
    sets = [whole, without_answers(whole)]
    return [choose(s, split=split, limit=limit, seed=seed) for s in sets if s]


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, convert, say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(LOADERS)}")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--split", choices=("dev", "test"), default=None)
    parser.add_argument("--limit", type=int, default=None, help="questions of each set")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.sets) - set(LOADERS):
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    if not chosen.data.is_dir():
        parser.error(f"no folder {chosen.data}: name the public sets with --data DIR")
    for name in chosen.sets or LOADERS:
        for made in convert(
            name, chosen.data, split=chosen.split, limit=chosen.limit, seed=chosen.seed
        ):
            folder = write(made, chosen.out)
            print(f"{folder}: {len(made.documents):,} documents, {len(made.questions):,} questions")


if __name__ == "__main__":
    main()
