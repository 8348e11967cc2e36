"""Kill a batch again and again, and count what is lost.

    python -m bench.batch_kills --kills 100 --questions 30

Each run of ``rag batch`` over the same questions (some of them twice) is sent SIGKILL at a random
moment: half of them anywhere in its life, half soon after a row has been written. Whenever a run
lives to its end, every question must have exactly one row, in order, and alike to those of a run
that was left alone; then it begins anew. No weights are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ, "RAG_EMBEDDER": "hash", "RAG_LLM": "extractive", "RAG_OFFLINE": "1",
    "PYTHONPATH": str(ROOT),
}  # fmt: skip


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """``rag`` with these arguments, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rag", *map(str, arguments)], env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that nobody kills."""
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(err.decode())


def kill(process: subprocess.Popen[bytes], out: Path, draw: random.Random, life: float) -> bool:
    """Kill a run at a random moment; False if it ended before."""
    wait = draw.random() * life
    if draw.random() < 0.5:
        size = out.stat().st_size if out.exists() else 0
        while process.poll() is None and (out.stat().st_size if out.exists() else 0) <= size:
            time.sleep(0.001)
        wait = draw.random() * 0.05
    time.sleep(wait)
    process.kill()
    process.communicate()
    return process.returncode < 0


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of a finished run, without what they cost."""
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for row in found:
        del row["stats"]
    return found


def main() -> None:
    """Kill, count, and fail where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    gold = (ROOT / "seeds" / "gold.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["question"] for line in gold][: max(1, chosen.questions * 4 // 5)]
    asked = [texts[n % len(texts)] for n in range(chosen.questions)]
    kills = rounds = lost = doubled = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        index, questions = Path(folder) / "index", Path(folder) / "questions.txt"
        alone, out = Path(folder) / "alone.jsonl", Path(folder) / "out.jsonl"
        questions.write_text("\n".join(asked) + "\n", encoding="utf-8")
        finished(start("index", ROOT / "seeds", "--index", index))
        began = time.monotonic()
        finished(start("batch", questions, "-o", alone, "--index", index))
        life, expected = time.monotonic() - began, rows(alone)
        while kills < chosen.kills:
            process = start("batch", questions, "-o", out, "--index", index)
            if kill(process, out, draw, life):
                kills += 1
                print(f"\rkills {kills}", end="", file=sys.stderr, flush=True)
                if kills < chosen.kills:
                    continue
            finished(start("batch", questions, "-o", out, "--index", index))
            rounds += 1
            found = rows(out)
            had, wanted = (Counter(row["question"] for row in side) for side in (found, expected))
            lost += sum((wanted - had).values())
            doubled += sum((had - wanted).values())
            wrong += found != expected
            out.unlink()
    print(
        f"\r{kills} kills over {rounds} runs of {len(asked)} questions: {lost} lost,"
        f" {doubled} duplicated, {wrong} runs unlike one left alone"
    )
    if lost or doubled or wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
