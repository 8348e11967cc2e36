"""XQuAD: paragraphs of Wikipedia with questions whose answers are spans of them.

Artetxe et al. 2020 (CC BY-SA 4.0). A document is one paragraph; the quote is the sentence that
holds the answer.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.sets.records import BenchSet, Question, Source, sentence_at


def load(data: Path, language: str = "en") -> BenchSet:
    """1,190 questions over 240 paragraphs."""
    file = data / "xquad" / f"xquad.{language}.json"
    documents: dict[str, str] = {}
    questions: list[Question] = []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            path = f"{len(documents):03d}.txt"
            text = documents[path] = paragraph["context"]
            for row in paragraph["qas"]:
                start, answer = row["answers"][0]["answer_start"], row["answers"][0]["text"]
                questions.append(
                    Question(
                        id=row["id"],
                        type="span",
                        question=row["question"],
                        answer=answer,
                        facts=((answer,),),
                        sources=(Source(path, sentence_at(text, start, start + len(answer))),),
                        relevant=(path,),
                    )
                )
    name = "xquad" if language == "en" else f"xquad-{language}"
    return BenchSet(name, documents, tuple(questions))
