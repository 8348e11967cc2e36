"""How well claim verification tells supported claims from others, on WiCE.

    python -m bench.support ../shared/data/wice/oracle_claim_dev.jsonl --limit 300

Prints the area under the ROC curve of the support score (supported against not supported, and
against partially supported) with 95% bootstrap intervals, and, with ``--fit``, the logistic
weights for the same signals fitted on the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.commands.opening import Consent, load_embedder
from rag.config import load
from rag.records import DocumentInfo, Embedder
from rag.verification import verify
from rag.verification.spans import Span

Floats = npt.NDArray[np.float64]
# What benches do about models: fetch what is missing, or use only what is there.
FETCHED = Consent(lambda *_: True, lambda *_: None, lambda line: print(line, file=sys.stderr))
INSTALLED = Consent(lambda *_: False, lambda *_: None, lambda _: None)


def roc_area(positive: Floats, negative: Floats) -> float:
    """P(a positive scores above a negative) + half the ties; Hanley and McNeil 1982."""
    above = (positive[:, None] > negative[None]).mean()
    return float(above + 0.5 * (positive[:, None] == negative[None]).mean())


def interval(positive: Floats, negative: Floats, *, draws: int = 1000) -> tuple[float, float]:
    """95% percentile bootstrap interval of the area."""
    rng = np.random.default_rng(0)
    areas = [
        roc_area(rng.choice(positive, len(positive)), rng.choice(negative, len(negative)))
        for _ in range(draws)
    ]
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def signals(row: dict[str, Any], embedder: Embedder) -> verify.Signals | None:
    """The verifier's signals for one claim over its evidence sentences."""
    document = DocumentInfo(1, "evidence", "", "", "")
    cut = [text[:800] for text in row["evidence"] if text.strip()]
    spans = [Span(document, n, n + 1, text) for n, text in enumerate(cut)]
    vectors = embedder.embed([*cut, row["claim"][:800]])
    found = verify.support(
        row["claim"],
        spans,
        question="",
        claim_vector=vectors[-1],
        span_vectors=vectors[:-1],
        rarity={},
        threshold=0.0,
    )
    return found.signals


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("claims", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--fit", action="store_true")
    chosen = parser.parse_args()
    embedder = load_embedder(load(), FETCHED)
    lines = chosen.claims.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows = [rows[n] for n in np.random.default_rng(0).permutation(len(rows))[: chosen.limit]]
    kept = [(row["label"], found) for row in rows if (found := signals(row, embedder))]
    by_label = {
        label: np.array([found.score for name, found in kept if name == label])
        for label in ("supported", "partially_supported", "not_supported")
    }
    print({label: len(values) for label, values in by_label.items()})
    for other in ("not_supported", "partially_supported"):
        area = roc_area(by_label["supported"], by_label[other])
        low, high = interval(by_label["supported"], by_label[other])
        print(f"supported against {other}: {area:.3f} [{low:.3f}, {high:.3f}]")
    if chosen.fit:
        features = np.array([found.values for _, found in kept])
        labels = np.array([name == "supported" for name, _ in kept], dtype=float)
        print("bias, weights:", fit(features, labels))


def fit(features: Floats, labels: Floats, *, ridge: float = 0.01) -> list[float]:
    """Logistic regression by Newton's method with a small ridge; returns bias and weights."""
    design = np.hstack([np.ones((len(features), 1)), features])
    weights = np.zeros(design.shape[1])
    penalty = ridge * np.eye(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (p - labels) + penalty @ weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + penalty
        weights -= np.linalg.solve(curvature, gradient)
    return [round(float(w), 3) for w in weights]


if __name__ == "__main__":
    main()
