"""MuSiQue, the sample of HippoRAG: questions that need several paragraphs, over a pooled corpus.

Trivedi et al. 2022 (CC BY 4.0); sample of Gutierrez et al. 2024. A document is one paragraph under
its title. Each step of a question's decomposition gives one source: the sentence of its paragraph
that states the step's answer, which for all but the last step is the bridge to the next one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.sets.records import BenchSet, Question, Source, sentence_with


def load(data: Path) -> BenchSet:
    """100 questions over 1,890 paragraphs."""
    folder = data / "musique"
    corpus = json.loads((folder / "musique_train_corpus.json").read_text(encoding="utf-8"))
    rows = json.loads((folder / "musique_train.json").read_text(encoding="utf-8"))
    paths = {
        (row["title"], row["text"]): f"{number:04d}-{_slug(row['title'])}.md"
        for number, row in enumerate(corpus)
    }
    documents = {path: f"# {title}\n\n{text}\n" for (title, text), path in paths.items()}
    return BenchSet("musique", documents, tuple(_question(row, paths) for row in rows))


def _question(row: dict[str, Any], paths: dict[tuple[str, str], str]) -> Question:
    pool = [paths[p["title"], p["paragraph_text"]] for p in row["paragraphs"]]
    sources: list[Source] = []
    for step in row["question_decomposition"]:
        at = step["paragraph_support_idx"]
        text = row["paragraphs"][at]["paragraph_text"]
        quote = sentence_with(text, step["answer"], question=step["question"])
        sources.append(Source(pool[at], quote))
    supporting = [p["idx"] for p in row["paragraphs"] if p["is_supporting"]]
    return Question(
        id=row["id"],
        type=row["id"].partition("hop")[0] + "hop",
        question=row["question"],
        answer=row["answer"],
        facts=((row["answer"], *row["answer_aliases"]),),
        sources=tuple(dict.fromkeys(sources)),
        relevant=tuple(dict.fromkeys(pool[at] for at in supporting)),
        pool=tuple(dict.fromkeys(pool)),
    )


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "untitled"
