"""Answer a gold set with the configured models and score it.

    python -m bench.gold seeds/gold.jsonl --corpus seeds

Each figure is a share with a 95% bootstrap interval over questions. The answers are written to
``bench/results/`` so that failures can be looked at one by one, and so that a run that was killed
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rag.config import load
from rag.indexing import build_index
from rag.opening import Consent, embedder_name, load_embedder, open_engine
from rag.render import answer_json

Row = dict[str, Any]


def right(row: Row) -> bool:
    """Answered, and every fact group has an alternative in the answer (case folded)."""
    text = _plain(row["answer"]["answer"])
    return row["answer"]["status"] == "answered" and all(
        any(_plain(alternative) in text for alternative in group) for group in row["gold"]["facts"]
    )


def _plain(text: str) -> str:
    return text.casefold().replace("’", "'").replace("“", '"').replace("”", '"')


def precision(row: Row) -> float:
    """Share of citations that overlap a gold quote."""
    citations = row["answer"]["citations"]
    return float(np.mean([_meets(c, row["spans"]) for c in citations])) if citations else 0.0


def recall(row: Row) -> float:
    """Share of gold quotes that a citation overlaps."""
    citations = [
        (c["document"], c["start"], c["end"]) for c in row["answer"]["citations"]
    ]  # fmt: skip
    spans = row["spans"]
    return float(np.mean([_overlaps(span, citations) for span in spans])) if spans else 0.0


def _meets(citation: Row, spans: list[tuple[str, int, int]]) -> bool:
    return _overlaps((citation["document"], citation["start"], citation["end"]), spans)


def _overlaps(span: tuple[str, int, int], others: list[tuple[str, int, int]]) -> bool:
    document, start, end = span
    return any(d == document and start < e and s < end for d, s, e in others)


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95% percentile bootstrap interval (10,000 resamples, fixed seed)."""
    if not values:
        return (float("nan"),) * 3
    sample = np.asarray(values, dtype=float)
    draws = np.random.default_rng(0).integers(0, len(sample), (10_000, len(sample)))
    means = sample[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sample.mean()), float(low), float(high)


def score(rows: list[Row]) -> dict[str, list[float]]:
    """Each metric's value for every row it is defined on."""
    asked = [row for row in rows if row["gold"]["answer"] is not None]
    unanswerable = [row for row in rows if row["gold"]["answer"] is None]
    answered = [row for row in rows if row["answer"]["status"] == "answered"]
    both = [row for row in asked if row["answer"]["status"] == "answered"]

    def share(of: list[Row], test: Callable[[Row], float]) -> list[float]:
        return [float(test(row)) for row in of]

    return {
        "answer.correct": share(asked, right),
        "refusal.false": share(asked, lambda r: r["answer"]["status"] != "answered"),
        "refusal.recall": share(unanswerable, lambda r: r["answer"]["status"] == "unanswerable"),
        "citation.valid": [
            float(c["verbatim"]) for row in answered for c in row["answer"]["citations"]
        ],
        "claim.cited": [
            float(bool(claim["labels"])) for row in answered for claim in row["answer"]["claims"]
        ],
        "citation.precision": share(both, precision),
        "citation.recall": share(both, recall),
    }


def run(gold: list[Row], *, corpus: Path, out: Path, progress: Callable[[int], None]) -> list[Row]:
    """Answer what ``out`` does not hold yet; returns all rows."""
    settings = load()
    consent = Consent(may_fetch=lambda *_: True, progress=lambda *_: None, say=print)
    done = {}
    if out.is_file():
        for line in out.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            done[row["gold"]["id"]] = row
    with tempfile.TemporaryDirectory() as index:
        build_index(
            [corpus],
            folder=Path(index),
            open_embedder=lambda: load_embedder(settings, consent),
            embedder_name=embedder_name(settings),
            max_bytes=int(settings.max_file_mb * 1e6),
        )
        engine = open_engine(load(flags={"index": index}), consent)
        texts = {d.path: engine.store.text(d.id) for d in engine.store.documents()}
        with out.open("a", encoding="utf-8") as stream:
            for number, question in enumerate(gold):
                progress(number)
                if question["id"] in done:
                    continue
                answer = json.loads(answer_json(engine.answer(question["question"])))
                for citation in answer["citations"]:
                    span = texts[citation["document"]][citation["start"] : citation["end"]]
                    citation["verbatim"] = span == citation["quote"]
                spans = [
                    (s["document"], at, at + len(s["quote"]))
                    for s in question["sources"]
                    for at in [texts[s["document"]].index(s["quote"])]
                ]
                done[question["id"]] = {"gold": question, "spans": spans, "answer": answer}
                stream.write(json.dumps(done[question["id"]], ensure_ascii=False) + "\n")
                stream.flush()
    return [done[question["id"]] for question in gold]


def report(rows: list[Row]) -> str:
    """The table, and each failure under it."""
    lines = [f"{'metric':20} {'value':>7}  {'95% interval':>16}  {'n':>4}"]
    for name, values in score(rows).items():
        mean, low, high = interval(values)
        lines.append(
            f"{name:20} {mean:7.3f}  [{low:.3f}, {high:.3f}]".ljust(47) + f"{len(values):4}"
        )
    for name in ("first_token_ms", "total_ms", "prompt_tokens", "reused_tokens", "answer_tokens"):
        values = [row["answer"]["stats"][name] for row in rows]
        lines.append(
            f"{name:20} median {np.median(values):,.0f}, p95 {np.quantile(values, 0.95):,.0f}"
        )
    for row in rows:
        gold, answer = row["gold"], row["answer"]
        bad = not right(row) if gold["answer"] is not None else answer["status"] == "answered"
        if bad:
            lines.append(f"\n{gold['id']} ({gold['type']}) {gold['question']}")
            lines.append(f"  said {answer['answer']}\n  gold {gold['answer']}")
            lines += [f"  withheld {d['text']} ({d['reason']})" for d in answer["dropped"]]
    return "\n".join(lines)


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("gold", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="only each Nth question")
    parser.add_argument("--offset", type=int, default=0, help="first question")
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    gold = [
        json.loads(line) for line in chosen.gold.read_text(encoding="utf-8").splitlines() if line
    ]
    gold = gold[chosen.offset :: chosen.every]
    out = chosen.out or Path("bench/results") / f"{chosen.gold.stem}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = run(
        gold,
        corpus=chosen.corpus,
        out=out,
        progress=lambda n: print(f"\r{n} of {len(gold)} ", end="", file=sys.stderr, flush=True),
    )
    print("\r", end="", file=sys.stderr)
    print(report(rows))


if __name__ == "__main__":
    main()
