"""SciFact as BEIR has it: which abstracts speak of a claim. Retrieval only.

Wadden et al. 2020 (claims CC BY 4.0, abstracts ODC-By 1.0); Thakur et al. 2021. A document is one
abstract under its title.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

from bench.sets.records import BenchSet, Question


def load(data: Path, part: str = "test") -> BenchSet:
    """5,183 abstracts with 300 queries (``test``) or 809 (``train``)."""
    folder = data / "scifact"
    documents: dict[str, str] = {}
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            documents[f"{row['_id']}.md"] = f"# {row['title']}\n\n{row['text']}\n"
    relevant: dict[str, list[str]] = {}
    with (folder / "qrels" / f"{part}.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], []).append(f"{row['corpus-id']}.md")
    with (folder / "queries.jsonl").open(encoding="utf-8") as stream:
        asked = {row["_id"]: row["text"] for row in map(json.loads, stream)}
    questions = tuple(
        Question(
            id=id_,
            type="claim",
            question=asked[id_],
            answer="",
            relevant=tuple(paths),
        )
        for id_, paths in relevant.items()
    )
    return BenchSet("scifact" if part == "test" else f"scifact-{part}", documents, questions)
