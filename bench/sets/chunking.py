"""chunking_evaluation: questions over five long documents, with the excerpts that answer them.

Smith and Troynikov 2024 (MIT). There are no reference answers: ``answer`` is the excerpts
themselves and ``facts`` is empty, so citations and retrieval can be scored on it, and an answer's
words compared with the excerpts' (F1), but not whether the answer is right.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from bench.sets.records import BenchSet, Question, Source


def load(data: Path) -> BenchSet:
    """472 questions, 790 excerpts."""
    folder = data / "chunking_evaluation"
    documents = {
        # From bytes: the excerpts' offsets count carriage returns.
        file.name: file.read_bytes().decode("utf-8")
        for file in sorted((folder / "corpora").glob("*.md"))
    }
    questions = []
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            path = f"{row['corpus_id']}.md"
            quotes = [excerpt["content"] for excerpt in json.loads(row["references"])]
            questions.append(
                Question(
                    id=f"{row['corpus_id']}-{number:03d}",
                    type="excerpt",
                    question=row["question"],
                    answer=" ".join(quotes),
                    sources=tuple(Source(path, quote) for quote in quotes),
                    relevant=(path,),
                )
            )
    return BenchSet("chunking", documents, tuple(questions))
