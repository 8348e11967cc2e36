"""Collects what the model knows of whether its sources answer, and fits the probe to it.

    python -m bench.probe collect GOLD --index INDEX --out near.npz
    python -m bench.probe collect GOLD --index INDEX --without --out near-without.npz
    python -m bench.probe fit prompts/answer.npz NAME=near.npz,near-without.npz NAME=...

``collect`` keeps, for each question of one part, the model's hidden state behind a prompt of its
evidence, its log odds, and whether the sentence that it goes on to write is right (every fact, and
it passes verification). Where gold has quotes and no facts: whether the quotes are shown.
``--without`` leaves out the passages that have a quote of the answer: nothing is right then.
``fit`` prints the area under the ROC curve of the log odds and of the probe, each set by a probe of
the others, and writes one of all.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.support import FETCHED, roc_area
from rag.answering import Engine
from rag.answers.citing import Citations
from rag.answers.claims import ClaimWriter, Found
from rag.answers.compose import NO, YES, prompts_digest
from rag.answers.said import Said
from rag.commands.opening import open_engine
from rag.config import load
from rag.evaluation.metrics import missing_facts
from rag.records import Generator, Prompt
from rag.retrieval.evidence import select_evidence
from rag.words import terms

Floats = npt.NDArray[np.float64]
_STRENGTH = 0.002  # inverse of the ridge on standardised states (scikit-learn's C)
_SAME = 0.3  # share of a quote's terms in a row of four that a passage with it has


def main(arguments: list[str] | None = None) -> None:
    """Parse arguments, collect or fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    collects = commands.add_parser("collect")
    collects.add_argument("gold", type=Path)
    collects.add_argument("--index", required=True)
    collects.add_argument("--out", type=Path, required=True)
    collects.add_argument("--without", action="store_true")
    collects.add_argument("--limit", type=int, default=0)
    fits = commands.add_parser("fit")
    fits.add_argument("out", type=Path)
    fits.add_argument("sets", nargs="+", help="NAME=FILE.npz,FILE.npz")
    chosen = parser.parse_args(arguments)
    if chosen.command == "fit":
        named = {
            name: files.split(",") for name, _, files in (s.partition("=") for s in chosen.sets)
        }
        models = {str(np.load(file)["model"]) for files in named.values() for file in files}
        if len(models) > 1:
            parser.error(f"states of several models: {', '.join(sorted(models))}")
        fit({name: _joined(files) for name, files in named.items()}, chosen.out, *models)
        return
    lines = chosen.gold.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][: chosen.limit or None]
    engine = open_engine(load(flags={"index": chosen.index}), FETCHED)
    collect(engine, rows, chosen.out, without=chosen.without)


# -- collecting ---------------------------------------------------------------------------------


class _Watched:
    """A generator whose state and log odds are kept as it has read a prompt."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self.seen: list[tuple[npt.NDArray[np.float32], float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def read(self, prompt: Prompt) -> int:
        known = self._generator.read(prompt)
        state = self._generator.state()
        if state is None:
            raise SystemExit("the generator has no hidden state: use the default llm")
        self.seen.append((state, self._generator.log_odds(YES, NO)))
        return known


def collect(engine: Engine, rows: list[dict[str, Any]], out: Path, *, without: bool) -> None:
    """Ask each question of one part; write states (rows, dimension), log odds and labels."""
    watched: Any = _Watched(engine.generator)
    limits = replace(engine.limits, answer_threshold=0.0, max_claims=1)
    writer = ClaimWriter(engine.store, engine.embedder, watched, limits)
    labels: list[bool] = []
    for number, row in enumerate(rows, 1):
        prepared = engine.prepare(row["question"])
        quotes = [source["quote"] for source in row["sources"]]
        found = _left_out(engine, prepared.first, quotes) if without else prepared.first
        if len(prepared.parts) > 1 or not found.evidence or (without and not quotes):
            continue
        said = Said(Citations(engine.store), None)
        writer.write(found.asked, found, said, sentences=2)
        shown = " ".join(item.shown for item in found.evidence)
        told = " ".join(claim.text for claim in said.claims)
        right = all(_has(shown, quote) for quote in quotes)
        if row["facts"]:
            right = bool(told) and not missing_facts(told, row["facts"])
        labels.append(bool(quotes) and not without and right)
        print(f"\r{number} of {len(rows)}", end="", file=sys.stderr, flush=True)
    states = np.array([state for state, _ in watched.seen])
    odds = np.array([odds for _, odds in watched.seen])
    np.savez_compressed(
        out, states=states, log_odds=odds, right=np.array(labels), model=engine.generator.name
    )


def _left_out(engine: Engine, found: Found, quotes: list[str]) -> Found:
    """What is found where the passages that have one of the quotes are not there."""

    def text(hit: Any) -> str:
        return engine.store.text(hit.document.id)[hit.passage.start : hit.passage.end]

    hits = [hit for hit in found.hits if not any(_has(text(hit), quote) for quote in quotes)]
    limit = engine.limits.evidence
    evidence = select_evidence(found.query, hits, store=engine.store, limit=limit)
    return replace(found, hits=tuple(hits), evidence=tuple(evidence))


def _has(text: str, quote: str) -> bool:
    """Whether a text has a quote, or a good part of it."""
    known, asked = " ".join(terms(text)), terms(quote)
    rows = [" ".join(asked[n : n + 4]) for n in range(max(1, len(asked) - 3))]
    return sum(row in known for row in rows) > _SAME * len(rows)


# -- fitting ------------------------------------------------------------------------------------

_Set = tuple[Floats, Floats, npt.NDArray[np.bool_]]


def _joined(files: list[str]) -> _Set:
    read = [np.load(file, allow_pickle=False) for file in files]
    states, odds, right = (
        np.concatenate([one[key] for one in read]) for key in ("states", "log_odds", "right")
    )
    return states.astype(np.float64), odds.astype(np.float64), right.astype(bool)


def fit(sets: dict[str, _Set], out: Path, model: str) -> None:
    """Print how well each set is told by a probe of the others; write a probe of all."""
    for name, (states, odds, right) in sets.items():
        others = [one for other, one in sets.items() if other != name]
        if not others or right.all() or not right.any():
            continue
        weights, bias = probe(*_pooled(others))
        told = states @ weights + bias
        before, after = (roc_area(x[right], x[~right]) for x in (odds, told))
        print(f"{name}: {len(right)} rows, {right.sum()} right; {before:.3f} -> {after:.3f}")
    weights, bias = probe(*_pooled(list(sets.values())))
    np.savez(
        out, weights=weights.astype(np.float32), bias=np.float32(bias), model=model,
        prompt=prompts_digest("answer"),
    )  # fmt: skip


def _pooled(sets: list[_Set]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    return np.concatenate([one[0] for one in sets]), np.concatenate([one[2] for one in sets])


def probe(states: Floats, right: npt.NDArray[np.bool_]) -> tuple[Floats, float]:
    """Weights (dimension,) and bias of a ridge logistic regression on standardised states."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = states.mean(axis=0), states.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=_STRENGTH, max_iter=1000).fit((states - mean) / spread, right)
    weights = fitted.coef_[0] / spread
    return weights, float(fitted.intercept_[0] - weights @ mean)


if __name__ == "__main__":
    main()
