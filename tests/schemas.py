"""JSON Schemas of what the command line prints with ``--json``: the contract, word for word.

Fields may be added; a field that is here may neither go nor change its type.
"""

from __future__ import annotations

from typing import Any

import jsonschema

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
LINE = {"type": "integer", "minimum": 1}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def record(**fields: Any) -> dict[str, Any]:
    """An object that has at least these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def rows(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An array of such items."""
    return {"type": "array", "items": item, **more}


CITATION = record(
    label=LINE, document=TEXT, title=TEXT, page={"type": ["integer", "null"]}, start=COUNT,
    end=LINE, line_start=LINE, line_end=LINE, quote={"type": "string", "minLength": 1},
)  # fmt: skip
SPAN = {"document": TEXT, "start": COUNT, "end": LINE, "score": {"type": "number"}}
ANSWER = record(
    schema={"const": "rag.answer/1"},
    id={"type": ["string", "integer", "null"]},
    question=TEXT,
    standalone_question=TEXT,
    status={"enum": ["answered", "unanswerable", "error"]},
    answer=TEXT,
    claims=rows(
        record(
            text={"type": "string", "minLength": 1},
            labels=rows(LINE, minItems=1),
            verdict={"enum": ["supported", "unsupported"]},
            score=SHARE,
        )
    ),
    citations=rows(CITATION),
    retrieved=rows(record(**SPAN)),
    error={"anyOf": [{"type": "null"}, record(kind=TEXT, message=TEXT, hint=TEXT)]},
    stats=record(
        retrieve_ms=COUNT, first_token_ms=COUNT, total_ms=COUNT, prompt_tokens=COUNT,
        reused_tokens=COUNT, answer_tokens=COUNT,
    ),
    models=record(embedder=TEXT, llm=TEXT),
    index_generation=LINE,
)  # fmt: skip
SEARCH = record(
    schema={"const": "rag.search/1"},
    query=TEXT,
    expanded_query=TEXT,
    results=rows(
        record(
            **SPAN, title=TEXT, page={"type": ["integer", "null"]}, line_start=LINE, line_end=LINE,
            text=TEXT,
            ranks={"type": "object", "minProperties": 1, "additionalProperties": LINE},
        )
    ),
)  # fmt: skip
STATUS = record(
    schema={"const": "rag.status/1"}, generation=LINE, documents=COUNT, passages=COUNT,
    sentences=COUNT, bytes=COUNT, models=record(embedder=TEXT, llm=TEXT),
    sound={"type": "boolean"}, problems=rows(TEXT),
)  # fmt: skip
BATCH = record(
    schema={"const": "rag.batch/1"}, total=LINE, resumed=COUNT, answered=COUNT, unanswerable=COUNT,
    failed=COUNT, seconds={"type": "number", "minimum": 0}, output=TEXT,
)  # fmt: skip

MAYBE_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
MAYBE = {"type": ["number", "null"]}
ESTIMATE = record(value=MAYBE, low=MAYBE, high=MAYBE, n=COUNT)
MAYBE_ESTIMATE = {"anyOf": [{"type": "null"}, ESTIMATE]}
RETRIEVAL = record(
    **{name: SHARE for name in ("recall@1", "recall@3", "recall@5", "recall@10", "mrr", "ndcg@10")}
)
REPORT_ROW = record(
    id=TEXT, type=TEXT, question=TEXT, gold_answer={"type": ["string", "null"]},
    facts=rows(rows(TEXT, minItems=1)),
    gold_spans=rows(record(document=TEXT, start=COUNT, end=LINE, quote=TEXT)),
    status={"enum": ["answered", "unanswerable", "error", None]}, answer=TEXT,
    correct={"type": ["boolean", "null"]}, f1=MAYBE_SHARE, why={"type": "string", "minLength": 1},
    answerability=MAYBE_SHARE, retrieval={"anyOf": [{"type": "null"}, RETRIEVAL]},
    citation={"type": ["object", "null"], "additionalProperties": SHARE},
    claims=ANSWER["properties"]["claims"],
    citations=rows(
        {
            "allOf": [
                CITATION,
                record(verbatim={"type": "boolean"}, gold={"type": "boolean"}, before=TEXT,
                       after=TEXT),
            ]
        }
    ),
    retrieved=rows(record(**SPAN, relevant={"type": "boolean"}, text=TEXT)),
    dropped=rows({"type": "object"}), stats={"type": "object"},
    error=ANSWER["properties"]["error"],
)  # fmt: skip
REPORT = record(
    schema={"const": "rag.report/1"},
    created={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"},
    gold=record(path=TEXT, sha256={"type": "string", "pattern": "^[0-9a-f]{64}$"}, questions=LINE),
    settings={"type": "object"},
    models=record(embedder=TEXT, llm=TEXT),
    index_generation=LINE,
    correctness={"enum": ["facts", "f1", "mixed", None]},
    metrics={"type": "object", "minProperties": 6, "additionalProperties": ESTIMATE},
    curves=record(
        recall=rows(record(k=LINE, value=SHARE, low=SHARE, high=SHARE)),
        refusal=rows(
            record(threshold=SHARE, recall=MAYBE_SHARE, false=MAYBE_SHARE, correct=MAYBE_SHARE)
        ),
    ),
    by_type={
        "type": "object",
        "additionalProperties": record(n=LINE, correct=MAYBE_ESTIMATE, refused=MAYBE_ESTIMATE),
    },
    rows=rows(REPORT_ROW, minItems=1),
)


JUDGE = record(
    model={"type": "string", "minLength": 1}, note={"type": "string", "minLength": 1},
    prompt={"type": "string", "pattern": "^[0-9a-f]{16}$"}, judged=COUNT, failed=COUNT,
    kappa={"type": ["number", "null"], "minimum": -1, "maximum": 1},
    metrics=record(**{f"judge.{name}": ESTIMATE for name in ("correct", "agreement", "failed")}),
)  # fmt: skip


def check(document: Any, schema: dict[str, Any]) -> None:
    """Fail where a document does not follow its schema."""
    jsonschema.Draft202012Validator(schema).validate(document)
